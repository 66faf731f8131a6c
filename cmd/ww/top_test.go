package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/registry"
)

// seen is a system as it was looked at.
type seen struct{ views []topView }

func (s *seen) close() {}
func (s *seen) look(context.Context) (topView, error) {
	v := s.views[0]
	if len(s.views) > 1 {
		s.views = s.views[1:]
	}
	return v, nil
}

func topOf() topView {
	container := func(id, component string, state plan.State, health plan.Health) plan.Container {
		c := plan.Container{ID: id, Service: "svc-" + component, State: state, Health: health, Labels: map[string]string{}}
		if component != "bus" {
			c.Labels = map[string]string{deploy.LabelComponent: component, labelDeployment: "edge"}
		}
		return c
	}
	cs := []plan.Container{
		container("1", "b", plan.Running, plan.Healthy), container("2", "b", plan.Running, plan.Starting), container("3", "a", plan.Exited, ""),
		container("4", "c", plan.Running, plan.Healthy), container("5", "bus", plan.Running, ""),
	}
	before := look{Time: time.Unix(0, 0), Components: map[string]bus.Stats{"b": {Handled: 10}, "c": {Handled: 5}}}
	now := look{Time: time.Unix(2, 0), Components: map[string]bus.Stats{"a": {Depth: 9}, "b": {Handled: 20, Depth: 3, InFlight: 2}, "c": {Handled: 5, Depth: 1}}}
	usage := map[string]dockerx.Usage{
		"1": {CPU: 1.5, Memory: 1 << 20, NetIn: 1000, NetOut: 10}, "2": {CPU: 2, Memory: 2 << 20, NetIn: 500},
		"4": {CPU: 50, Memory: 1 << 20}, "5": {CPU: 0.1, Memory: 9 << 20},
	}
	return topView{Components: topRows(cs, usage, now, rates(before, now)), Note: "hm"}
}

func TestTop(t *testing.T) {
	for by, want := range map[string]string{
		"name": "a b c svc-bus", "cpu": "c b svc-bus a", "mem": "svc-bus b c a", "queue": "a b c svc-bus", "rate": "b a c svc-bus",
	} {
		v := topOf()
		v.sort(by)
		var names []string
		for _, r := range v.Components {
			names = append(names, r.Component)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("by %s: %s, want %s", by, got, want)
		}
	}
	// What an engine has yet to check is as it says of itself, if all of it does.
	v := topOf()
	b := registry.Entry{Name: "b", State: registry.Ready}
	if v.say([]registry.Entry{b}); v.Components[0].State != "starting" {
		t.Errorf("one of two is ready: %s", v.Components[0].State)
	}
	if v.say([]registry.Entry{b, b}); v.Components[0].State != "ready" || v.Components[1].State != "exited" {
		t.Errorf("two of two are ready: %+v", v.Components)
	}
	var out, diag strings.Builder
	tl := &tool{out: &out, err: &diag}
	if err := tl.top(t.Context(), &seen{[]topView{topOf()}}, "name", false, false); err != nil {
		t.Fatal(err)
	}
	want := `COMPONENT   DEPLOYMENT   STATE      INSTANCES   CPU     MEMORY   NET I/O       QUEUE   IN FLIGHT   HANDLED/S
a           edge         exited     0           -       -        -             9       0           0.0
b           edge         starting   2           3.5%    3MiB     1.5kB / 10B   3       2           5.0
c           edge         ready      1           50.0%   1MiB     0B / 0B       1       0           0.0
svc-bus     -            running    1           0.1%    9MiB     0B / 0B       -       -           -
`
	if out.String() != want || diag.String() != "note: hm\n" {
		t.Errorf("got\n%swant\n%s%s", out.String(), want, diag.String())
	}
	out.Reset()
	if err := tl.top(t.Context(), &seen{[]topView{topOf()}}, "cpu", true, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"components":[{"component":"c",`, `"handled_per_second":5`, `{"component":"a","deployment":"edge","state":"exited","instances":0,"queue":9,"in_flight":0,"handled_per_second":0}`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
}

// TestTopLive: it looks again until it is ended.
func TestTopLive(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out strings.Builder
	s := &seen{[]topView{topOf(), topOf(), topOf()}}
	ended := &ending{sight: s, after: 3, end: cancel}
	if err := (&tool{out: &out, err: &strings.Builder{}}).top(ctx, ended, "name", false, true); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "COMPONENT"); n != 2 {
		t.Errorf("%d tables, want 2:\n%s", n, out.String())
	}
}

// ending ends a command after so many looks.
type ending struct {
	sight
	after int
	end   context.CancelFunc
}

func (e *ending) look(ctx context.Context) (topView, error) {
	if e.after--; e.after == 0 {
		e.end()
		return topView{}, ctx.Err()
	}
	return e.sight.look(ctx)
}
