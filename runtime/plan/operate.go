package plan

import (
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// What follows plans operations on containers that are there, from their labels
// alone. One-off containers are no part of the order: they are left out.

// StopAll plans the stop of the chosen containers that run, dependents first.
func StopAll(all []Container, chosen func(Container) bool) Plan {
	var p Plan
	p.stopInto(withoutOneOffs(all), chosen)
	return p
}

// KillAll plans a signal to the chosen containers that run, dependents first.
func KillAll(all []Container, chosen func(Container) bool) Plan {
	p := StopAll(all, chosen)
	for i := range p.Steps {
		p.Steps[i].Op = Kill
	}
	return p
}

// RemoveAll plans the removal of the chosen containers that don't run; with stop
// of all that are chosen, dependents first.
func RemoveAll(all []Container, chosen func(Container) bool, stop bool) Plan {
	var p Plan
	all = withoutOneOffs(all)
	stops := map[string]int{}
	if stop {
		stops = p.stopInto(all, chosen)
	}
	for _, c := range dependentsFirst(all) {
		if chosen(c) && (stop || !c.running()) {
			p.append(Step{Op: Remove, Service: c.Service, Number: c.Number, Name: c.Name, Target: c.ID, Needs: one(stops[c.ID])})
		}
	}
	return p
}

// stopInto adds the stops; it returns the step of each container.
func (p *Plan) stopInto(all []Container, chosen func(Container) bool) map[string]int {
	steps := map[string]int{}
	ends := map[string][]int{} // by service, what has to be done before those it depends on stop
	for _, c := range dependentsFirst(all) {
		var needs []int
		for _, d := range all {
			if slices.ContainsFunc(d.DependsOn, func(on Dependency) bool { return on.Service == c.Service }) {
				needs = append(needs, ends[d.Service]...)
			}
		}
		needs = unique(needs)
		if chosen(c) && c.running() {
			id := p.append(Step{Op: Stop, Service: c.Service, Number: c.Number, Name: c.Name, Target: c.ID, Needs: needs})
			steps[c.ID] = id
			needs = []int{id}
		}
		ends[c.Service] = append(ends[c.Service], needs...)
	}
	return steps
}

// StartAll plans the start of services (of all, if none is named) and of what
// they depend on, dependencies first, each as soon as those are as depends_on
// says. A job that has done its work isn't done again unless it is named. With
// wait, everything is to be ready in the end.
func StartAll(all []Container, services []string, wait bool) Plan {
	s := newStarting(all)
	named := func(service string) bool { return slices.Contains(services, service) }
	s.close(services, func(c Container) []string {
		var deps []string
		for _, d := range c.DependsOn {
			deps = append(deps, d.Service)
		}
		return deps
	})
	jobs := s.jobs()
	s.starts = func(c Container) bool {
		done := c.State == Exited && c.ExitCode == 0 && jobs[c.Service] && !named(c.Service)
		return !c.running() && !done && c.State != Dead && c.State != Removing
	}
	s.plan(wait, nil)
	return s.p
}

// RestartAll plans the restart of services (of all, if none is named): they are
// stopped, dependents first, and started again as StartAll does. Those that
// depend on one of them with restart: true restart as well, unless alone.
func RestartAll(all []Container, services []string, alone bool) Plan {
	s := newStarting(all)
	s.close(services, func(c Container) []string {
		var dependents []string
		for _, d := range s.all {
			if !alone && slices.ContainsFunc(d.DependsOn, func(on Dependency) bool { return on.Service == c.Service && on.Restart }) {
				dependents = append(dependents, d.Service)
			}
		}
		return dependents
	})
	s.starts = func(c Container) bool { return c.State != Dead && c.State != Removing }
	stops := s.p.stopInto(s.all, s.chosen)
	s.plan(false, stops)
	return s.p
}

// starting is a start under construction.
type starting struct {
	p      Plan
	all    []Container
	in     map[string]bool      // services that it is about
	starts func(Container) bool // whether a container of these is to be started
}

func newStarting(all []Container) *starting {
	return &starting{all: withoutOneOffs(all), in: map[string]bool{}}
}

func (s *starting) chosen(c Container) bool { return s.in[c.Service] }

// close takes in services and what they bring along.
func (s *starting) close(services []string, along func(Container) []string) {
	if len(services) == 0 {
		for _, c := range s.all {
			s.in[c.Service] = true
		}
		return
	}
	for _, name := range services {
		if s.in[name] {
			continue
		}
		s.in[name] = true
		for _, c := range s.all {
			if more := along(c); c.Service == name && len(more) > 0 {
				s.close(more, along)
			}
		}
	}
}

// jobs are the services whose result others need.
func (s *starting) jobs() map[string]bool {
	jobs := map[string]bool{}
	for _, c := range s.all {
		for _, d := range c.DependsOn {
			if d.Condition == types.ServiceConditionCompletedSuccessfully {
				jobs[d.Service] = true
			}
		}
	}
	return jobs
}

// plan adds starts and waits. stops are the steps that come before, by
// container.
func (s *starting) plan(wait bool, stops map[string]int) {
	awaited := map[string]map[string]bool{} // service → conditions of those that are started
	for _, c := range s.all {
		if !s.chosen(c) || !s.starts(c) {
			continue
		}
		for _, d := range c.DependsOn {
			if awaited[d.Service] == nil {
				awaited[d.Service] = map[string]bool{}
			}
			awaited[d.Service][d.Condition] = true
		}
	}
	met := map[string]map[string][]int{} // service → condition → steps
	for _, c := range slices.Backward(dependentsFirst(s.all)) {
		if !s.chosen(c) {
			continue
		}
		if met[c.Service] == nil {
			met[c.Service] = map[string][]int{}
		}
		done := met[c.Service]
		note := func(condition string, step int) { done[condition] = append(done[condition], step) }
		step := Step{Service: c.Service, Number: c.Number, Name: c.Name, Target: c.ID}
		start := 0
		if s.starts(c) {
			step.Op, step.Needs = Start, one(stops[c.ID])
			for _, d := range c.DependsOn {
				step.Needs = append(step.Needs, met[d.Service][d.Condition]...)
			}
			step.Needs = unique(step.Needs)
			start = s.p.append(step)
			note(types.ServiceConditionStarted, start)
			step.Needs = []int{start}
		} else if !c.running() {
			continue // a job that is done
		}
		conditions := awaited[c.Service]
		if conditions[types.ServiceConditionCompletedSuccessfully] {
			step.Op, step.Cause = Completed, "others need its result"
			note(types.ServiceConditionCompletedSuccessfully, s.p.append(step))
		}
		ready := start != 0 || c.Health == Starting || c.Health == Unhealthy || c.State == Restarting
		if ready && (conditions[types.ServiceConditionHealthy] || wait && !conditions[types.ServiceConditionCompletedSuccessfully]) {
			step.Op, step.Cause = Ready, ""
			note(types.ServiceConditionHealthy, s.p.append(step))
		}
	}
}

func withoutOneOffs(all []Container) []Container {
	return slices.DeleteFunc(slices.Clone(all), func(c Container) bool { return c.OneOff })
}

// OneOff plans what a one-off container of a service needs before it can be
// created: its image, networks and volumes, and what the service depends on,
// ready as depends_on says. The service's own containers are left as they are,
// and so is what runs with another configuration.
func OneOff(want Wanted, have Observed, service string, opts Options) (Plan, error) {
	have.Containers = slices.DeleteFunc(slices.Clone(have.Containers), func(c Container) bool { return c.Service == service })
	opts.ForceRecreate, opts.NoRecreate, opts.NoStart, opts.Wait = false, true, false, false
	p, err := Up(want, have, opts)
	if err != nil {
		return Plan{}, err
	}
	// Nothing that is wanted depends on the service: no step needs one of its own.
	p.Steps = slices.DeleteFunc(p.Steps, func(s Step) bool {
		return s.Service == service && slices.Contains([]Op{Create, Start, Ready, Completed}, s.Op)
	})
	p.Unchanged = slices.DeleteFunc(p.Unchanged, func(s string) bool { return s == service })
	return p, nil
}

// append adds a step whose needs are there already; it returns its number.
func (p *Plan) append(s Step) int {
	s.ID = len(p.Steps) + 1
	p.Steps = append(p.Steps, s)
	return s.ID
}

func one(id int) []int {
	if id == 0 {
		return nil
	}
	return []int{id}
}

func unique(ids []int) []int {
	slices.Sort(ids)
	return slices.Compact(ids)
}
