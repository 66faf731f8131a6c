package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/plan"
)

// settle is how long a container without a health check has to run before it
// counts as ready where readiness was asked for: one that ends at once isn't.
const settle = time.Second

// ComponentError says that a component's container is not as it should be.
type ComponentError struct {
	Service   string
	Container string
	ExitCode  int // meaningful when Exited
	Exited    bool
	Reason    string   // what happened: "exited with code 3", "was not ready after 60s"
	Logs      []string // its last lines
}

func (e *ComponentError) Error() string { return e.Service + " " + e.Reason }

// LogLines is how many of a failed component's last lines are shown.
const LogLines = 20

// watcher hands out a project's events to whoever waits for a container.
type watcher struct {
	mu     sync.Mutex
	past   map[string][]Event // by container
	subs   map[string][]chan struct{}
	closed error
	ended  chan struct{}
}

// watch subscribes to the project's events until stop is called.
func watch(ctx context.Context, d Driver, project string, since time.Time) (*watcher, func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	events, why, err := d.Events(ctx, project, since)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	w := &watcher{past: map[string][]Event{}, subs: map[string][]chan struct{}{}, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for ev := range events {
			w.mu.Lock()
			w.past[ev.Container] = append(w.past[ev.Container], ev)
			for _, c := range w.subs[ev.Container] {
				select {
				case c <- struct{}{}:
				default:
				}
			}
			w.mu.Unlock()
		}
		w.mu.Lock()
		w.closed = why()
		if w.closed == nil {
			w.closed = errors.New("the engine's events ended")
		}
		w.mu.Unlock()
	}()
	return w, func() { cancel(); <-w.ended }, nil
}

// next returns the events of a container from the from-th on, once there are
// any.
func (w *watcher) next(ctx context.Context, id string, from int) ([]Event, error) {
	wake := make(chan struct{}, 1)
	w.mu.Lock()
	w.subs[id] = append(w.subs[id], wake)
	w.mu.Unlock()
	defer w.unsubscribe(id, wake)
	for {
		w.mu.Lock()
		if past := w.past[id]; len(past) > from {
			w.mu.Unlock()
			return past[from:], nil
		}
		closed := w.closed
		w.mu.Unlock()
		if closed != nil {
			return nil, closed
		}
		select {
		case <-wake:
		case <-w.ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (w *watcher) unsubscribe(id string, wake chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, c := range w.subs[id] {
		if c == wake {
			w.subs[id] = append(w.subs[id][:i], w.subs[id][i+1:]...)
			return
		}
	}
}

// awaitReady waits until a container is ready: at the moment when a probe says
// so, without waiting for the engine's next check. It fails as soon as the
// container dies or the engine calls it unhealthy.
func (e *executor) awaitReady(ctx context.Context, s plan.Step) error {
	id := e.container(s)
	svc := e.project.Services[s.Service]
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	verdict := make(chan error, 2)
	go func() { verdict <- e.byEvents(ctx, svc, s, id) }()
	go func() { verdict <- e.byProbe(ctx, svc, id) }()
	var err error
	for range 2 {
		if err = <-verdict; err == nil || !errors.Is(err, errNoVerdict) {
			break
		}
	}
	cancel()
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errNoVerdict) {
		return e.failure(s, id, fmt.Sprintf("was not ready after %s", e.timeout), nil)
	}
	return err
}

// errNoVerdict is what one way of looking returns that can't tell.
var errNoVerdict = errors.New("no verdict")

// byEvents judges by what the engine tells.
func (e *executor) byEvents(ctx context.Context, svc types.ServiceConfig, s plan.Step, id string) error {
	seen := 0
	for {
		events, err := e.watch.next(ctx, id, seen)
		if err != nil {
			return err
		}
		seen += len(events)
		for _, ev := range events {
			switch ev.Action {
			case ActionHealthy:
				return nil
			case ActionUnhealthy:
				return e.failure(s, id, "is unhealthy", nil)
			case ActionDie:
				if ev.ExitCode == 0 && oneShot(svc) {
					return nil
				}
				return e.failure(s, id, fmt.Sprintf("exited with code %d", ev.ExitCode), &ev.ExitCode)
			case ActionDestroy:
				return e.failure(s, id, "was removed by someone else", nil)
			}
		}
	}
}

// oneShot reports whether a service is expected to end.
func oneShot(s types.ServiceConfig) bool {
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil {
		c := s.Deploy.RestartPolicy.Condition
		return c == "none" || c == "on-failure"
	}
	return s.Restart == "" || s.Restart == types.RestartPolicyNo || strings.HasPrefix(s.Restart, types.RestartPolicyOnFailure)
}

// byProbe judges by running the health check itself.
func (e *executor) byProbe(ctx context.Context, svc types.ServiceConfig, id string) error {
	test := probeOf(svc)
	if test == nil {
		return e.withoutProbe(ctx, id)
	}
	if blocks(test) {
		if err := e.direct(ctx, id, svc.Labels[LabelPort]); !errors.Is(err, errNoVerdict) {
			return err
		}
		test = append(test, "--wait", e.timeout.String())
	}
	pause := 30 * time.Millisecond
	for {
		code, err := e.driver.Exec(ctx, id, ExecSpec{Cmd: test, Stdout: io.Discard, Stderr: io.Discard})
		if err == nil && code == 0 {
			return nil
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
// health check. Its image may bring one.
func (e *executor) withoutProbe(ctx context.Context, id string) error {
	c, err := e.driver.Inspect(ctx, id)
	if err != nil {
		return err
	}
	if c.Health != "" {
		return errNoVerdict
	}
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// probeOf gives the command of a service's health check, or nil.
func probeOf(s types.ServiceConfig) []string {
	h := s.HealthCheck
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

// awaitCompleted waits until a container has ended with code 0.
func (e *executor) awaitCompleted(ctx context.Context, s plan.Step) error {
	id := e.container(s)
	if s.Target != "" {
		c, err := e.driver.Inspect(ctx, id)
		if err != nil {
			return err
		}
		if c.State == plan.Exited && len(s.Needs) == 0 {
			if c.ExitCode == 0 {
				return nil
			}
			return e.failure(s, id, fmt.Sprintf("exited with code %d", c.ExitCode), &c.ExitCode)
		}
	}
	seen := 0
	for {
		events, err := e.watch.next(ctx, id, seen)
		if err != nil {
			return err
		}
		seen += len(events)
		for _, ev := range events {
			if ev.Action == ActionDie {
				if ev.ExitCode == 0 {
					return nil
				}
				return e.failure(s, id, fmt.Sprintf("exited with code %d", ev.ExitCode), &ev.ExitCode)
			}
		}
	}
}

// failure makes the error of a component, with the last lines of its log.
func (e *executor) failure(s plan.Step, id, reason string, code *int) error {
	// The context of the step may be over; its log is still wanted.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := &ComponentError{Service: s.Service, Container: s.Name, Reason: reason, Logs: Tail(ctx, e.driver, id, LogLines)}
	if code != nil {
		err.Exited, err.ExitCode = true, *code
	}
	return err
}

// Tail gives the last lines of a container's log, as far as they can be had.
func Tail(ctx context.Context, d Driver, id string, n int) []string {
	var out bytes.Buffer
	var mu sync.Mutex
	w := lockedWriter{&mu, &out}
	if err := d.Logs(ctx, id, LogOptions{Tail: fmt.Sprint(n)}, w, w); err != nil && out.Len() == 0 {
		return nil
	}
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return nil
	}
	return lines[max(0, len(lines)-n):]
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
