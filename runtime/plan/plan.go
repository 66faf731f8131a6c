// Package plan works out how to get from what the engine holds to what a
// project wants: steps, what each of them waits for, and why it is there. It
// does no I/O, asks nothing and reads no clock, so that a plan can be shown,
// compared and tested before anything happens.
package plan

import (
	"fmt"
	"strings"
)

// Plan is a graph of steps, in an order in which they could be done one by
// one.
type Plan struct {
	Steps []Step
	// Unchanged lists the services whose containers stay as they are.
	Unchanged []string
	// Orphans are containers of the project whose service isn't wanted. They
	// are left alone unless the options say otherwise.
	Orphans []Container
	// Diverged lists the volumes whose configuration has changed and which stay
	// as they are: making them anew loses what they hold, so that it has to be
	// asked for.
	Diverged []Volume
}

// Step is one call of the engine, or one thing to wait for.
type Step struct {
	ID      int
	Op      Op
	Service string // or the key of a network or volume
	Number  int    // of the container, from 1
	Name    string // of the container, network, volume or image
	Target  string // id of the container that is there already
	Cause   string // why
	Needs   []int  // steps that have to be done first

	// Optional is a wait whose failure is none of the plan: those who need it
	// can do without, and go on.
	Optional bool

	// Again is the start of a job that has ended well and that nothing waits for:
	// it runs once more, and is as it should be all the same.
	Again bool

	// AwaitStep is the step whose container a step is for, where the container
	// isn't there yet; Target is it otherwise.
	AwaitStep int

	// Components are those whose messages a drain waits for; all if there are none.
	Components []string

	// Replaces is the container whose place the one that is created takes, and
	// Inherit has the anonymous volumes that it takes over from it.
	Replaces string
	Inherit  []Mount
}

// Op is what a step does.
type Op string

const (
	Build         Op = "build"
	Pull          Op = "pull"
	Push          Op = "push"
	CreateNetwork Op = "create network"
	CreateVolume  Op = "create volume"
	Create        Op = "create"
	Start         Op = "start"
	Pause         Op = "pause"
	Unpause       Op = "unpause"
	Ready         Op = "wait until ready"
	Completed     Op = "wait until completed"
	Await         Op = "wait for others" // for Name, which another part of the system brings or ends
	Stop          Op = "stop"
	Kill          Op = "kill"
	Remove        Op = "remove"
	Rename        Op = "rename"
	Drain         Op = "drain"
	Scale         Op = "scale"
	RemoveNetwork Op = "remove network"
	RemoveVolume  Op = "remove volume"
	RemoveImage   Op = "remove image"
	Tag           Op = "tag"
)

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Changes counts the steps that change something.
func (p Plan) Changes() int {
	n := 0
	for _, s := range p.Steps {
		if s.Op != Ready && s.Op != Completed {
			n++
		}
	}
	return n
}

// Drift counts the steps that there are because something isn't as it should be.
func (p Plan) Drift() int {
	n := p.Changes()
	for _, s := range p.Steps {
		if s.Again {
			n--
		}
	}
	return n
}

// String gives the plan as text, a step a line: its number, what it does, why,
// and what it waits for.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%3d  %-16s %s", s.ID, s.Op, s.Name)
		if s.Cause != "" {
			fmt.Fprintf(&b, "  (%s)", s.Cause)
		}
		for i, n := range s.Needs {
			if i == 0 {
				b.WriteString("  after")
			}
			fmt.Fprintf(&b, " %d", n)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
