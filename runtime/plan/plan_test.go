package plan

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// project makes a project from lines such as "web: db bus+" (web depends on db
// having started, and on bus being healthy; a final ! is completed).
func project(lines ...string) *types.Project {
	p := &types.Project{Name: "p", Services: types.Services{}, Networks: types.Networks{"default": {Name: "p_default"}}}
	for _, l := range lines {
		name, deps, _ := strings.Cut(l, ":")
		s := types.ServiceConfig{Name: name, Image: name + ":1", DependsOn: types.DependsOnConfig{}, Networks: map[string]*types.ServiceNetworkConfig{"default": nil}}
		for _, d := range strings.Fields(deps) {
			cond := types.ServiceConditionStarted
			switch d[len(d)-1] {
			case '+':
				cond, d = types.ServiceConditionHealthy, d[:len(d)-1]
			case '!':
				cond, d = types.ServiceConditionCompletedSuccessfully, d[:len(d)-1]
			}
			s.DependsOn[d] = types.ServiceDependency{Condition: cond, Required: true}
		}
		p.Services[name] = s
	}
	return p
}

func hashesOf(p *types.Project) map[string]string {
	h := map[string]string{}
	for name, s := range p.Services {
		h[name] = "hash-" + s.Image
	}
	return h
}

// engine is a world in which plans can be carried out.
type engine struct {
	Observed
	next int
}

func newEngine(p *types.Project) *engine {
	e := &engine{Observed: Observed{Images: map[string]string{}}}
	for _, s := range p.Services {
		e.Images[s.Image] = "id-" + s.Image
	}
	return e
}

// do carries out one step as an engine would, and fails where an engine would.
func (e *engine) do(p *types.Project, hashes map[string]string, s Step) error {
	at := func(name string) int {
		return slices.IndexFunc(e.Containers, func(c Container) bool { return c.Name == name })
	}
	i := at(s.Name)
	switch s.Op {
	case CreateNetwork:
		e.Networks = append(e.Networks, Network{ID: s.Name, Name: s.Name, Key: s.Service, Owned: true})
	case RemoveNetwork:
		if len(e.Containers) > 0 {
			return fmt.Errorf("network %s has active endpoints", s.Name)
		}
		e.Networks = nil
	case CreateVolume:
		e.Volumes = append(e.Volumes, Volume{Name: s.Name, Key: s.Service, Owned: true})
	case RemoveVolume:
		e.Volumes = slices.DeleteFunc(e.Volumes, func(v Volume) bool { return v.Name == s.Name })
	case Build, Pull:
		e.Images[s.Name] = "id-" + s.Name
	case Create:
		svc := p.Services[s.Service]
		if i >= 0 {
			return fmt.Errorf("the name %s is taken", s.Name)
		}
		if len(e.Networks) == 0 || e.Images[svc.Image] == "" {
			return fmt.Errorf("%s has no network or image", s.Name)
		}
		e.next++
		c := Container{
			ID: fmt.Sprint("c", e.next), Name: s.Name, Service: s.Service, Number: s.Number, State: Created,
			Image: svc.Image, ImageID: e.Images[svc.Image], ConfigHash: hashes[s.Service],
		}
		for _, d := range slices.Sorted(maps.Keys(svc.DependsOn)) {
			c.DependsOn = append(c.DependsOn, Dependency{Service: d})
		}
		e.Containers = append(e.Containers, c)
	case Start:
		if i < 0 {
			return fmt.Errorf("start: there is no %s", s.Name)
		}
		for dep, d := range p.Services[s.Service].DependsOn {
			for _, c := range e.Containers {
				if c.Service != dep {
					continue
				}
				if d.Condition == types.ServiceConditionHealthy && c.Health != Healthy || c.State == Created {
					return fmt.Errorf("%s starts before %s", s.Name, c.Name)
				}
			}
		}
		e.Containers[i].State, e.Containers[i].Health = Running, Starting
	case Ready:
		if i < 0 || e.Containers[i].State != Running {
			return fmt.Errorf("wait for %s, which doesn't run", s.Name)
		}
		e.Containers[i].Health = Healthy
	case Completed:
		e.Containers[i].State = Exited
	case Stop:
		if i < 0 || e.Containers[i].ID != s.Target {
			return fmt.Errorf("stop: there is no %s", s.Name)
		}
		e.Containers[i].State = Exited
	case Remove:
		if i < 0 || e.Containers[i].State == Running {
			return fmt.Errorf("remove %s, which runs or isn't there", s.Name)
		}
		e.Containers = slices.Delete(e.Containers, i, i+1)
	}
	return nil
}

