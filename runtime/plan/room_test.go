package plan

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// moveNames gives services other container names and ports, out of a few, and
// others a new name of their own, which makes orphans.
func moveNames(rnd *rand.Rand, p *types.Project, e *engine, round int) {
	needed := map[string]bool{}
	for _, s := range p.Services {
		for dep := range s.DependsOn {
			needed[dep] = true
		}
	}
	pool := []string{"", "one", "four", "three"}
	rnd.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	for i, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		if rnd.IntN(2) == 0 {
			s.Image = fmt.Sprint("other:", round, rnd.IntN(2))
			e.Images[s.Image] = "id-" + s.Image
		}
		s.Labels = nil
		if rnd.IntN(2) == 0 {
			s.Labels = types.Labels{labelComponent: name}
		}
		s.ContainerName = ""
		if i < len(pool) {
			s.ContainerName = pool[i]
		}
		s.Ports = nil
		if i < len(pool) && rnd.IntN(2) == 0 {
			s.Ports = []types.ServicePortConfig{{Target: 80, Published: fmt.Sprint(8000 + len(pool[i]))}}
		}
		if !needed[name] && rnd.IntN(3) == 0 {
			delete(p.Services, name)
			s.Name = fmt.Sprint(strings.TrimRight(name, "r0123456789"), "r", rnd.IntN(100), i)
		}
		p.Services[s.Name] = s
	}
}

func single(rnd *rand.Rand) *types.Project {
	p := randomProject(rnd)
	one := 1
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		p.Services[name].Deploy.Replicas = &one
	}
	return p
}

// TestNamesMove holds for names that go over from service to service, and any
// point of interruption: the next plan leads to the same end.
func TestNamesMove(t *testing.T) {
	rnd := rand.New(rand.NewPCG(21, 22))
	all := Options{Wait: true, RemoveOrphans: true}
	for round := range 1500 {
		p := single(rnd)
		e := newEngine(p)
		for range 1 + rnd.IntN(4) {
			interrupted := planUp(t, p, e.Observed, all)
			e.run(t, rnd, p, hashesOf(p), interrupted, rnd.IntN(len(interrupted.Steps)+1))
			moveNames(rnd, p, e, round)
			if rnd.IntN(6) == 0 {
				p.Networks["default"] = types.NetworkConfig{Name: "p_default", Driver: fmt.Sprint("driver-", round)}
			}
		}
		e.run(t, rnd, p, hashesOf(p), planUp(t, p, e.Observed, all), 1<<20)
		if again := planUp(t, p, e.Observed, all); again.Changes() > 0 {
			t.Fatalf("something is left to do:\n%s", again)
		}
		for _, s := range p.Services {
			if !slices.ContainsFunc(e.Containers, func(c Container) bool { return c.Service == s.Name && c.Name == ContainerName(p, s, 1) }) {
				t.Fatalf("there is no container of %s of its name", s.Name)
			}
		}
		if len(e.Containers) != len(p.Services) {
			t.Fatalf("%d containers, want %d", len(e.Containers), len(p.Services))
		}
	}
}

// renamed is a project that was brought up, and then got other names, with what
// there is of it and the plan for that.
func renamed(t *testing.T, rnd *rand.Rand, round int, opts Options) (*types.Project, *engine, Plan) {
	t.Helper()
	p := single(rnd)
	e := newEngine(p)
	moveNames(rnd, p, e, -1)
	e.run(t, rnd, p, hashesOf(p), planUp(t, p, e.Observed, opts), 1<<20)
	moveNames(rnd, p, e, round)
	return p, e, planUp(t, p, e.Observed, opts)
}

// TestNamesMoveLast: nothing that has run is removed before all that is new is
// ready.
func TestNamesMoveLast(t *testing.T) {
	rnd := rand.New(rand.NewPCG(23, 24))
	all := Options{Wait: true, RemoveOrphans: true}
	moved := 0
	for round := range 1000 {
		p, e, update := renamed(t, rnd, round, all)
		waiting := 0
		for _, s := range update.Steps {
			if s.Op == Ready {
				waiting++
			}
			if s.Op == Rename {
				moved++
			}
		}
		e.seen = func(s Step) {
			switch {
			case s.Op == Ready:
				waiting--
			case s.Op == Remove && waiting > 0:
				t.Fatalf("step %d can't be taken back, and %d may still fail:\n%s", s.ID, waiting, update)
			}
		}
		e.run(t, rnd, p, hashesOf(p), update, 1<<20)
	}
	if moved < 1000 {
		t.Errorf("only %d names moved", moved)
	}
}

