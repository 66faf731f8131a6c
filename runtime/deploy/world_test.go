package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

const image = "app:1"

// world is an engine of a test's own with a project on it.
type world struct {
	t       *testing.T
	ctx     context.Context
	fake    *enginetest.Engine
	driver  deploy.Driver
	project *types.Project

	mu   sync.Mutex
	told []deploy.Progress
}

// newWorld makes a project from lines such as "web: db bus+": web depends on db
// having started, and on bus being healthy; a final ! is completed, and a ?
// before the name is required: false. A service that ends in + has a health
// check.
func newWorld(t *testing.T, o enginetest.Options, lines ...string) *world {
	t.Helper()
	noLeaks(t)
	o.Images = append(o.Images, image)
	fake := enginetest.Start(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	d, err := dockerx.Open(ctx, dockerx.Options{Host: fake.Host(), ConfigDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = d.Close() })
	return &world{t: t, ctx: ctx, fake: fake, driver: d, project: project(lines...)}
}

func project(lines ...string) *types.Project {
	p := &types.Project{
		Name: "p", Services: types.Services{}, Volumes: types.Volumes{},
		Networks: types.Networks{"default": {Name: "p_default"}},
	}
	for _, l := range lines {
		name, deps, _ := strings.Cut(l, ":")
		s := types.ServiceConfig{Image: image, DependsOn: types.DependsOnConfig{}, Networks: map[string]*types.ServiceNetworkConfig{"default": nil}}
		if n, ok := strings.CutSuffix(name, "+"); ok {
			name = n
			s.HealthCheck = &types.HealthCheckConfig{Test: types.HealthCheckTest{"CMD", "check"}}
		}
		s.Name = name
		for _, dep := range strings.Fields(deps) {
			d := types.ServiceDependency{Condition: types.ServiceConditionStarted, Required: !strings.HasPrefix(dep, "?")}
			dep = strings.TrimPrefix(dep, "?")
			if n, ok := strings.CutSuffix(dep, "+"); ok {
				dep, d.Condition = n, types.ServiceConditionHealthy
			} else if n, ok := strings.CutSuffix(dep, "!"); ok {
				dep, d.Condition = n, types.ServiceConditionCompletedSuccessfully
			}
			s.DependsOn[dep] = d
		}
		p.Services[name] = s
	}
	return p
}

// change changes a service.
func (w *world) change(name string, f func(*types.ServiceConfig)) {
	s := w.project.Services[name]
	f(&s)
	w.project.Services[name] = s
}

// withVolume gives a service a named volume.
func (w *world) withVolume(service string) {
	w.project.Volumes["data"] = types.VolumeConfig{Name: "p_data"}
	w.change(service, func(s *types.ServiceConfig) {
		s.Volumes = append(s.Volumes, types.ServiceVolumeConfig{Type: types.VolumeTypeVolume, Source: "data", Target: "/data"})
	})
}

func (w *world) request() deploy.UpRequest {
	hash := func(s types.ServiceConfig) (string, error) { return "hash-" + s.Image + s.NetworkMode + s.Restart, nil }
	return deploy.UpRequest{
		Project: w.project, Digests: deploy.Digests{Service: hash}, Options: plan.Options{Wait: true}, Timeout: 20 * time.Second,
		Report: func(p deploy.Progress) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, p)
		},
	}
}

func (w *world) mustUp(change ...func(*deploy.UpRequest)) deploy.UpResult {
	w.t.Helper()
	res, err := w.up(w.ctx, change...)
	if err != nil {
		w.t.Fatalf("up: %v", err)
	}
	return res
}

func (w *world) up(ctx context.Context, change ...func(*deploy.UpRequest)) (deploy.UpResult, error) {
	req := w.request()
	for _, f := range change {
		f(&req)
	}
	return deploy.Up(ctx, w.driver, req)
}

// upMeanwhile brings the project up while f does something.
func (w *world) upMeanwhile(f func(), change ...func(*deploy.UpRequest)) (deploy.UpResult, error) {
	w.t.Helper()
	var res deploy.UpResult
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		res, err = w.up(w.ctx, change...)
	}()
	f()
	<-done
	return res, err
}

