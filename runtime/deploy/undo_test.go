package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
)

// three is a project with everything that an up makes. Its probes alone tell
// that it is ready, so that every up makes the same calls.
func three(t *testing.T) *world {
	byProbe := enginetest.Behaviour{Health: enginetest.HealthWhenAsked}
	w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"bus": byProbe, "a": byProbe, "b": byProbe}},
		"bus+:", "a+: bus+", "b+: a")
	w.withVolume("bus")
	return w
}

// TestUndo: what a failed up has made goes, and what was there before stays.
func TestUndo(t *testing.T) {
	sick := func(r *deploy.UpRequest) { r.Timeout = 100 * time.Millisecond }
	t.Run("everything is new", func(t *testing.T) {
		w := newWorld(t, enginetest.Options{Exec: never, Services: map[string]enginetest.Behaviour{"b": {Health: enginetest.HealthWhenAsked}}}, "a+:", "b+: a")
		w.withVolume("a")
		res, err := w.up(w.ctx, sick)
		wantComponentError(t, err, "b", "was not ready after 100ms")
		if left := w.left(); left != "p-a-1 p-b-1 p_default p_data" {
			t.Errorf("before: %s", left)
		}
		for range 2 { // the second time there is nothing to do
			if err := res.Undo(w.ctx); err != nil || w.left() != "" {
				t.Errorf("%v, left: %s", err, w.left())
			}
		}
	})
	t.Run("some of it was there", func(t *testing.T) {
		w := newWorld(t, enginetest.Options{Exec: never, Services: map[string]enginetest.Behaviour{"b": {Health: enginetest.HealthWhenAsked}}}, "a+:")
		w.withVolume("a")
		w.mustUp()
		bigger := project("a+:", "b+: a")
		w.project.Services["b"] = bigger.Services["b"]
		id := w.container("a").ID
		res, err := w.up(w.ctx, sick)
		wantComponentError(t, err, "b", "was not ready after 100ms")
		if err := res.Undo(w.ctx); err != nil {
			t.Fatal(err)
		}
		if left := w.left(); left != "p-a-1 p_default p_data" || w.container("a").ID != id {
			t.Errorf("left: %s", left)
		}
	})
	t.Run("nothing was done", func(t *testing.T) {
		w := three(t)
		w.fake.Inject(enginetest.Fault{Op: "container.list", N: 1, Kind: enginetest.Fail, Message: "broken"})
		res, err := w.up(w.ctx)
		wantEngineError(t, err, deploy.Other, "look at project p")
		if err := res.Undo(w.ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestUndoWhatIsntKnown: an engine may have done what it was asked though its
// answer was lost.
func TestUndoWhatIsntKnown(t *testing.T) {
	for op, what := range map[string]string{
		"container.create": "create container p-", "network.create": "create network p_default", "volume.create": "create volume p_data",
	} {
		t.Run(op, func(t *testing.T) {
			w := three(t)
			w.fake.Inject(enginetest.Fault{Op: op, N: 1, Kind: enginetest.Lost})
			res, err := w.up(w.ctx)
			var e *deploy.EngineError
			if !errors.As(err, &e) || e.Kind != deploy.Unreachable || !strings.HasPrefix(e.What, what) {
				t.Errorf("%v, want %s", err, what)
			}
			if w.left() == "" {
				t.Error("nothing was made: the test proves nothing")
			}
			if err := res.Undo(w.ctx); err != nil || w.left() != "" {
				t.Errorf("%v, left: %s", err, w.left())
			}
		})
	}
	t.Run("it was there before", func(t *testing.T) {
		w := three(t)
		w.mustUp()
		w.fake.Inject(enginetest.Fault{Op: "container.create", N: 1, Kind: enginetest.Cut})
		old := w.container("b").ID
		w.project.Services["c"] = project("c:").Services["c"]
		res, err := w.up(w.ctx)
		wantEngineError(t, err, deploy.Unreachable, "create container p-c-1")
		if err := res.Undo(w.ctx); err != nil || w.container("b").ID != old {
			t.Errorf("%v, left: %s", err, w.left())
		}
	})
}

// TestUndoFails: an undo that fails says what is left to do.
func TestUndoFails(t *testing.T) {
	w := three(t)
	res := w.mustUp()
	w.fake.Inject(enginetest.Fault{Op: "container.remove", N: 2, Kind: enginetest.Fail, Message: "broken"})
	err := res.Undo(w.ctx)
	if err == nil || !strings.Contains(err.Error(), "remove container p-") || !strings.Contains(err.Error(), "ww compose down") {
		t.Errorf("%v", err)
	}
	if n := len(w.observe().Containers); n != 1 {
		t.Errorf("%d containers are left, want the one that can't be removed", n)
	}
	if err := res.Undo(w.ctx); err != nil || w.left() != "" {
		t.Errorf("again: %v, left: %s", err, w.left())
	}
}

// each runs f once for each call that an undisturbed run makes, with the
// operation and how many of its kind come before.
func each(t *testing.T, calls []enginetest.Call, f func(t *testing.T, op string, n int)) {
	t.Helper()
	nth := map[string]int{}
	for _, c := range calls {
		nth[c.Op]++
		n := nth[c.Op]
		t.Run(fmt.Sprintf("%s %d", c.Op, n), func(t *testing.T) { f(t, c.Op, n) })
	}
	if len(calls) < 10 {
		t.Errorf("%d calls: that is no up", len(calls))
	}
}

// TestCancelAtAnyCall: whatever an up is waiting for, cancelling ends it, and
// undoing leaves nothing.
func TestCancelAtAnyCall(t *testing.T) {
	clean := three(t)
	clean.mustUp()
	each(t, clean.fake.Calls(), func(t *testing.T, op string, n int) {
		w := three(t)
		w.fake.Inject(enginetest.Fault{Op: op, N: n, Kind: enginetest.Hang})
		ctx, cancel := context.WithCancel(w.ctx)
		var begin time.Time
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			w.fake.AwaitCalls(w.ctx, n, op)
			begin = time.Now()
			cancel()
		}()
		res, err := w.up(ctx)
		<-stop
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("it ends after %v", d)
		}
		if err := res.Undo(w.ctx); err != nil || w.left() != "" {
			t.Errorf("%v, left: %s", err, w.left())
		}
	})
}

// TestCancelFinishes: a creation that is under way when an up is cancelled is
// awaited, so that what it makes is known.
func TestCancelFinishes(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "a+:")
	w.fake.Inject(enginetest.Fault{Op: "container.create", N: 1, Kind: enginetest.Late, Delay: 100 * time.Millisecond})
	ctx, cancel := context.WithCancel(w.ctx)
	go func() {
		w.fake.AwaitCalls(w.ctx, 1, "container.create")
		cancel()
	}()
	res, err := w.up(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "create p-a-1") {
		t.Errorf("%v", err)
	}
	if w.left() != "p-a-1 p_default" {
		t.Errorf("made: %s", w.left())
	}
	if err := res.Undo(w.ctx); err != nil || w.left() != "" {
		t.Errorf("%v, left: %s", err, w.left())
	}
}
