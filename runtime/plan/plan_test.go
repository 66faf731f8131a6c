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
	"time"

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
		h[name] = "hash-" + s.Image + s.NetworkMode + s.ContainerName + fmt.Sprint(s.Ports)
	}
	return h
}

// engine is a world in which plans can be carried out.
type engine struct {
	Observed
	next int
	made map[int]string // create step of the plan that runs → container
	// seen is called after every step.
	seen func(Step)
}

func newEngine(p *types.Project) *engine {
	e := &engine{Observed: Observed{Images: map[string]string{}}}
	for _, s := range p.Services {
		e.Images[s.Image], e.Images[s.Name+":2"] = "id-"+s.Image, "id-"+s.Name+":2"
	}
	return e
}

// do carries out one step as an engine would, and fails where an engine would.
func (e *engine) do(p *types.Project, hashes map[string]string, s Step) error {
	at := func(is func(Container) bool) int { return slices.IndexFunc(e.Containers, is) }
	named := at(func(c Container) bool { return c.Name == s.Name })
	i := at(func(c Container) bool { return c.ID == s.Target })
	if s.AwaitStep != 0 {
		i = at(func(c Container) bool { return c.ID == e.made[s.AwaitStep] })
	}
	switch s.Op {
	case CreateNetwork:
		e.Networks = append(e.Networks, Network{ID: s.Name, Name: s.Name, Key: s.Service, Owned: true, Hash: netHash(p)})
	case RemoveNetwork:
		if at(func(c Container) bool { return slices.Contains(c.Networks, s.Name) }) >= 0 {
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
		if named >= 0 {
			return fmt.Errorf("the name %s is taken", s.Name)
		}
		if len(e.Networks) == 0 || e.Images[svc.Image] == "" {
			return fmt.Errorf("%s has no network or image", s.Name)
		}
		e.next++
		c := Container{
			ID: idOf(e.next), Name: s.Name, Service: s.Service, Number: s.Number, State: Created,
			Image: svc.Image, ImageID: e.Images[svc.Image], ConfigHash: hashes[s.Service], Networks: []string{e.Networks[0].Name},
			Created: time.Unix(int64(e.next), 0), Labels: svc.Labels,
		}
		for _, port := range svc.Ports {
			var n uint16
			_, _ = fmt.Sscan(port.Published, &n)
			c.Ports = append(c.Ports, Port{Host: n, Target: uint16(port.Target), Protocol: "tcp"})
		}
		for _, d := range slices.Sorted(maps.Keys(svc.DependsOn)) {
			c.DependsOn = append(c.DependsOn, Dependency{Service: d})
		}
		e.made[s.ID] = c.ID
		e.Containers = append(e.Containers, c)
	case Start:
		if i < 0 {
			return fmt.Errorf("start: there is no %s", s.Name)
		}
		for _, port := range e.Containers[i].Ports {
			if at(func(c Container) bool {
				return c.State == Running && c.ID != e.Containers[i].ID && slices.Contains(c.Ports, port)
			}) >= 0 {
				return fmt.Errorf("port %d of %s is taken", port.Host, s.Name)
			}
		}
		for dep, d := range p.Services[s.Service].DependsOn {
			if !e.serves(p.Services[dep], d.Condition == types.ServiceConditionHealthy, hashes) {
				return fmt.Errorf("%s starts before %s", s.Name, dep)
			}
		}
		e.Containers[i].State, e.Containers[i].Health = Running, Starting
	case Ready:
		if i < 0 || e.Containers[i].State != Running {
			return fmt.Errorf("wait for %s, which doesn't run", s.Name)
		}
		e.Containers[i].Health = Healthy
	case Unpause:
		if i < 0 || e.Containers[i].State != Paused {
			return fmt.Errorf("unpause %s, which isn't paused", s.Name)
		}
		e.Containers[i].State, e.Containers[i].Health = Running, Starting
	case Completed:
		e.Containers[i].State = Exited
	case Stop:
		if i < 0 {
			return fmt.Errorf("stop: there is no %s", s.Name)
		}
		e.Containers[i].State, e.Containers[i].Health = Exited, ""
	case Remove:
		if i < 0 || e.Containers[i].State == Running {
			return fmt.Errorf("remove %s, which runs or isn't there", s.Name)
		}
		e.Containers = slices.Delete(e.Containers, i, i+1)
	case Rename:
		if i < 0 || named >= 0 {
			return fmt.Errorf("rename to %s, which is taken, or there is nothing to be renamed", s.Name)
		}
		e.Containers[i].Name = s.Name
	}
	return nil
}

// idOf makes the id of the nth container, with as many characters as an engine's.
func idOf(n int) string {
	id := ""
	for part := range 5 {
		id += fmt.Sprintf("%02x%010x", part, n)
	}
	return id + "0000"
}

// serves tells whether each number of a service has a container that is as
// wanted and runs, or has done its work.
func (e *engine) serves(s types.ServiceConfig, healthy bool, hashes map[string]string) bool {
	for n := 1; n <= s.GetScale(); n++ {
		if !slices.ContainsFunc(e.Containers, func(c Container) bool {
			return c.Service == s.Name && c.Number == n && c.ConfigHash == hashes[s.Name] &&
				c.State != Created && (!healthy || c.Health == Healthy)
		}) {
			return false
		}
	}
	return true
}

func netHash(p *types.Project) string { return "hash-" + p.Networks["default"].Driver }

// run carries out a plan in an order that its edges allow, drawn at random,
// and stops after some steps.
func (e *engine) run(t *testing.T, rnd *rand.Rand, p *types.Project, hashes map[string]string, plan Plan, steps int) {
	t.Helper()
	done := map[int]bool{}
	e.made = map[int]string{}
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
		if e.seen != nil {
			e.seen(s)
		}
		done[s.ID] = true
	}
}

