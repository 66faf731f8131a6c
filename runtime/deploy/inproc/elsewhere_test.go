package inproc_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/deploy/inproc"
)

// theirs is what runs elsewhere. It tells what it is asked for.
type theirs struct {
	asked        chan string
	ready, ended chan struct{}
}

func (e theirs) Ready(ctx context.Context, name string) error {
	e.asked <- "ready " + name
	return await(ctx, e.ready)
}

func (e theirs) Ended(ctx context.Context, name string) error {
	e.asked <- "ended " + name
	return await(ctx, e.ended)
}

func await(ctx context.Context, c chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestElsewhere: a component starts once what it needs elsewhere is ready, and
// stops once what needs it there has ended.
func TestElsewhere(t *testing.T) {
	w := newWorld(t)
	e := theirs{make(chan string, 10), make(chan struct{}), make(chan struct{})}
	w.opts.Elsewhere = e
	w.opts.Components[0].DependsOn = []string{"c"}  // b
	w.opts.Components[1].Dependents = []string{"d"} // a, which depends on b
	did := func(step string) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Contains(w.steps, step)
	}
	asked := func(want string) {
		t.Helper()
		select {
		case got := <-e.asked:
			if got != want {
				t.Errorf("asked for %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nobody asks for %q", want)
		}
	}
	s, err := inproc.New(t.Context(), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Start(t.Context()) }()
	asked("ready c")
	if did("wait until ready b") {
		t.Error("b doesn't wait for c")
	}
	close(e.ready)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.StopIntake(t.Context()); err != nil {
		t.Error(err)
	}
	if left := s.DrainBus(t.Context()); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	go func() {
		_, err := s.StopComponents(t.Context())
		done <- err
	}()
	asked("ended d")
	if did("stop a") || did("stop b") {
		t.Error("a doesn't wait for d")
	}
	close(e.ended)
	if err := errors.Join(<-done, s.Close()); err != nil {
		t.Error(err)
	}
	if !did("stop a") || !did("stop b") {
		t.Errorf("steps: %v", w.steps)
	}
}
