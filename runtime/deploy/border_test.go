package deploy_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// TestBorder: a container isn't started before what it needs elsewhere is there,
// nor stopped before what needs it there has ended; the others don't wait.
func TestBorder(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "a:", "b: a", "c:")
	elsewhere := make(chan struct{})
	var asked []string
	border := func(op plan.Op) deploy.Border {
		return deploy.Border{
			Before: func(s plan.Step) []string {
				if s.Op != op {
					t.Errorf("asked before %s", s.Op)
				}
				if s.Service == "b" {
					return []string{"theirs"}
				}
				return nil
			},
			Await: func(ctx context.Context, name string) error {
				asked = append(asked, name)
				select {
				case <-elsewhere:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
			Planned: func(p plan.Plan) {
				if p.Empty() {
					t.Error("an empty plan")
				}
			},
		}
	}
	req := w.request()
	req.Border = border(plan.Start)
	done := make(chan error, 1)
	go func() {
		_, err := deploy.Up(w.ctx, w.driver, req)
		done <- err
	}()
	w.await(2, "container.start")
	if n := len(w.fake.Calls("container.start")); n != 2 {
		t.Errorf("%d containers are started", n)
	}
	close(elsewhere)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.await(3, "container.start")

	have, err := w.driver.Observe(w.ctx, "p", nil)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere = make(chan struct{})
	go func() {
		_, err := deploy.Down(w.ctx, w.driver, deploy.DownRequest{Name: "p", Have: have, Border: border(plan.Stop)})
		done <- err
	}()
	w.await(1, "container.stop") // c: a waits for b
	if n := len(w.fake.Calls("container.stop")); n != 1 {
		t.Errorf("%d containers are stopped", n)
	}
	close(elsewhere)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(asked, []string{"theirs", "theirs"}) {
		t.Errorf("asked for %v", asked)
	}

	// What can't be had elsewhere ends it, as any failure does.
	req.Border.Await = func(context.Context, string) error { return errors.New("it is broken") }
	res, err := deploy.Up(w.ctx, w.driver, req)
	if err == nil || err.Error() != "it is broken" {
		t.Errorf("up: %v", err)
	}
	if err := res.Undo(w.ctx); err != nil {
		t.Error(err)
	}
}
