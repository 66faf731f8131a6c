package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/plan"
)

// settle is how long a container without a health check has to run before it
// counts as ready where readiness was asked for: one that ends at once isn't.
const settle = time.Second

// awaitReady waits until a container is ready: at the moment when a probe says
// so, without waiting for the engine's next check. It fails as soon as the
// container dies or the engine calls it unhealthy.
func (e *executor) awaitReady(ctx context.Context, s plan.Step) error {
	id := e.container(s)
	svc := e.project.Services[s.Service]
	limited, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	verdicts := make(chan error, 2)
	go func() { verdicts <- e.byEvents(limited, svc, s, id) }()
	var probed *Check // by the second one, which has ended when this is read
	go func() { verdicts <- e.byProbe(limited, svc, s, id, &probed) }()
	err := errNoVerdict
	for range 2 { // the second one ends because the first has told
		v := <-verdicts
		if errors.Is(err, errNoVerdict) {
			err = v
		}
		if !errors.Is(v, errNoVerdict) {
			cancel()
		}
	}
	var broken *brokenError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &broken):
		return e.failure(ctx, s, id, broken, probed)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errNoVerdict):
		return e.failure(ctx, s, id, &brokenError{reason: fmt.Sprintf("was not ready after %s", e.timeout)}, probed)
	}
	return err
}

// errNoVerdict is what one way of looking returns that can't tell.
var errNoVerdict = errors.New("no verdict")

// byEvents judges by what the engine tells.
func (e *executor) byEvents(ctx context.Context, svc types.ServiceConfig, s plan.Step, id string) error {
	var m mark
	earlier := e.startedAgain(s)
	again := restarts(svc)
	for {
		events, gap, err := e.watch.next(ctx, id, &m)
		if err != nil {
			return err
		}
		for _, ev := range events {
			if earlier = earlier && ev.Action != ActionStart; earlier {
				continue
			}
			switch ev.Action {
			case ActionHealthy:
				return nil
			case ActionUnhealthy:
				return &brokenError{reason: "is unhealthy"}
			case ActionDie:
				if ev.ExitCode == 0 && oneShot(svc) {
					return nil
				}
				if again--; again < 0 {
					return exited(ev.ExitCode)
				}
			case ActionDestroy:
				return errRemoved
			}
		}
		if gap {
			if err := e.look(ctx, svc, id); !errors.Is(err, errNoVerdict) {
				return err
			}
		}
	}
}

// patience is how often a container may end before it gets ready, where the
// engine starts it again: what waits for something may well try a few times,
// and what goes on ending is broken.
const patience = 3

// restarts is how often a service's container may end before it is broken.
func restarts(svc types.ServiceConfig) int {
	policy, most := restartPolicy(svc)
	if policy == types.RestartPolicyNo {
		return 0
	}
	return min(most, patience)
}

// startedAgain tells whether a step is about a container that was there before
// and that this run starts: what is told of it before that is of an earlier
// life.
func (e *executor) startedAgain(s plan.Step) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return s.Target != "" && len(s.Needs) > 0 && !e.unpaused[s.Target]
}

// look judges by how a container is now, for when events may be missing.
func (e *executor) look(ctx context.Context, svc types.ServiceConfig, id string) error {
	c, err := e.driver.Inspect(ctx, id)
	switch {
	case isNotFound(err):
		return errRemoved
	case err != nil:
		return errNoVerdict // events go on to tell
	case c.State == plan.Exited && c.ExitCode == 0 && oneShot(svc), c.Health == plan.Healthy:
		return nil
	case c.State == plan.Exited && restarts(svc) == 0 || c.State == plan.Dead:
		return exited(c.ExitCode)
	case c.Health == plan.Unhealthy:
		return &brokenError{reason: "is unhealthy"}
	}
	return errNoVerdict
}