func planUp(t *testing.T, p *types.Project, have Observed, opts Options) Plan {
	t.Helper()
	// What is there may not be changed by planning.
	have.Containers = slices.Clone(have.Containers)
	plan, err := Up(Wanted{Project: p, Hashes: hashesOf(p), Networks: map[string]string{"default": netHash(p)}}, have, opts)
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
	p := project(lines...)
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		n, parallel := 1+rnd.IntN(3), uint64(rnd.IntN(3))
		s.Deploy = &types.DeployConfig{Replicas: &n, UpdateConfig: &types.UpdateConfig{Parallelism: &parallel}}
		s.Deploy.UpdateConfig.Order = []string{"", "start-first", "stop-first"}[rnd.IntN(3)]
		for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
			d := s.DependsOn[dep]
			d.Restart = rnd.IntN(4) == 0
			s.DependsOn[dep] = d
		}
		p.Services[name] = s
	}
	return p
}

// changed gives the project some other images, and sometimes another network
// and other numbers of replicas.
func changed(rnd *rand.Rand, p *types.Project, e *engine, round int) map[string]bool {
	which := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		if rnd.IntN(2) == 0 {
			which[name] = true
			s.Image = fmt.Sprint("other:", round)
			e.Images[s.Image] = "id-other"
		}
		if rnd.IntN(4) == 0 {
			n := 1 + rnd.IntN(3)
			d := *s.Deploy
			d.Replicas = &n
			s.Deploy = &d
		}
		p.Services[name] = s
	}
	for i, c := range e.Containers {
		if c.State == Running && rnd.IntN(8) == 0 {
			e.Containers[i].State, e.Containers[i].Health = Paused, ""
		}
	}
	if rnd.IntN(6) == 0 {
		n := p.Networks["default"]
		n.Driver = fmt.Sprint("driver-", round)
		p.Networks["default"] = n
	}
	return which
}

// TestPlansConverge holds for any project, any order that the edges allow and
// any point of interruption, also of updates: the next plan leads to the same
// end, after which there is nothing to do; and a down leaves nothing.
func TestPlansConverge(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range 1500 {
		p := randomProject(rnd)
		e := newEngine(p)
		opts := Options{Wait: rnd.IntN(4) > 0}
		for range 1 + rnd.IntN(4) {
			interrupted := planUp(t, p, e.Observed, opts)
			e.run(t, rnd, p, hashesOf(p), interrupted, rnd.IntN(len(interrupted.Steps)+1))
			changed(rnd, p, e, round)
		}
		e.run(t, rnd, p, hashesOf(p), planUp(t, p, e.Observed, opts), 1<<20)
		if again := planUp(t, p, e.Observed, opts); again.Changes() > 0 || opts.Wait && len(again.Unchanged) != len(p.Services) {
			t.Fatalf("something is left to do:\n%s", again)
		}
		want := 0
		for name, s := range p.Services {
			want += s.GetScale()
			for n := 1; n <= s.GetScale(); n++ {
				if !slices.ContainsFunc(e.Containers, func(c Container) bool { return c.Name == ContainerName(p, s, n) }) {
					t.Fatalf("there is no container %d of %s", n, name)
				}
			}
		}
		if len(e.Containers) != want {
			t.Fatalf("%d containers, want %d", len(e.Containers), want)
		}
		down := Down(e.Observed, DownOptions{Volumes: true})
		e.run(t, rnd, p, nil, down, rnd.IntN(len(down.Steps)+1))
		e.run(t, rnd, p, nil, Down(e.Observed, DownOptions{Volumes: true}), 1<<20)
		if len(e.Containers)+len(e.Networks)+len(e.Volumes) > 0 {
			t.Fatalf("something is left: %+v", e.Observed)
		}
	}
}