func (w *world) down(ctx context.Context) error {
	have, err := w.driver.Observe(ctx, w.project.Name, nil)
	if err != nil {
		return err
	}
	_, err = deploy.Down(ctx, w.driver, deploy.DownRequest{Name: w.project.Name, Have: have, Options: plan.DownOptions{Volumes: true}})
	return err
}

func (w *world) observe() plan.Observed {
	w.t.Helper()
	o, err := w.driver.Observe(w.ctx, w.project.Name, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// left lists what there is of the project.
func (w *world) left() string {
	w.t.Helper()
	o := w.observe()
	var names []string
	for _, c := range o.Containers {
		names = append(names, c.Name)
	}
	for _, n := range o.Networks {
		names = append(names, n.Name)
	}
	for _, v := range o.Volumes {
		names = append(names, v.Name)
	}
	return strings.Join(names, " ")
}

// container gives a service's container.
func (w *world) container(service string) plan.Container {
	w.t.Helper()
	for _, c := range w.observe().Containers {
		if c.Service == service {
			return c
		}
	}
	w.t.Fatalf("there is no container of %s", service)
	return plan.Container{}
}

// await waits until there have been n calls of some operations.
func (w *world) await(n int, ops ...string) {
	w.t.Helper()
	if !w.fake.AwaitCalls(w.ctx, n, ops...) {
		w.t.Fatalf("no %d calls of %v: %s", n, ops, opsOf(w.fake.Calls()))
	}
}

func opsOf(calls []enginetest.Call) string {
	var list []string
	for _, c := range calls {
		list = append(list, c.Op)
	}
	return strings.Join(list, " ")
}

// moment gives when something was told of a step: its place among all.
func (w *world) moment(op plan.Op, service string, status deploy.Status) int {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, p := range w.told {
		if p.Step.Op == op && p.Step.Service == service && p.Status == status {
			return i
		}
	}
	w.t.Fatalf("nothing was told of %s %s %s", op, service, status)
	return 0
}

// begun lists the services that had a step of a kind begun.
func (w *world) begun(op plan.Op) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := map[string]bool{}
	for _, p := range w.told {
		if p.Step.Op == op && p.Status == deploy.Running {
			names[p.Step.Service] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), " ")
}

func wantEngineError(t *testing.T, err error, kind deploy.ErrorKind, what string) {
	t.Helper()
	var e *deploy.EngineError
	if !errors.As(err, &e) || e.Kind != kind || e.What != what || e.Remedy == "" {
		t.Errorf("%v (%+v), want an EngineError of kind %s that says %q, with a remedy", err, e, kind, what)
	}
}

func wantComponentError(t *testing.T, err error, service, reason string) *deploy.ComponentError {
	t.Helper()
	var e *deploy.ComponentError
	if !errors.As(err, &e) {
		t.Fatalf("%v, want a ComponentError", err)
	}
	if e.Service != service || e.Container != "p-"+service+"-1" || e.Reason != reason {
		t.Errorf("%+v, want %s to say %q", e, service, reason)
	}
	return e
}

// noLeaks fails a test that leaves goroutines behind. Those of connections don't
// count: the client may open one more for a world that goes on, and they end with
// their server.
func noLeaks(t *testing.T) {
	ours := func() (n int, stacks string) {
		buf := make([]byte, 4<<20)
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if !strings.Contains(g, "created by net/http.") {
				n++
				stacks += g + "\n\n"
			}
		}
		return n, stacks
	}
	before, _ := ours()
	t.Cleanup(func() {
		deadline := time.After(5 * time.Second)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			n, stacks := ours()
			if n <= before {
				return
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Errorf("%d goroutines, there were %d before\n%s", n, before, stacks)
				return
			}
		}
	})
}

// numbered are output lines 1 to n.
func numbered(n int) []enginetest.Line {
	var out []enginetest.Line
	for i := range n {
		out = append(out, enginetest.Line{Text: fmt.Sprint("line ", i+1), Stderr: i%2 == 0})
	}
	return out
}