// run carries out a plan in an order that its edges allow, drawn at random,
// and stops after some steps.
func (e *engine) run(t *testing.T, rnd *rand.Rand, p *types.Project, hashes map[string]string, plan Plan, steps int) {
	t.Helper()
	done := map[int]bool{}
	for len(done) < min(steps, len(plan.Steps)) {
		var free []Step
		for _, s := range plan.Steps {
			if !done[s.ID] && !slices.ContainsFunc(s.Needs, func(n int) bool { return !done[n] }) {
				free = append(free, s)
			}
		}
		if len(free) == 0 {
			t.Fatalf("the plan has a circle:\n%s", plan)
		}
		s := free[rnd.IntN(len(free))]
		if err := e.do(p, hashes, s); err != nil {
			t.Fatalf("step %d: %v\n%s", s.ID, err, plan)
		}
		done[s.ID] = true
	}
}

func planUp(t *testing.T, p *types.Project, have Observed, opts Options) Plan {
	t.Helper()
	plan, err := Up(p, hashesOf(p), have, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range plan.Steps {
		for _, n := range s.Needs {
			if n >= s.ID || n < 1 {
				t.Fatalf("step %d needs %d, which comes later\n%s", s.ID, n, plan)
			}
		}
	}
	return plan
}

func randomProject(rnd *rand.Rand) *types.Project {
	var lines []string
	for i := range 1 + rnd.IntN(8) {
		l := fmt.Sprintf("s%d:", i)
		for j := range i {
			if rnd.IntN(3) == 0 {
				l += fmt.Sprintf(" s%d%s", j, []string{"", "+"}[rnd.IntN(2)])
			}
		}
		lines = append(lines, l)
	}
	return project(lines...)
}

// TestPlansConverge holds for any project, any order that the edges allow and
// any point of interruption: the next plan leads to the same end, after which
// there is nothing to do; a changed project replaces what has changed and
// nothing else; and a down leaves nothing.
func TestPlansConverge(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		p := randomProject(rnd)
		e := newEngine(p)
		opts := Options{Wait: true}
		first := planUp(t, p, e.Observed, opts)
		e.run(t, rnd, p, hashesOf(p), first, rnd.IntN(len(first.Steps)+1))
		e.run(t, rnd, p, hashesOf(p), planUp(t, p, e.Observed, opts), 1<<20)
		if again := planUp(t, p, e.Observed, opts); !again.Empty() || len(again.Unchanged) != len(p.Services) {
			t.Fatalf("something is left to do:\n%s", again)
		}
		if len(e.Containers) != len(p.Services) {
			t.Fatalf("%d containers for %d services", len(e.Containers), len(p.Services))
		}
		changed := fmt.Sprintf("s%d", rnd.IntN(len(p.Services)))
		s := p.Services[changed]
		s.Image = "other:2"
		p.Services[changed] = s
		e.Images[s.Image] = "id-other"
		update := planUp(t, p, e.Observed, opts)
		for _, step := range update.Steps {
			if step.Service != changed {
				t.Fatalf("%s is touched when %s changes:\n%s", step.Service, changed, update)
			}
		}
		e.run(t, rnd, p, hashesOf(p), update, 1<<20)
		down := Down(e.Observed, DownOptions{Volumes: true})
		e.run(t, rnd, p, nil, down, rnd.IntN(len(down.Steps)+1))
		e.run(t, rnd, p, nil, Down(e.Observed, DownOptions{Volumes: true}), 1<<20)
		if len(e.Containers)+len(e.Networks)+len(e.Volumes) > 0 {
			t.Fatalf("something is left: %+v", e.Observed)
		}
	}
}

// TestDownMirrorsUp: what starts after something stops before it.
func TestDownMirrorsUp(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		p := randomProject(rnd)
		e := newEngine(p)
		e.run(t, rnd, p, hashesOf(p), planUp(t, p, e.Observed, Options{Wait: true}), 1<<20)
		down := Down(e.Observed, DownOptions{})
		stop := map[string]int{}
		for _, s := range down.Steps {
			if s.Op == Stop {
				stop[s.Service] = s.ID
			}
		}
		for name, s := range p.Services {
			for dep := range s.DependsOn {
				i := slices.IndexFunc(down.Steps, func(st Step) bool { return st.ID == stop[dep] })
				if !slices.Contains(down.Steps[i].Needs, stop[name]) {
					t.Fatalf("%s stops without waiting for %s, which needs it:\n%s", dep, name, down)
				}
			}
		}
	}
}

