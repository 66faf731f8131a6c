package deploy_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// updated is a running project of which a is to be replaced, on a fixed port if
// it is to stop first.
func updated(t *testing.T, o enginetest.Options, stopFirst bool) *world {
	if o.Services == nil {
		o.Services = map[string]enginetest.Behaviour{}
	}
	for _, name := range []string{"bus", "a", "b"} {
		if _, ok := o.Services[name]; !ok {
			o.Services[name] = enginetest.Behaviour{Health: enginetest.HealthWhenAsked}
		}
	}
	w := newWorld(t, o, "bus+:", "a+: bus+", "b+: a")
	if stopFirst {
		w.change("a", func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 80, Published: "8080"}} })
	}
	w.mustUp()
	w.change("a", func(s *types.ServiceConfig) { s.Restart = "always" })
	return w
}

// TestUpdate: the new container is ready before the old one goes, and where
// that can't be, the old one is there until the new one is ready.
func TestUpdate(t *testing.T) {
	for name, want := range map[string]string{
		"start first": "create start ready stop remove rename",
		"stop first":  "create stop start ready remove rename",
	} {
		t.Run(name, func(t *testing.T) {
			w := updated(t, enginetest.Options{}, name == "stop first")
			old := w.container("a").ID
			w.told = nil
			w.mustUp()
			var ops []string
			for _, p := range w.told {
				if p.Status == deploy.Done && p.Step.Service == "a" {
					ops = append(ops, strings.TrimPrefix(string(p.Step.Op), "wait until "))
				}
			}
			if got := strings.Join(ops, " "); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if c := w.container("a"); c.ID == old || c.Name != "p-a-1" || c.State != plan.Running {
				t.Errorf("%+v", c)
			}
			if w.begun(plan.Create) != "a" {
				t.Errorf("created: %s", w.begun(plan.Create))
			}
		})
	}
}

// TestRollback: where the new container doesn't get ready, the old one serves
// on, or again, and the next up has the same to do.
func TestRollback(t *testing.T) {
	for _, stopFirst := range []bool{false, true} {
		fails := false
		exec := func(e enginetest.Exec) int {
			if fails && e.Service == "a" {
				return 1
			}
			return 0
		}
		w := updated(t, enginetest.Options{Exec: exec}, stopFirst)
		old := w.container("a").ID
		fails = true
		res, err := w.up(w.ctx, func(r *deploy.UpRequest) { r.Timeout = 200 * time.Millisecond })
		wantUpdateError(t, err, "a", "was not ready after 200ms")
		if err := res.Undo(w.ctx); err != nil {
			t.Fatal(err)
		}
		if c := w.container("a"); c.ID != old || c.State != plan.Running || len(w.observe().Containers) != 3 {
			t.Errorf("stop first %v: %+v", stopFirst, w.observe().Containers)
		}
		fails = false
		w.mustUp()
		if c := w.container("a"); c.ID == old || c.Name != "p-a-1" {
			t.Errorf("it isn't replaced: %+v", c)
		}
	}
}

// TestRollbackOfAll: where one of several new containers doesn't get ready, all
// of the old ones serve on, or again, whatever depends on what.
func TestRollbackOfAll(t *testing.T) {
	for _, b := range []string{"b+: a+", "b+:"} {
		for _, stopFirst := range []bool{false, true} {
			var fails atomic.Bool
			exec := func(e enginetest.Exec) int {
				if fails.Load() && e.Service == "b" {
					return 1
				}
				return 0
			}
			when := map[string]enginetest.Behaviour{"a": {Health: enginetest.HealthWhenAsked}, "b": {Health: enginetest.HealthWhenAsked}}
			w := newWorld(t, enginetest.Options{Exec: exec, Services: when}, "a+:", b)
			if stopFirst {
				w.change("a", func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 80, Published: "8080"}} })
			}
			w.mustUp()
			was := map[string]string{"a": w.container("a").ID, "b": w.container("b").ID}
			for name := range was {
				w.change(name, func(s *types.ServiceConfig) { s.Restart = "always" })
			}
			fails.Store(true)
			res, err := w.up(w.ctx, func(r *deploy.UpRequest) { r.Timeout = 500 * time.Millisecond })
			wantUpdateError(t, err, "b", "was not ready after 500ms")
			if err := res.Undo(w.ctx); err != nil {
				t.Fatal(err)
			}
			for name, id := range was {
				if c := w.container(name); c.ID != id || c.State != plan.Running || len(w.observe().Containers) != 2 {
					t.Errorf("%s, stop first %v: %s is %s (%s), was %s", b, stopFirst, name, c.ID, c.State, id)
				}
			}
		}
	}
}