// TestOrphansDrain: a component that the file has no more stops once what waits
// for it was waited for, and that comes as late as it can.
func TestOrphansDrain(t *testing.T) {
	rnd := rand.New(rand.NewPCG(25, 26))
	all := Options{Wait: true, RemoveOrphans: true}
	drained := 0
	for round := range 1000 {
		p, e, update := renamed(t, rnd, round, all)
		drains := map[int]Step{}
		for _, s := range update.Steps {
			if s.Op == Drain {
				drains[s.ID] = s
			}
		}
		behind := map[int]map[int]bool{} // drain → what waits for it
		for _, s := range update.Steps {
			for _, need := range s.Needs {
				for id := range drains {
					if need == id || behind[id][need] {
						if behind[id] == nil {
							behind[id] = map[int]bool{}
						}
						behind[id][s.ID] = true
					}
				}
			}
			i := slices.IndexFunc(e.Containers, func(c Container) bool { return c.ID == s.Target })
			if _, stays := p.Services[s.Service]; s.Op != Stop || stays || !e.Containers[i].component() {
				continue
			}
			drained++
			if !slices.ContainsFunc(s.Needs, func(n int) bool {
				return slices.Contains(drains[n].Components, e.Containers[i].Labels[labelComponent])
			}) {
				t.Fatalf("step %d doesn't wait for what is left to do:\n%s", s.ID, update)
			}
		}
		for _, s := range update.Steps {
			for id, drain := range drains {
				if moves(s) && !behind[id][s.ID] && !slices.Contains(drain.Needs, s.ID) {
					t.Fatalf("step %d doesn't wait for step %d, which changes who sends:\n%s", id, s.ID, update)
				}
			}
		}
	}
	if drained < 300 {
		t.Errorf("only %d drained", drained)
	}
}

// moves tells whether a step changes who sends.
func moves(s Step) bool { return s.Op == Start || s.Op == Ready || s.Op == Stop }

// TestNameTaken: a name that stays with somebody else is no way to begin.
func TestNameTaken(t *testing.T) {
	p := project("a:", "b:")
	e := newEngine(p)
	e.run(t, rand.New(rand.NewPCG(1, 1)), p, hashesOf(p), planUp(t, p, e.Observed, Options{}), 1<<20)
	one := p.Services["b"]
	delete(p.Services, "b")
	one.Name, one.ContainerName = "c", "p-b-1"
	p.Services["c"] = one
	want := Wanted{Project: p, Hashes: hashesOf(p)}
	for name, c := range map[string]struct {
		remedy string
		change func(o *Observed)
	}{
		"orphan": {"--remove-orphans", func(*Observed) {}},
		"one-off": {"docker rm -f p-b-1", func(o *Observed) {
			o.Containers[slices.IndexFunc(o.Containers, func(c Container) bool { return c.Name == "p-b-1" })].OneOff = true
		}},
		"other": {"in one go", func(*Observed) { p.DisabledServices = types.Services{"b": {}} }},
	} {
		p.DisabledServices = nil
		have := e.Observed
		have.Containers = slices.Clone(have.Containers)
		c.change(&have)
		_, err := Up(want, have, Options{Wait: true})
		var taken *NameTakenError
		if !errors.As(err, &taken) || taken.Service != "c" || !strings.Contains(taken.Remedy(), c.remedy) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestJobsAreNoDrift: a job that has ended well runs again, and is as it should
// be; what is to serve isn't.
func TestJobsAreNoDrift(t *testing.T) {
	for name, c := range map[string]struct {
		code, drift int
		change      func(*types.ServiceConfig)
	}{
		"a job":        {0, 0, func(*types.ServiceConfig) {}},
		"that failed":  {1, 1, func(*types.ServiceConfig) {}},
		"on-failure":   {0, 0, func(s *types.ServiceConfig) { s.Restart = "on-failure:3" }},
		"always":       {0, 1, func(s *types.ServiceConfig) { s.Restart = "always" }},
		"with a port":  {0, 1, func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 80}} }},
		"with a check": {0, 1, func(s *types.ServiceConfig) { s.HealthCheck = &types.HealthCheckConfig{Test: []string{"CMD", "x"}} }},
		"deployed again": {0, 1, func(s *types.ServiceConfig) {
			s.Deploy = &types.DeployConfig{RestartPolicy: &types.RestartPolicy{Condition: "any"}}
		}},
	} {
		p := project("a:")
		s := p.Services["a"]
		c.change(&s)
		p.Services["a"] = s
		e := newEngine(p)
		e.run(t, rand.New(rand.NewPCG(1, 1)), p, hashesOf(p), planUp(t, p, e.Observed, Options{}), 1<<20)
		e.Containers[0].State, e.Containers[0].ExitCode, e.Containers[0].Health = Exited, c.code, ""
		got := planUp(t, p, e.Observed, Options{})
		if got.Drift() != c.drift || got.Changes() != 1 {
			t.Errorf("%s: %d steps are drift, want %d\n%s", name, got.Drift(), c.drift, got)
		}
	}
}

// TestBestOfSeveral: of what an interrupted update has left, what is well stays
// until there is something new.
func TestBestOfSeveral(t *testing.T) {
	p := project("a:")
	e := newEngine(p)
	e.run(t, rand.New(rand.NewPCG(1, 1)), p, hashesOf(p), planUp(t, p, e.Observed, Options{Wait: true}), 1<<20)
	broken := e.Containers[0]
	broken.ID, broken.Name, broken.ConfigHash = "broken", "0123456789ab_p-a-1", "other"
	broken.Health, broken.Created = Unhealthy, broken.Created.Add(1)
	e.Containers = append(e.Containers, broken)
	s := p.Services["a"]
	s.Image = "a:2"
	p.Services["a"] = s
	first := true
	e.seen = func(st Step) {
		if st.Op == Remove && first {
			first = false
			if st.Target != "broken" {
				t.Errorf("%s goes first", st.Name)
			}
		}
	}
	e.run(t, rand.New(rand.NewPCG(1, 1)), p, hashesOf(p), planUp(t, p, e.Observed, Options{Wait: true}), 1<<20)
	if first {
		t.Error("nothing was removed")
	}
}