// TestGoldens compares plans as text.
func TestGoldens(t *testing.T) {
	base := project("bus:", "a: bus+", "b: bus+ a")
	running := func(p *types.Project, change func(*engine)) Observed {
		e := newEngine(p)
		e.run(t, rand.New(rand.NewPCG(1, 1)), p, hashesOf(p), planUp(t, p, e.Observed, Options{Wait: true}), 1<<20)
		if change != nil {
			change(e)
		}
		return e.Observed
	}
	container := func(e *engine, name string) *Container {
		return &e.Containers[slices.IndexFunc(e.Containers, func(c Container) bool { return c.Service == name })]
	}
	two := 2
	scaled := project("bus:", "a: bus+")
	s := scaled.Services["a"]
	s.Deploy = &types.DeployConfig{Replicas: &two}
	scaled.Services["a"] = s
	built := project("bus:", "a: bus+")
	s = built.Services["a"]
	s.Build = &types.BuildConfig{Context: "."}
	built.Services["a"] = s
	for name, plan := range map[string]func() Plan{
		"fresh":      func() Plan { return planUp(t, base, newEngine(base).Observed, Options{}) },
		"fresh-wait": func() Plan { return planUp(t, base, newEngine(base).Observed, Options{Wait: true}) },
		"job": func() Plan {
			p := project("migrate:", "web: migrate!")
			return planUp(t, p, newEngine(p).Observed, Options{Wait: true})
		},
		"images":   func() Plan { return planUp(t, built, Observed{}, Options{}) },
		"scale-up": func() Plan { return planUp(t, scaled, running(project("bus:", "a: bus+"), nil), Options{Wait: true}) },
		"scale-down": func() Plan {
			return planUp(t, project("bus:", "a: bus+"), running(scaled, nil), Options{Wait: true})
		},
		"nothing": func() Plan { return planUp(t, base, running(base, nil), Options{Wait: true}) },
		"force":   func() Plan { return planUp(t, base, running(base, nil), Options{ForceRecreate: true}) },
		"crashed": func() Plan {
			return planUp(t, base, running(base, func(e *engine) {
				c := container(e, "a")
				c.State, c.ExitCode, c.Health = Exited, 3, ""
			}), Options{Wait: true})
		},
		"unready": func() Plan {
			return planUp(t, base, running(base, func(e *engine) { container(e, "a").Health = Starting }), Options{Wait: true})
		},
		"unfinished": func() Plan {
			return planUp(t, base, running(base, func(e *engine) { container(e, "b").State = Created }), Options{})
		},
		"same-tag": func() Plan {
			return planUp(t, base, running(base, func(e *engine) { e.Images["a:1"] = "id-new" }), Options{})
		},
		"orphans": func() Plan { return planUp(t, project("bus:"), running(base, nil), Options{RemoveOrphans: true}) },
		"down":    func() Plan { return Down(running(base, nil), DownOptions{Volumes: true, Images: []string{"a:1"}}) },
	} {
		t.Run(name, func(t *testing.T) {
			got := plan().String()
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestImpossible(t *testing.T) {
	p := project("a:")
	_, err := Up(p, nil, Observed{}, Options{Pull: "never"})
	if err == nil || !strings.Contains(err.Error(), "a:1") {
		t.Errorf("an image that may not be pulled: %v", err)
	}
	p.Networks["default"] = types.NetworkConfig{Name: "other", External: true}
	if _, err = Up(p, nil, newEngine(p).Observed, Options{}); err == nil || !strings.Contains(err.Error(), "docker network create other") {
		t.Errorf("an external network that isn't there: %v", err)
	}
}

func BenchmarkUp(b *testing.B) {
	var lines []string
	for i := range 1000 {
		l := fmt.Sprintf("s%d:", i)
		if i > 0 {
			l += fmt.Sprintf(" s%d+", (i-1)/2)
		}
		lines = append(lines, l)
	}
	p := project(lines...)
	h, e := hashesOf(p), newEngine(p)
	for b.Loop() {
		if _, err := Up(p, h, e.Observed, Options{Wait: true}); err != nil {
			b.Fatal(err)
		}
	}
}
