package plan

import (
	"maps"
	"slices"
)

// DownOptions of a down.
type DownOptions struct {
	Volumes bool     // also the project's named volumes, and anonymous ones
	Images  []string // also these images
	// Keep lists what stays: services that are no part of what goes down.
	// Where it isn't empty, networks stay as well, and so do their volumes.
	Keep []Container
	// Drain lets the queues of the bus run empty before the components stop,
	// once what accepts work from outside has.
	Drain bool
}

// Down plans the way from have to nothing: dependents stop before what they
// depend on, the networks go last. It needs nothing but the labels of what is
// there.
func Down(have Observed, opts DownOptions) Plan {
	var g graph
	var going []Container
	for _, c := range have.Containers {
		if !slices.ContainsFunc(opts.Keep, func(k Container) bool { return k.ID == c.ID }) {
			going = append(going, c)
		}
	}
	going = dependentsFirst(going)
	var drain *node
	outside := map[string]bool{}
	if opts.Drain && slices.ContainsFunc(going, Container.component) {
		outside = ingress(going)
		drain = &node{step: Step{Op: Drain, Name: "message bus", Optional: true}}
	}
	stops := map[string][]*node{} // by service
	var all []*node
	for _, c := range going {
		var needs []*node
		for _, d := range going {
			if slices.ContainsFunc(d.DependsOn, func(on Dependency) bool { return on.Service == c.Service }) {
				needs = append(needs, stops[d.Service]...)
			}
		}
		step := Step{Op: Stop, Service: c.Service, Number: c.Number, Name: c.Name, Target: c.ID}
		if c.running() {
			stop := g.add(step, needs...)
			if drain != nil && outside[c.Service] {
				drain.after(stop)
			} else if drain != nil {
				stop.after(drain)
			}
			needs = []*node{stop}
			stops[c.Service] = append(stops[c.Service], stop)
		} else {
			stops[c.Service] = append(stops[c.Service], needs...)
		}
		step.Op = Remove
		all = append(all, g.add(step, needs...))
	}
	if drain != nil {
		drain.index = len(g)
		g = append(g, drain)
	}
	if len(opts.Keep) == 0 {
		for _, n := range have.Networks {
			if n.Owned {
				g.add(Step{Op: RemoveNetwork, Service: n.Key, Name: n.Name, Target: n.ID}, all...)
			}
		}
	}
	if opts.Volumes {
		for _, c := range going {
			for _, m := range anonymous(&c) {
				g.forget(m, c, all...)
			}
		}
		for _, v := range have.Volumes {
			used := slices.ContainsFunc(opts.Keep, func(c Container) bool {
				return slices.ContainsFunc(c.Mounts, func(m Mount) bool { return m.Volume == v.Name })
			})
			if v.Owned && !used {
				g.add(Step{Op: RemoveVolume, Service: v.Key, Name: v.Name, Target: v.Name}, all...)
			}
		}
	}
	for _, ref := range opts.Images {
		// Another project may use it as well.
		g.add(Step{Op: RemoveImage, Name: ref, Target: ref, Optional: true}, all...)
	}
	steps, err := g.steps()
	if err != nil {
		// dependentsFirst has cut every circle, and nothing that comes before
		// the drain depends on what comes after it.
		panic(err)
	}
	return Plan{Steps: steps}
}

// Without lists what of have stays when services, and all that depend on them, go
// down.
func Without(have []Container, services []string) []Container {
	going := map[string]bool{}
	for _, s := range services {
		going[s] = true
	}
	for changed := true; changed; {
		changed = false
		for _, c := range have {
			if !going[c.Service] && slices.ContainsFunc(c.DependsOn, func(d Dependency) bool { return going[d.Service] }) {
				going[c.Service], changed = true, true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(have), func(c Container) bool { return going[c.Service] })
}

// forget removes a volume that nobody has named. An engine does that along with
// its container, but for one that was handed on from container to container.
// It may be another's as well.
func (g *graph) forget(m Mount, c Container, needs ...*node) {
	g.add(Step{Op: RemoveVolume, Service: c.Service, Number: c.Number, Name: m.Volume, Target: m.Volume, Optional: true}, needs...)
}

// component reports whether a container is a component that takes messages.
func (c Container) component() bool {
	return c.State == Running && c.Labels[labelComponent] != "" && c.Labels[labelPhase] != phaseIngress
}

const (
	labelComponent = "dev.woodwork.component"
	labelPhase     = "dev.woodwork.phase"
	phaseIngress   = "ingress"
)

// ingress lists the services that accept work from outside, and those that
// depend on them: they stop before the queues are waited for.
func ingress(cs []Container) map[string]bool {
	out := map[string]bool{}
	for _, c := range cs { // dependents come first
		if c.Labels[labelPhase] == phaseIngress {
			out[c.Service] = true
		}
	}
	for changed := true; changed; {
		changed = false
		for _, c := range cs {
			if !out[c.Service] && slices.ContainsFunc(c.DependsOn, func(d Dependency) bool { return out[d.Service] }) {
				out[c.Service], changed = true, true
			}
		}
	}
	return out
}

// dependentsFirst orders containers so that each comes before those that it
// depends on, as far as the labels allow: a circle in them is cut.
func dependentsFirst(cs []Container) []Container {
	byService := map[string][]Container{}
	for _, c := range cs {
		byService[c.Service] = append(byService[c.Service], c)
	}
	var out []Container
	seen := map[string]bool{}
	var visit func(string)
	visit = func(service string) {
		if seen[service] {
			return
		}
		seen[service] = true
		for _, c := range byService[service] {
			for _, d := range c.DependsOn {
				visit(d.Service)
			}
		}
		out = append(out, byService[service]...)
	}
	for _, s := range slices.Sorted(maps.Keys(byService)) {
		visit(s)
	}
	slices.Reverse(out)
	return out
}