// TestRollbackOfReplicas: replicas that were replaced before a later one fails
// stay, and that is told.
func TestRollbackOfReplicas(t *testing.T) {
	var fails atomic.Bool
	exec := func(e enginetest.Exec) int {
		if fails.Load() && strings.HasSuffix(e.Container, "_p-a-2") {
			return 1
		}
		return 0
	}
	w := newWorld(t, enginetest.Options{Exec: exec, Services: map[string]enginetest.Behaviour{
		"a": {Health: enginetest.HealthWhenAsked}, "b": {Health: enginetest.HealthWhenAsked},
	}}, "a+:", "b+: a")
	w.change("a", func(s *types.ServiceConfig) { s.SetScale(2) })
	w.mustUp()
	for _, name := range []string{"a", "b"} {
		w.change(name, func(s *types.ServiceConfig) { s.Restart = "always" })
	}
	fails.Store(true)
	res, err := w.up(w.ctx, func(r *deploy.UpRequest) { r.Timeout = 500 * time.Millisecond })
	wantUpdateError(t, err, "a", "was not ready after 500ms")
	if err := res.Undo(w.ctx); err != nil {
		t.Fatal(err)
	}
	if stays := res.Stays(); !slices.Equal(stays, []string{"p-a-1"}) {
		t.Errorf("it tells of %q", stays)
	}
	now := map[string]string{}
	for _, c := range w.observe().Containers {
		now[c.Name] = c.ConfigHash
	}
	if want := map[string]string{"p-a-1": "hash-app:1always", "p-a-2": "hash-app:1", "p-b-1": "hash-app:1"}; !maps.Equal(now, want) {
		t.Errorf("%v, want %v", now, want)
	}
}

func wantUpdateError(t *testing.T, err error, service, reason string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), service+" "+reason) {
		t.Errorf("%v, want %s %s", err, service, reason)
	}
}

// TestFaultsOfUpdate: whichever call of an update goes wrong in whichever way,
// after the clean-up every service runs, old or new; the next up converges, and
// a down leaves nothing.
func TestFaultsOfUpdate(t *testing.T) {
	for _, stopFirst := range []bool{false, true} {
		clean := updated(t, enginetest.Options{}, stopFirst)
		before := len(clean.fake.Calls())
		clean.mustUp()
		calls := clean.fake.Calls()[before:]
		for name, fault := range faults {
			t.Run(name, func(t *testing.T) {
				each(t, calls, func(t *testing.T, op string, n int) {
					w := updated(t, enginetest.Options{}, stopFirst)
					var res deploy.UpResult
					err := w.disturbed(op, n, fault, func(ctx context.Context) (err error) {
						res, err = w.up(ctx)
						return err
					})
					if op != "container.inspect" && op != "image.inspect" {
						w.checkFault(err, op, fault)
					}
					if err != nil {
						if undo := res.Undo(w.ctx); undo != nil {
							t.Errorf("undo: %v", undo)
						}
						for _, s := range []string{"bus", "a", "b"} {
							if !slices.ContainsFunc(w.observe().Containers, func(c plan.Container) bool { return c.Service == s && c.State == plan.Running }) {
								t.Errorf("%s doesn't run any more after %v: %+v", s, err, w.observe().Containers)
							}
						}
					}
					w.mustUp()
					if again, err := deploy.Preview(w.ctx, w.driver, w.request()); err != nil || again.Changes() > 0 {
						t.Errorf("something is left to do: %v\n%s", err, again)
					}
					if c := w.container("a"); len(w.observe().Containers) != 3 || c.Name != "p-a-1" {
						t.Errorf("%+v", w.observe().Containers)
					}
					if err := w.down(w.ctx); err != nil || w.left() != "" {
						t.Errorf("down: %v, left: %s", err, w.left())
					}
				})
			})
		}
	}
}

