package inproc_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/deploy/inproc"
)

// theirs is what runs elsewhere.
type theirs struct{ ready, ended chan struct{} }

func (e theirs) Ready(ctx context.Context, _ string) error { return await(ctx, e.ready) }
func (e theirs) Ended(ctx context.Context, _ string) error { return await(ctx, e.ended) }

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
	e := theirs{make(chan struct{}), make(chan struct{})}
	w.opts.Elsewhere = e
	w.opts.Components[0].DependsOn = []string{"c"}
	w.opts.Components[1].Dependents = []string{"d"}
	did := func(step string) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Contains(w.steps, step)
	}
	s, err := inproc.New(t.Context(), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Start(t.Context()) }()
	for end := time.Now().Add(10 * time.Second); !did("wait until ready message-bus"); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("the bus isn't opened")
		}
	}
	select {
	case err := <-done:
		t.Fatalf("it doesn't wait: %v", err)
	default:
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
	select {
	case err := <-done:
		t.Fatalf("it doesn't wait: %v", err)
	default:
	}
	if did("stop a") || did("stop b") {
		t.Errorf("they stop before what needs them: %v", w.steps)
	}
	close(e.ended)
	if err := errors.Join(<-done, s.Close()); err != nil {
		t.Error(err)
	}
	if !did("stop a") || !did("stop b") {
		t.Errorf("steps: %v", w.steps)
	}
}
