package deploy

import (
	"context"

	"woodwork.dev/ww/runtime/plan"
)

// Border joins a plan with what of the same system others start and stop: their
// components run outside of containers. Its zero value is no border.
type Border struct {
	// Before lists what has to have been done elsewhere before a step that
	// starts or stops a container is begun. May be nil.
	Before func(plan.Step) []string
	// Await waits for one of those.
	Await func(ctx context.Context, name string) error
	// Planned is told of a plan before any of it is done. May be nil.
	Planned func(plan.Plan)
}

// join adds to a plan the waits for what is done elsewhere.
func (b Border) join(p plan.Plan) plan.Plan {
	if b.Planned != nil {
		b.Planned(p)
	}
	if b.Before == nil {
		return p
	}
	next := 0
	for _, s := range p.Steps {
		next = max(next, s.ID)
	}
	var steps []plan.Step
	for _, s := range p.Steps {
		if s.Op == plan.Start || s.Op == plan.Unpause || s.Op == plan.Stop {
			needs := append([]int(nil), s.Needs...)
			for _, name := range b.Before(s) {
				next++
				steps = append(steps, plan.Step{ID: next, Op: plan.Await, Service: s.Service, Name: name})
				needs = append(needs, next)
			}
			s.Needs = needs
		}
		steps = append(steps, s)
	}
	p.Steps = steps
	return p
}
