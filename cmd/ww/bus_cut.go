package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// A container that is gone through may end meanwhile: an update replaces it.
// What the bus was asked through it is then asked through another one.

// repeatable are the orders that change nothing, or the same once more.
var repeatable = []operation{opStats, opList, opShow, opDrain, opPublish, opTrace, opServices}

// cutError is that of a container that ended before it had done its part.
type cutError struct{ error }

func (e *cutError) Unwrap() error { return e.error }

const remedyCut = "`ww compose ps` tells whether it is still running"

// cutBy is the error of a command that could not be run, or not to its end.
func (r *remote) cutBy(err error) error {
	var engine *deploy.EngineError
	if errors.As(err, &engine) && slices.Contains([]deploy.ErrorKind{deploy.NotFound, deploy.Conflict, deploy.Other}, engine.Kind) {
		err = &answerError{fmt.Sprintf("%s can't be gone through to the bus: %v", r.name, engine.Err), remedyCut}
	}
	return &cutError{err}
}

// handing notes that something of it was read.
type handing struct {
	io.Reader
	read *atomic.Bool
}

func (h *handing) Read(p []byte) (int, error) {
	h.read.Store(true)
	return h.Reader.Read(p)
}

const (
	// anotherWithin is how long another container may take to be there, where
	// one is on its way.
	anotherWithin = 30 * time.Second
	// mostTries is how often a container is gone through that runs and doesn't
	// do what it should: the engine may be about to stop it.
	mostTries = 4
)

// anotherWay returns what turns r to another container, from door on: one that
// is replaced has its successor, and one that was stopped for another's sake
// comes back.
func (r *remote) anotherWay(p *running, door plan.Container) func(context.Context) error {
	tried := map[string]int{}
	return func(ctx context.Context) error {
		tried[door.ID]++
		began := time.Now()
		for n := 0; ; n++ {
			if err := p.observe(ctx); err != nil {
				return err
			}
			other, known, err := p.door(tried)
			switch waited := time.Since(began); {
			case err != nil && (waited > anotherWithin || waited > time.Second && !p.changing()):
				return err
			case err != nil:
			case tried[other.ID] >= mostTries:
				return fmt.Errorf("%s runs all the same", other.Name)
			case tried[other.ID] == 0 || n > 0: // the same one only after a pause
				door = other
				r.name, r.known, r.run = other.Name, known, agentIn(p.engine, other.ID)
				return nil
			}
			select {
			case <-time.After(looks.Delay(n + 1)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// looks is how often another container is looked for.
var looks = bus.Backoff{Min: 50 * time.Millisecond, Max: time.Second}

// changing reports whether containers are on their way.
func (r *running) changing() bool {
	return slices.ContainsFunc(r.have.Containers, func(c plan.Container) bool {
		return !c.OneOff && (c.State == plan.Created || c.State == plan.Restarting || plan.FinalName(c.Name) != c.Name)
	})
}