// TestNoHalfUpdates: nothing that can't be taken back is done before all that is
// new is ready.
func TestNoHalfUpdates(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	for round := range 1000 {
		p := randomProject(rnd)
		single := 1
		for _, name := range slices.Sorted(maps.Keys(p.Services)) {
			p.Services[name].Deploy.Replicas = &single
		}
		e := newEngine(p)
		e.run(t, rnd, p, hashesOf(p), planUp(t, p, e.Observed, Options{Wait: true}), 1<<20)
		for _, name := range slices.Sorted(maps.Keys(p.Services)) {
			if s := p.Services[name]; rnd.IntN(2) == 0 {
				s.Image = fmt.Sprint("other:", round)
				e.Images[s.Image] = "id-other"
				p.Services[name] = s
			}
		}
		update := planUp(t, p, e.Observed, Options{Wait: true})
		waiting, started := map[string]bool{}, map[string]bool{}
		for _, s := range update.Steps {
			if s.Op == Ready {
				waiting[s.Service] = true
			}
		}
		e.seen = func(s Step) {
			switch {
			case s.Op == Ready:
				delete(waiting, s.Service)
			case s.Op == Start:
				started[s.Service] = true
			case s.Op == Remove, s.Op == Stop && started[s.Service]: // the successor runs: this one had to serve on
				if len(waiting) > 0 {
					t.Fatalf("step %d can't be taken back, and %v may still fail:\n%s", s.ID, waiting, update)
				}
			}
		}
		e.run(t, rnd, p, hashesOf(p), update, 1<<20)
	}
}

