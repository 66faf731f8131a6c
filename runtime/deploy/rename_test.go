package deploy_test

import (
	"context"
	"errors"
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

// renamed is a running project of which service a is to be called c, and keeps
// its container's name. What has that name is told by names.
func renamed(t *testing.T, o enginetest.Options) *world {
	o.Services = map[string]enginetest.Behaviour{
		"a": {Health: enginetest.HealthWhenAsked}, "b": {Health: enginetest.HealthWhenAsked}, "c": {Health: enginetest.HealthWhenAsked},
	}
	w := newWorld(t, o, "a+:", "b+:")
	w.change("a", func(s *types.ServiceConfig) { s.ContainerName = "x" })
	w.withVolume("a")
	w.mustUp()
	c := w.project.Services["a"]
	c.Name = "c"
	delete(w.project.Services, "a")
	w.project.Services["c"] = c
	return w
}

func removeOrphans(r *deploy.UpRequest) { r.Options.RemoveOrphans = true }

// running lists the containers that run, with their names.
func (w *world) running() string {
	w.t.Helper()
	var names []string
	for _, c := range w.observe().Containers {
		if c.State == plan.Running {
			names = append(names, c.Service+"="+c.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// TestRenamedService: a container whose name goes over to a new service's is
// there until that is ready, and is back where it doesn't get ready.
func TestRenamedService(t *testing.T) {
	var sick atomic.Bool
	w := renamed(t, enginetest.Options{Exec: func(e enginetest.Exec) int {
		if sick.Load() && e.Service == "c" {
			return 1
		}
		return 0
	}})
	was := w.container("a").ID
	sick.Store(true)
	res, err := w.up(w.ctx, removeOrphans, func(r *deploy.UpRequest) { r.Timeout = 300 * time.Millisecond })
	e := wantComponent(t, err, "c", "was not ready after 300ms")
	if e.Container != "x" {
		t.Errorf("it speaks of %s", e.Container)
	}
	if err := res.Undo(w.ctx); err != nil {
		t.Fatal(err)
	}
	if got := w.running(); got != "a=x b=p-b-1" || w.container("a").ID != was || len(w.observe().Containers) != 2 {
		t.Fatalf("after the failure: %s", got)
	}
	sick.Store(false)
	w.told = nil
	w.mustUp(removeOrphans)
	if got := w.running(); got != "b=p-b-1 c=x" || len(w.observe().Containers) != 2 {
		t.Errorf("after the update: %s", got)
	}
	// Both write to the volume: one after the other.
	if w.moment(plan.Stop, "a", deploy.Done) > w.moment(plan.Start, "c", deploy.Running) {
		t.Error("both ran at the same time")
	}
	if w.moment(plan.Create, "c", deploy.Done) > w.moment(plan.Stop, "a", deploy.Running) {
		t.Error("the old one stops before it is known whether the new one can be created")
	}
}

// TestNameGivenUp: likewise where the other service stays and gives the name up.
func TestNameGivenUp(t *testing.T) {
	var sick atomic.Bool
	health := enginetest.Behaviour{Health: enginetest.HealthWhenAsked}
	w := newWorld(t, enginetest.Options{
		Services: map[string]enginetest.Behaviour{"a": health, "c": health},
		Exec: func(e enginetest.Exec) int {
			if sick.Load() && e.Service == "c" {
				return 1
			}
			return 0
		},
	}, "a+:")
	w.change("a", func(s *types.ServiceConfig) { s.ContainerName = "x" })
	w.mustUp()
	was := w.container("a").ID
	w.change("a", func(s *types.ServiceConfig) { s.ContainerName, s.Restart = "", "always" })
	w.project.Services["c"] = project("c+:").Services["c"]
	w.change("c", func(s *types.ServiceConfig) { s.ContainerName = "x" })
	sick.Store(true)
	res, err := w.up(w.ctx, func(r *deploy.UpRequest) { r.Timeout = 300 * time.Millisecond })
	wantComponent(t, err, "c", "was not ready after 300ms")
	if err := res.Undo(w.ctx); err != nil {
		t.Fatal(err)
	}
	if got := w.running(); got != "a=x" || w.container("a").ID != was || len(w.observe().Containers) != 1 {
		t.Fatalf("after the failure: %s", got)
	}
	sick.Store(false)
	w.mustUp()
	if got := w.running(); got != "a=p-a-1 c=x" || len(w.observe().Containers) != 2 {
		t.Errorf("after the update: %s", got)
	}
}

func wantComponent(t *testing.T, err error, service, reason string) *deploy.ComponentError {
	t.Helper()
	var e *deploy.ComponentError
	if !errors.As(err, &e) || e.Service != service || e.Reason != reason {
		t.Fatalf("%v, want %s to say %q", err, service, reason)
	}
	return e
}

// TestRenameKilled: an up that hands a name over and is killed at any call is
// finished by the next one, asked to remove orphans or not; or it is taken back
// by one with the file as it was.
func TestRenameKilled(t *testing.T) {
	clean := renamed(t, enginetest.Options{})
	before := len(clean.fake.Calls())
	clean.mustUp(removeOrphans)
	each(t, clean.fake.Calls()[before:], func(t *testing.T, op string, n int) {
		for _, how := range []string{"again", "without the flag", "back"} {
			for _, kind := range []enginetest.FaultKind{enginetest.Cut, enginetest.Lost} {
				endRename(t, how, enginetest.Fault{Op: op, N: n, Kind: kind})
			}
		}
	})
}

// endRename has an update fail without cleaning up, and another one come after
// it.
func endRename(t *testing.T, how string, fault enginetest.Fault) {
	w := renamed(t, enginetest.Options{})
	w.fake.Inject(fault)
	if _, err := w.up(w.ctx, removeOrphans); err == nil {
		return // it can do without that call
	}
	want := "b=p-b-1 c=x"
	there := func(service string) bool {
		return slices.ContainsFunc(w.observe().Containers, func(c plan.Container) bool { return c.Service == service })
	}
	switch how {
	case "again":
		w.mustUp(removeOrphans)
	case "without the flag":
		// Before the new one is there nothing tells that the old one is to go.
		begun := there("c")
		_, err := w.up(w.ctx)
		if begun && err != nil || !begun && (err == nil || !strings.Contains(err.Error(), "which the file has no more")) {
			t.Errorf("%s, begun %v: %v", how, begun, err)
		}
		if !begun {
			want = "a=x b=p-b-1"
		}
	case "back":
		a := w.project.Services["c"]
		a.Name = "a"
		delete(w.project.Services, "c")
		w.project.Services["a"] = a
		gone := !there("a")
		w.mustUp(func(r *deploy.UpRequest) { r.Options.RemoveOrphans = gone })
		want = "a=x b=p-b-1"
	}
	if got := w.running(); got != want {
		t.Errorf("%s: %s, want %s", how, got, want)
	}
	if err := w.down(w.ctx); err != nil || w.left() != "" {
		t.Errorf("%s: down: %v, left: %s", how, err, w.left())
	}
}

// TestPausedComesBackPaused: what was paused before an update that fails is so
// after it.
func TestPausedComesBackPaused(t *testing.T) {
	var sick atomic.Bool
	w := updated(t, enginetest.Options{Exec: func(e enginetest.Exec) int {
		if sick.Load() && e.Service == "a" {
			return 1
		}
		return 0
	}}, true)
	if err := w.driver.Pause(w.ctx, w.container("a").ID); err != nil {
		t.Fatal(err)
	}
	sick.Store(true)
	res, err := w.up(w.ctx, func(r *deploy.UpRequest) { r.Timeout = 300 * time.Millisecond })
	wantComponent(t, err, "a", "was not ready after 300ms")
	if err := res.Undo(w.ctx); err != nil {
		t.Fatal(err)
	}
	if c := w.container("a"); c.State != plan.Paused {
		t.Errorf("it is %s", c.State)
	}
}

// TestTagComesBack: after an update that fails, what is run from the service's
// image is what the containers are made of.
func TestTagComesBack(t *testing.T) {
	var sick atomic.Bool
	w := newWorld(t, enginetest.Options{Images: []string{"busybox"}, Exec: func(e enginetest.Exec) int {
		if sick.Load() && strings.Contains(e.Container, "a-1") {
			return 1
		}
		return 0
	}, Services: map[string]enginetest.Behaviour{"a": {Health: enginetest.HealthWhenAsked}}}, "a+:")
	dir := t.TempDir()
	w.change("a", func(s *types.ServiceConfig) {
		s.Image = ""
		s.Build = &types.BuildConfig{Context: dir, DockerfileInline: "FROM busybox\n"}
	})
	build := func(r *deploy.UpRequest) { r.Options.Build, r.Timeout = true, 300*time.Millisecond }
	tag := func() string {
		o, err := w.driver.Observe(w.ctx, "p", w.project)
		if err != nil {
			t.Fatal(err)
		}
		return o.Images["p-a"]
	}
	// What failed from the beginning keeps its image, for a closer look.
	sick.Store(true)
	res, err := w.up(w.ctx, build)
	wantComponent(t, err, "a", "was not ready after 300ms")
	if first := tag(); first == "" || res.Undo(w.ctx) != nil || tag() != first {
		t.Errorf("the image is %q, was %q", tag(), first)
	}
	sick.Store(false)
	w.mustUp(build)
	was := tag()
	sick.Store(true)
	res, err = w.up(w.ctx, build)
	wantComponent(t, err, "a", "was not ready after 300ms")
	if tag() == was {
		t.Fatal("nothing was built: the test proves nothing")
	}
	if err := res.Undo(w.ctx); err != nil {
		t.Fatal(err)
	}
	if tag() != was || w.container("a").ImageID != was {
		t.Errorf("the tag is of %s, the container of %s, both were of %s", tag(), w.container("a").ImageID, was)
	}
	if again, err := deploy.Preview(w.ctx, w.driver, w.request()); err != nil || again.Changes() > 0 {
		t.Errorf("something is left to do: %v\n%s", err, again)
	}
}

// TestOrphansDrain: what a component that is gone from the project has to work
// off is waited for before it stops; that this fails ends nothing.
func TestOrphansDrain(t *testing.T) {
	for _, fails := range []error{nil, errors.New("not drained")} {
		w := newWorld(t, enginetest.Options{}, "a:", "b:")
		w.change("a", func(s *types.ServiceConfig) { s.Labels = types.Labels{deploy.LabelComponent: "agent"} })
		w.mustUp()
		delete(w.project.Services, "a")
		var asked []string
		w.mustUp(removeOrphans, func(r *deploy.UpRequest) {
			r.Drain = func(_ context.Context, components []string, tell func(string)) error {
				asked = append(asked, components...)
				if got := w.running(); got != "a=p-a-1 b=p-b-1" {
					t.Errorf("meanwhile %s", got)
				}
				tell("agent 1")
				return fails
			}
		})
		if got := w.running(); got != "b=p-b-1" || !slices.Equal(asked, []string{"agent"}) {
			t.Errorf("asked for %q, and then %s", asked, got)
		}
		w.mustUp(func(r *deploy.UpRequest) {
			r.Drain = func(context.Context, []string, func(string)) error {
				t.Error("there is nothing to wait for")
				return nil
			}
		})
	}
}