// TestPortOfOrphan: an up on a running system that fails in the middle leaves
// what worked before as it was.
func TestPortOfOrphan(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "a:", "b:")
	w.change("a", func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 80, Published: "8080"}} })
	w.mustUp()
	a, b := w.container("a").ID, w.container("b").ID
	// a is renamed to c, and b changes: c can't have the port while a is there.
	c := w.project.Services["a"]
	c.Name = "c"
	delete(w.project.Services, "a")
	w.project.Services["c"] = c
	w.change("b", func(s *types.ServiceConfig) {
		s.Restart = "always"
		s.DependsOn = types.DependsOnConfig{"c": {Condition: types.ServiceConditionStarted, Required: true}}
	})
	res, err := w.up(w.ctx)
	wantEngineError(t, err, deploy.PortTaken, "start container p-c-1")
	if err := res.Undo(w.ctx); err != nil {
		t.Fatal(err)
	}
	if w.container("a").ID != a || w.container("b").ID != b || w.container("a").State != plan.Running || w.container("b").State != plan.Running || len(w.observe().Containers) != 2 {
		t.Errorf("%+v", w.observe().Containers)
	}
	w.mustUp(func(r *deploy.UpRequest) { r.Options.RemoveOrphans = true })
}

// TestHooks: a service's own commands run after its start and before its stop,
// and one that fails says so.
func TestHooks(t *testing.T) {
	var ran []string
	code := 0
	exec := func(e enginetest.Exec) int {
		ran = append(ran, strings.Join(e.Cmd, " "))
		_, _ = io.WriteString(e.Stdout, "out of order\n")
		return code
	}
	w := newWorld(t, enginetest.Options{Exec: exec}, "a:")
	w.change("a", func(s *types.ServiceConfig) {
		s.PostStart = []types.ServiceHook{{Command: types.ShellCommand{"seed", "1"}}}
		s.PreStop = []types.ServiceHook{{Command: types.ShellCommand{"flush"}}}
	})
	w.mustUp()
	w.change("a", func(s *types.ServiceConfig) { s.Restart = "always"; s.ContainerName = "p-a-1" })
	w.mustUp()
	if got := strings.Join(ran, ", "); got != "seed 1, flush, seed 1" {
		t.Errorf("%s", got)
	}
	code = 3
	w.change("a", func(s *types.ServiceConfig) { s.Restart = "unless-stopped" })
	_, err := w.up(w.ctx)
	var e *deploy.ComponentError
	if !errors.As(err, &e) {
		t.Fatalf("%v", err)
	}
	if e.Reason != `post_start hook "seed 1" exited with code 3` || len(e.Logs) != 1 || e.Logs[0] != "out of order" {
		t.Errorf("%+v", e)
	}
}

// TestEndsOnce: what the engine starts again may end before it gets ready; what
// goes on ending is broken, which TestBroken holds.
func TestEndsOnce(t *testing.T) {
	for _, line := range []string{"a:", "a+:"} {
		w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {Exits: true, ExitCode: 1, RestartAfter: 200 * time.Millisecond}}}, line)
		w.change("a", func(s *types.ServiceConfig) { s.Restart = "always" })
		if _, err := w.upMeanwhile(func() {
			w.await(1, "container.start")
			w.fake.SetBehaviour("a", enginetest.Behaviour{})
		}); err != nil {
			t.Errorf("%s %v", line, err)
		}
		if w.container("a").State != plan.Running {
			t.Errorf("%+v", w.container("a"))
		}
	}
}

// TestNeverStarted: what was created and never started is no state to go back
// to.
func TestNeverStarted(t *testing.T) {
	w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {StartError: "broken"}}}, "a:", "b:")
	for range 2 {
		res, err := w.up(w.ctx)
		if err == nil {
			t.Fatal("it starts")
		}
		defer func() { // the first one's clean-up never came
			if err := res.Undo(w.ctx); err != nil {
				t.Error(err)
			}
		}()
		if len(w.observe().Containers) == 0 {
			t.Fatal("nothing is left: the test proves nothing")
		}
	}
	res, err := w.up(w.ctx)
	if err == nil {
		t.Fatal("it starts")
	}
	if err := res.Undo(w.ctx); err != nil || strings.Contains(w.left(), "p-a") {
		t.Errorf("%v, left: %s", err, w.left())
	}
}
