package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// doorTo finds the container to send to a component through. What has been made
// and isn't started yet, by an `up` that is at work, is waited for.
func (t *tool) doorTo(ctx context.Context, r *running, target string, within time.Duration) (door plan.Container, known []string, err error) {
	began := time.Now()
	for n := 0; ; n++ {
		if err = r.takes(target); err == nil {
			door, known, err = r.door(nil)
		}
		var coming *comingError
		waited := time.Since(began)
		switch {
		case !errors.As(err, &coming):
			return door, known, err
		case waited >= within:
			return door, nil, &answerError{fmt.Sprintf("%v, after %s", coming, briefly(waited)), coming.remedy}
		case n == 0:
			fmt.Fprintf(t.err, "note: %v: waiting for it\n", coming)
		}
		select {
		case <-time.After(looks.Delay(n + 1)):
		case <-ctx.Done():
			return door, nil, ctx.Err()
		}
		if err := r.observe(ctx); err != nil {
			return door, nil, err
		}
	}
}

// comingError is that of a component that can't be sent to yet.
type comingError struct{ *answerError }

func (e *comingError) Unwrap() error { return e.answerError }

func notStarted(c *plan.Container) error {
	return &comingError{&answerError{
		c.Service + " isn't running yet: its container was made, and hasn't been started",
		"an `up` that is at work starts it; without one, `ww compose up -d` does, and `ww compose ps -a` tells what it waits for",
	}}
}

// silent says what of a component's containers may be why it doesn't answer; ""
// if that is nothing.
func (r *running) silent(ctx context.Context, target string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	have, err := r.engine.Observe(ctx, r.name, nil)
	if err != nil {
		return ""
	}
	return silence(have.Containers, target)
}

func silence(cs []plan.Container, target string) string {
	why := ""
	for _, c := range cs {
		switch {
		case c.Labels[deploy.LabelComponent] != target || c.OneOff:
		case c.State == plan.Running && c.Health != plan.Starting:
			return ""
		case c.State == plan.Running:
			why = "it may still be starting"
		case why != "":
		case c.State == plan.Created:
			why = "its container was made, and hasn't been started"
		default:
			why = "its container is " + string(c.State)
		}
	}
	return why
}
