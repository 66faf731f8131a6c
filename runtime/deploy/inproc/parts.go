package inproc

import (
	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/process"
)

// PartState is a component at one moment.
type PartState struct {
	Name       string
	Deployment string
	State      host.State
	Instances  int // that run and aren't to stop
	// Usage is what its processes take; nil where it has none of its own, or this
	// system doesn't tell.
	Usage *process.Usage `json:",omitempty"`
}

// Parts are the components that run in this process, or from it.
func (s *System) Parts() []PartState {
	var all []PartState
	for _, p := range s.parts {
		now := PartState{Name: p.Config.Name, Deployment: p.Deployment, State: p.now(), Instances: p.count()}
		if u, ok := p.usage(); ok {
			now.Usage = &u
		}
		all = append(all, now)
	}
	return all
}
