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
	// Where it isn't empty, networks stay as well.
	Keep []Container
}

// Down plans the way from have to nothing: dependents stop before what they
// depend on, the networks go last. It needs nothing but the labels of what is
// there.
func Down(have Observed, opts DownOptions) Plan {
	var p Plan
	var going []Container
	for _, c := range have.Containers {
		if !slices.ContainsFunc(opts.Keep, func(k Container) bool { return k.ID == c.ID }) {
			going = append(going, c)
		}
	}
	stops := map[string][]int{} // by service
	var all []int
	for _, c := range dependentsFirst(going) {
		var needs []int
		for _, d := range going {
			if slices.ContainsFunc(d.DependsOn, func(on Dependency) bool { return on.Service == c.Service }) {
				needs = append(needs, stops[d.Service]...)
			}
		}
		step := Step{Op: Stop, Service: c.Service, Number: c.Number, Name: c.Name, Target: c.ID, Needs: unique(needs)}
		if c.State == Running || c.State == Restarting || c.State == Paused {
			id := p.add(step)
			stops[c.Service] = append(stops[c.Service], id)
			step.Needs = []int{id}
		} else {
			stops[c.Service] = append(stops[c.Service], step.Needs...)
		}
		step.Op = Remove
		all = append(all, p.add(step))
	}
	if len(opts.Keep) == 0 {
		for _, n := range have.Networks {
			if n.Owned {
				p.add(Step{Op: RemoveNetwork, Service: n.Key, Name: n.Name, Target: n.ID, Needs: slices.Clone(all)})
			}
		}
	}
	if opts.Volumes {
		for _, v := range have.Volumes {
			if v.Owned {
				p.add(Step{Op: RemoveVolume, Service: v.Key, Name: v.Name, Target: v.Name, Needs: slices.Clone(all)})
			}
		}
	}
	for _, ref := range opts.Images {
		p.add(Step{Op: RemoveImage, Name: ref, Target: ref, Needs: slices.Clone(all)})
	}
	return p
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