// TestUpdatesTouchNothingElse: only what has changed, and what asks to be
// restarted with that, is touched; who starts first is never away; and nothing
// that is replaced runs while what it depends on is away.
func TestUpdatesTouchNothingElse(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for round := range 1500 {
		p := randomProject(rnd)
		e := newEngine(p)
		e.run(t, rnd, p, hashesOf(p), planUp(t, p, e.Observed, Options{Wait: true}), 1<<20)
		which := map[string]bool{}
		for _, name := range slices.Sorted(maps.Keys(p.Services)) {
			s := p.Services[name]
			if rnd.IntN(2) == 0 {
				which[name] = true
				s.Image = fmt.Sprint("other:", round)
				e.Images[s.Image] = "id-other"
				p.Services[name] = s
			}
		}
		update := planUp(t, p, e.Observed, Options{Wait: true})
		stopped, startFirst := map[string]bool{}, map[string]bool{}
		order := map[string]int{}
		for _, s := range update.Steps {
			touched := which[s.Service]
			for _, d := range p.Services[s.Service].DependsOn {
				touched = touched || d.Restart && !which[s.Service]
			}
			if !touched {
				t.Fatalf("%s is touched when %v change:\n%s", s.Service, which, update)
			}
			if _, seen := order[s.Service]; !seen && (s.Op == Stop || s.Op == Start) {
				order[s.Service] = s.ID
				startFirst[s.Service] = s.Op == Start
			}
		}
		away := func(service string) bool {
			return !slices.ContainsFunc(e.Containers, func(c Container) bool { return c.Service == service && c.Health == Healthy })
		}
		e.seen = func(s Step) {
			for name := range p.Services {
				stopped[name] = stopped[name] || away(name)
				for dep := range p.Services[name].DependsOn {
					if which[name] && which[dep] && away(dep) && slices.ContainsFunc(e.Containers, func(c Container) bool {
						return c.Service == name && c.Health == Healthy
					}) && p.Services[name].DependsOn[dep].Condition == types.ServiceConditionHealthy {
						t.Fatalf("%s runs while %s is away, after step %d\n%s", name, dep, s.ID, update)
					}
				}
			}
		}
		e.run(t, rnd, p, hashesOf(p), update, 1<<20)
		for name := range which {
			if p.Services[name].Deploy.UpdateConfig.Order == "start-first" && startFirst[name] && stopped[name] {
				t.Fatalf("%s is away for a while though its new container can start first:\n%s", name, update)
			}
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
	replaced := func(p *types.Project, name string, change func(*types.ServiceConfig)) *types.Project {
		q := *p
		q.Services = maps.Clone(p.Services)
		if s, ok := q.Services[name]; ok {
			s.Image = name + ":2"
			if change != nil {
				change(&s)
			}
			q.Services[name] = s
		}
		return &q
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
		"update": func() Plan { return planUp(t, replaced(base, "a", nil), running(base, nil), Options{Wait: true}) },
		"update-ports": func() Plan {
			p := replaced(base, "a", func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 80, Published: "80"}} })
			return planUp(t, p, running(base, nil), Options{Wait: true})
		},
		"update-needs-new": func() Plan {
			p := project("bus:", "a: bus+ c+", "b: bus+ a", "c:")
			p = replaced(p, "a", func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 80, Published: "80"}} })
			return planUp(t, p, running(base, nil), Options{Wait: true})
		},
		"update-both": func() Plan {
			p := replaced(base, "bus", func(s *types.ServiceConfig) {
				s.Volumes = []types.ServiceVolumeConfig{{Type: types.VolumeTypeBind, Source: "/data", Target: "/data"}}
			})
			return planUp(t, replaced(p, "a", nil), running(base, nil), Options{Wait: true})
		},
		// b gets the port that a has, and comes after a.
		"update-port-moves": func() Plan {
			port := func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 80, Published: "80"}} }
			p := replaced(replaced(base, "a", nil), "b", port)
			return planUp(t, p, running(base, func(e *engine) {
				container(e, "a").Ports = []Port{{Host: 80, Target: 80, Protocol: "tcp"}}
			}), Options{Wait: true})
		},
		// What may fail and has nothing to do with the network comes first.
		"update-network-last": func() Plan {
			p := replaced(base, "z", nil)
			p.Services["z"] = types.ServiceConfig{Name: "z", Image: "a:1", NetworkMode: "none"}
			p.Networks = types.Networks{"default": {Name: "p_default", Driver: "other"}}
			return planUp(t, p, running(base, nil), Options{Wait: true})
		},
		// a gets the name that b gives up.
		"update-name-moves": func() Plan {
			named := func(name string) func(*types.ServiceConfig) {
				return func(s *types.ServiceConfig) { s.ContainerName = name }
			}
			have := running(base, func(e *engine) {
				container(e, "a").Name, container(e, "b").Name = "one", "two"
			})
			return planUp(t, replaced(replaced(base, "a", named("two")), "b", nil), have, Options{Wait: true})
		},
		// What the file has no more has a port and a name that new ones want.
		"orphans-in-the-way": func() Plan {
			p := project("bus:", "new: bus+", "named:")
			p = replaced(p, "new", func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 80, Published: "80"}} })
			p = replaced(p, "named", func(s *types.ServiceConfig) { s.ContainerName = "p-b-1" })
			return planUp(t, p, running(base, func(e *engine) {
				container(e, "a").Ports = []Port{{Host: 80, Target: 80, Protocol: "tcp"}}
			}), Options{Wait: true, RemoveOrphans: true})
		},
		"update-replicas": func() Plan {
			return planUp(t, replaced(scaled, "a", nil), running(scaled, nil), Options{})
		},
		"update-restart": func() Plan {
			p := replaced(base, "bus", func(s *types.ServiceConfig) { s.ContainerName = "p-bus-1" })
			p = replaced(p, "b", func(s *types.ServiceConfig) {
				s.Image = "b:1"
				s.DependsOn = maps.Clone(s.DependsOn)
				s.DependsOn["bus"] = types.ServiceDependency{Condition: types.ServiceConditionHealthy, Restart: true, Required: true}
			})
			return planUp(t, p, running(base, nil), Options{Wait: true})
		},
		"update-shared": func() Plan {
			p := replaced(base, "b", func(s *types.ServiceConfig) { s.Image, s.NetworkMode, s.Networks = "b:1", "service:a", nil })
			return planUp(t, replaced(p, "a", nil), running(p, nil), Options{Wait: true})
		},
		"update-anonymous": func() Plan {
			have := running(base, func(e *engine) {
				container(e, "a").Mounts = []Mount{{Volume: strings.Repeat("ab", 32), Target: "/data", RW: true}}
			})
			p := planUp(t, replaced(base, "a", nil), have, Options{Wait: true})
			for _, s := range p.Steps {
				if s.Op == Create && len(s.Inherit) != 1 {
					t.Errorf("its anonymous volume is lost: %+v", s)
				}
			}
			return p
		},
		"update-network": func() Plan {
			p := replaced(base, "", nil)
			p.Networks = types.Networks{"default": {Name: "p_default", Driver: "other"}}
			return planUp(t, p, running(base, nil), Options{Wait: true})
		},
		"changes": func() Plan {
			return planUp(t, replaced(base, "a", func(s *types.ServiceConfig) { s.Image = "" }), running(base, func(e *engine) {
				container(e, "a").Changes = []string{"environment: A added", "environment: B changed"}
				e.Images["p-a"] = container(e, "a").ImageID
			}), Options{NoStart: true})
		},
		"interrupted": func() Plan {
			e := newEngine(base)
			have := running(base, func(o *engine) { *e = *o })
			p := replaced(base, "a", nil)
			e.Observed = have
			e.Images["a:2"] = "id-a:2"
			update := planUp(t, p, e.Observed, Options{Wait: true})
			e.run(t, rand.New(rand.NewPCG(1, 1)), p, hashesOf(p), update, 2)
			return planUp(t, p, e.Observed, Options{Wait: true})
		},
		"down-anonymous": func() Plan {
			return Down(running(base, func(e *engine) {
				container(e, "a").Mounts = []Mount{{Volume: strings.Repeat("ab", 32), Target: "/data", RW: true}, {Volume: "p_data", Target: "/d"}}
			}), DownOptions{Volumes: true})
		},
		"drain": func() Plan {
			return Down(running(base, func(e *engine) {
				container(e, "a").Labels = map[string]string{labelComponent: "a", labelPhase: "components"}
				container(e, "b").Labels = map[string]string{labelComponent: "b", labelPhase: phaseIngress}
			}), DownOptions{Drain: true})
		},
		// Who sends to what goes, and what serves in its place, is there before it
		// stops; not what needs its port.
		"orphans-drain": func() Plan {
			old := project("bus:", "slow: bus+", "sender: bus+", "door: bus+", "port: bus+")
			for name, s := range old.Services {
				s.Labels = types.Labels{labelComponent: name}
				if name == "door" {
					s.Labels[labelPhase] = phaseIngress
				}
				old.Services[name] = s
			}
			p := project("bus:", "new: bus+", "sender: bus+", "other: bus+")
			p = replaced(p, "sender", nil)
			p = replaced(p, "other", func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 80, Published: "80"}} })
			return planUp(t, p, running(old, func(e *engine) {
				container(e, "port").Ports = []Port{{Host: 80, Target: 80, Protocol: "tcp"}}
			}), Options{Wait: true, RemoveOrphans: true})
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
	_, err := Up(Wanted{Project: p}, Observed{}, Options{Pull: "never"})
	if err == nil || !strings.Contains(err.Error(), "a:1") {
		t.Errorf("an image that may not be pulled: %v", err)
	}
	p.Networks["default"] = types.NetworkConfig{Name: "other", External: true}
	if _, err = Up(Wanted{Project: p}, newEngine(p).Observed, Options{}); err == nil || err.Error() != `network "other" is declared as external, and isn't there` {
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
		if _, err := Up(Wanted{Project: p, Hashes: h}, e.Observed, Options{Wait: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestNoBuild: what may not be built is pulled by its name, if it has one.
func TestNoBuild(t *testing.T) {
	p := project("named", "other")
	for name, s := range p.Services {
		s.Build = &types.BuildConfig{Context: "."}
		if name == "other" {
			s.Image = ""
		}
		p.Services[name] = s
	}
	if _, err := Images(p, Observed{}, Options{NoBuild: true}); err == nil || !strings.Contains(err.Error(), "may not be built") {
		t.Errorf("error %v", err)
	}
	got, err := Images(p, Observed{Images: map[string]string{"p-other": "sha256:1"}}, Options{NoBuild: true})
	if err != nil || len(got.Steps) != 1 || got.Steps[0].Op != Pull || got.Steps[0].Name != "named:1" {
		t.Errorf("%v\n%s", err, got)
	}
}