// byProbe judges by running the health check itself. failed is how that came out
// last.
func (e *executor) byProbe(ctx context.Context, svc types.ServiceConfig, s plan.Step, id string, failed **Check) error {
	test := probeOf(svc.HealthCheck)
	if test == nil {
		var err error
		if test, err = e.withoutProbe(ctx, id); test == nil {
			return err
		}
	}
	if svc.Labels[LabelPhase] == phaseBus && asksRedis(test) {
		if err := e.directBus(ctx, svc, s, id); !errors.Is(err, errNoVerdict) {
			return err
		}
	}
	if blocks(test) {
		if err := e.direct(ctx, s, id, svc.Labels[LabelPort]); !errors.Is(err, errNoVerdict) {
			return err
		}
		test = append(test, "--wait", e.timeout.String())
	}
	e.quiet.await(ctx, s, svc.HealthCheck)
	pause := 30 * time.Millisecond
	for {
		var out lines
		code, err := e.driver.Exec(ctx, id, ExecSpec{Cmd: test, Stdout: &out, Stderr: &out})
		switch {
		case err == nil && code == 0:
			return nil
		case err == nil:
			*failed = &Check{code, out.last(LogLines)}
		}
		// It may not be running any more, or not yet: the events tell.
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause = min(pause*3/2, time.Second)
	}
}

// withoutProbe waits for the verdict on a container whose service names no
// health check. Where its image brings one, that is what it returns. What waits
// to be restarted isn't running, and has to settle again after that.
func (e *executor) withoutProbe(ctx context.Context, id string) (test []string, err error) {
	m := e.watch.seen(id)
	for {
		c, err := e.driver.Inspect(ctx, id)
		switch {
		case err == nil && c.Health != "" && len(c.Probe) > 1:
			return probeOf(&types.HealthCheckConfig{Test: c.Probe}), nil
		case isNotFound(err), err == nil && c.Health != "":
			return nil, errNoVerdict
		case err != nil:
			return nil, err
		}
		wait, cancel := ctx, context.CancelFunc(func() {})
		if c.State == plan.Running {
			wait, cancel = context.WithTimeout(ctx, settle)
		}
		_, _, err = e.watch.next(wait, id, &m)
		settled := wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err != nil && settled:
			return nil, nil // nothing has happened to it for so long
		case err != nil:
			return nil, err
		}
	}
}

// probeOf gives the command of a health check, or nil.
func probeOf(h *types.HealthCheckConfig) []string {
	if h == nil || h.Disable || len(h.Test) < 2 {
		return nil
	}
	switch h.Test[0] {
	case "CMD":
		return append([]string(nil), h.Test[1:]...)
	case "CMD-SHELL":
		return []string{"/bin/sh", "-c", h.Test[1]}
	}
	return nil
}

// blocks reports whether a probe is our own, which can wait by itself.
func blocks(test []string) bool {
	return len(test) == 2 && test[0] == "/ww" && test[1] == "health"
}

// awaitCompleted waits until a container has ended with code 0. One that its
// policy restarts after a failure gets its attempts, for as long as a component
// may take to get ready.
func (e *executor) awaitCompleted(ctx context.Context, s plan.Step) error {
	id := e.container(s)
	svc := e.project.Services[s.Service]
	err := e.completion(ctx, svc, s, id)
	var broken *brokenError
	if ctx.Err() == nil && errors.As(err, &broken) {
		return e.failure(ctx, s, id, broken, nil)
	}
	return err
}

func (e *executor) completion(ctx context.Context, svc types.ServiceConfig, s plan.Step, id string) error {
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	var m mark
	var failed *brokenError
	earlier, retries := e.startedAgain(s), retriesOf(svc)
	gap := s.Target != "" && !earlier // it may have ended before there were events
	for {
		if gap {
			if err := e.result(ctx, id); !errors.Is(err, errNoVerdict) {
				return err
			}
		}
		events, cut, err := e.watch.next(limited, id, &m)
		switch {
		case err != nil && failed != nil && ctx.Err() == nil && isContext(err):
			return failed
		case err != nil:
			return err
		}
		gap = cut
		for _, ev := range events {
			if earlier = earlier && ev.Action != ActionStart; earlier {
				continue
			}
			switch {
			case ev.Action == ActionDestroy:
				return errRemoved
			case ev.Action != ActionDie:
			case ev.ExitCode == 0:
				return nil
			case retries == 0:
				return exited(ev.ExitCode)
			default:
				if failed == nil {
					defer time.AfterFunc(e.timeout, cancel).Stop()
				}
				failed = exited(ev.ExitCode)
				retries--
			}
		}
	}
}

// result tells how a container that has ended did so.
func (e *executor) result(ctx context.Context, id string) error {
	c, err := e.driver.Inspect(ctx, id)
	switch {
	case isNotFound(err):
		return errRemoved
	case err != nil:
		return err
	case c.State != plan.Exited && c.State != plan.Dead:
		return errNoVerdict
	case c.ExitCode == 0:
		return nil
	}
	return exited(c.ExitCode)
}
