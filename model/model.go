// Package model turns parsed .ww files into a resolved project: components with
// their kinds, references and routes, the deployments that they belong to, the
// bus between them, and the order in which they depend on each other. It knows
// what each kind of component may say, and reports every mistake as a
// diagnostic. It reads no files and looks up no variables.
package model

import (
	"woodwork.dev/ww/runtime/scale"
	"woodwork.dev/ww/syntax"
)

// Project is a resolved system.
type Project struct {
	Components  []*Component // in order of declaration
	Deployments []*Deployment
	Bus         *Bus // nil: whatever suits the deployment

	byName map[string]*Component
	order  []string            // receivers and dependencies first
	deps   map[string][]string // what each component waits for
}

// Component is one part of the system.
type Component struct {
	Name string
	Kind string // "llm", "input", …; "container" for a container of its own in a docker deployment
	Type string // "openai", "api", …

	Known bool // the kind and type exist
	Built bool // and this version can run them

	Phase    Phase
	To       []string // components that get its results
	Topics   []string // topics that its results are published on
	Needs    []string // components that its configuration refers to
	Settings *Map     // everything but `to`

	Workers int           // instances to begin with, in one process or as containers; 0: the file doesn't say
	Scale   *scale.Policy // how their number follows the load; nil: it doesn't

	// Override is the compose service that a docker deployment gives for this
	// component: in place of a generated one for a container of its own, on
	// top of it otherwise. Nil for none.
	Override *Map

	Deployment *Deployment // nil: no deployment takes it
	Span       syntax.Span // of its name
}

// Phase is the coarse order in which a system comes up.
type Phase string

const (
	PhaseBus        Phase = "bus"
	PhaseBacking    Phase = "backing"
	PhaseComponents Phase = "components"
	PhaseIngress    Phase = "ingress"
)

// Phases lists the phases in order.
var Phases = [...]Phase{PhaseBus, PhaseBacking, PhaseComponents, PhaseIngress}

// Deployment is a way to run components: docker, local or server.
type Deployment struct {
	Name     string
	Kind     string
	Listed   []string // components that it names; empty: see Project
	Settings *Map
	Span     syntax.Span
}

// Component returns a component by its name, or nil.
func (p *Project) Component(name string) *Component { return p.byName[name] }

// Deployment returns a deployment by its name, or nil.
func (p *Project) Deployment(name string) *Deployment {
	for _, d := range p.Deployments {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// DependsOn lists the components that must be ready before the named one
// starts: all that it refers to, and the receivers of its results as far as
// that makes no cycle.
func (p *Project) DependsOn(name string) []string { return p.deps[name] }

// Order lists all components so that each comes after what it depends on. It
// depends on the files alone.
func (p *Project) Order() []string { return p.order }
