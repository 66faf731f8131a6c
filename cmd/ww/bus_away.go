package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/plan"
)

// A bus that isn't there has one exit code, one message and one remedy,
// whichever command notices it, and when: before it begins, by the containers;
// later, by the inner half, which then asks the bus how it is.

const remedyBus = "`ww compose up -d` starts it, and what waits on it is kept; `ww compose ps -a` and `ww compose logs " +
	model.BusService + "` tell what became of it"

// startsIt says what starts a system of which nothing is there.
const startsIt = "`ww compose up -d` starts it in containers, and `ww up` as its deployments say"

// remedyNothing is where nothing of a project is there.
const remedyNothing = startsIt + "; what waits on a bus of a server is kept"

// busNotRunning is the error of a bus that has no running container.
func busNotRunning(why string) error {
	remedy := remedyBus
	if strings.HasPrefix(why, nothingOf) {
		remedy = remedyNothing
	}
	return &busError{&answerError{model.BusService + " isn't running: " + why, remedy}}
}

// nothingOf begins what is said where no container of a project is there.
const nothingOf = "nothing of project"

func nothingRuns(project string) string { return fmt.Sprintf("%s %q is", nothingOf, project) }

// busError is the error of a bus that isn't there.
type busError struct{ *answerError }

func (e *busError) Unwrap() error { return e.answerError }

// labelDependsOn lists the services that a container needs.
const labelDependsOn = "com.docker.compose.depends_on"

// busTrouble says why the project's own bus doesn't run; "" if it does, or if
// the project has none.
func busTrouble(cs []plan.Container) string {
	wanted, there := false, false
	for _, c := range cs {
		if isBus(c) {
			if c.State != plan.Running {
				return strings.ToLower(c.Status)
			}
			there = true
		}
		wanted = wanted || strings.Contains(","+c.Labels[labelDependsOn], ","+model.BusService+":")
	}
	if wanted && !there {
		return "it has no container"
	}
	return ""
}

// trouble is busTrouble of what there is now. An engine that doesn't answer
// knows of none.
func (r *running) trouble(ctx context.Context) string {
	have, err := r.engine.Observe(ctx, r.name, nil)
	if err != nil {
		return ""
	}
	if len(have.Containers) == 0 {
		return nothingRuns(r.name)
	}
	return busTrouble(have.Containers)
}

// gone is the error of a bus that doesn't run any more; nil if it does as far
// as anybody knows.
func (r *remote) gone(ctx context.Context) error {
	if r.trouble == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	if why := r.trouble(ctx); why != "" {
		return busNotRunning(why)
	}
	return nil
}

// away is the error of a bus that the inner half can't use.
func (r *remote) away(ctx context.Context, detail string) error {
	if err := r.gone(ctx); err != nil {
		return err
	}
	remedy := remedyBus
	if r.local {
		remedy = "what `ww up` writes tells what became of it; what waits on a bus of its own server is kept"
	}
	return &busError{&answerError{model.BusService + " can't be used: " + harmless(detail), remedy}}
}

// awayError is how the inner half says that the bus isn't there.
type awayError struct{ error }

func (e *awayError) Unwrap() error { return e.error }

const (
	// pulse is how often the bus is asked how it is while an order goes on, and
	// lost how many times in a row it may fail to say.
	pulse = time.Second
	lost  = 2
)

// lengthy are the orders that go on for a while, and would wait for a bus that
// is away.
var lengthy = []operation{opTail, opDrain, opRequeue, opDiscard}

// supervised does an order, and ends it where the bus goes away meanwhile.
func (a *agent) supervised(ctx context.Context, o order) error {
	inner, lose := context.WithCancelCause(ctx)
	guarded := make(chan struct{})
	go func() {
		defer close(guarded)
		if slices.Contains(lengthy, o.Op) {
			a.guard(inner, lose)
		}
	}()
	err := a.do(inner, o)
	var away *awayError
	if cause := context.Cause(inner); errors.As(cause, &away) {
		err = cause
	}
	lose(nil)
	<-guarded
	switch code, _ := classify(err); {
	case ctx.Err() != nil || away != nil || code == exitUsage || code == exitConfig:
		return err
	case err == nil && o.Op == opTail:
		err = bus.ErrClosed // nothing else ends it
	case err == nil:
		return nil
	}
	if cause := a.healthy(ctx); cause != nil && ctx.Err() == nil {
		return &awayError{cause}
	}
	return err
}

// guard ends an order with lose when the bus doesn't say how it is.
func (a *agent) guard(ctx context.Context, lose context.CancelCauseFunc) {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	for failures := 0; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := a.healthy(ctx)
		switch {
		case err == nil:
			failures = 0
		case ctx.Err() != nil:
			return
		default:
			if failures++; failures == lost {
				lose(&awayError{err})
				return
			}
		}
	}
}

func (a *agent) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*pulse)
	defer cancel()
	return a.bus.Healthy(ctx)
}
