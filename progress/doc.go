// Package progress tells people and scripts how a run of steps gets on: as a
// tree that a terminal keeps up to date in place, as plain lines, or as JSON.
// All of them show the same events; none of them asks the engine anything.
package progress

import (
	"fmt"
	"time"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// View shows one run. Report may be called from several goroutines, and not
// after End.
type View interface {
	Report(deploy.Progress)
	// End shows how the run ended, once. Steps that are still running then have
	// been given up.
	End()
}

// Phases gives the phase of a service, "" for one without.
type Phases func(service string) string

// ofStep is the phase of what a step works on: networks, volumes and images
// belong to none.
func (f Phases) ofStep(s plan.Step) string {
	if f == nil {
		return ""
	}
	switch s.Op {
	case plan.CreateNetwork, plan.CreateVolume, plan.RemoveNetwork, plan.RemoveVolume, plan.RemoveImage:
		return ""
	}
	return f(s.Service)
}

// Silent shows nothing.
type Silent struct{}

// Report implements View.
func (Silent) Report(deploy.Progress) {}

// End implements View.
func (Silent) End() {}

// words are what a step is called while it runs, and once it is done.
func words(op plan.Op) (doing, done string) {
	switch op {
	case plan.Build:
		return "building", "built"
	case plan.Pull:
		return "pulling", "pulled"
	case plan.Push:
		return "pushing", "pushed"
	case plan.CreateNetwork, plan.CreateVolume, plan.Create:
		return "creating", "created"
	case plan.Start:
		return "starting", "started"
	case plan.Unpause:
		return "unpausing", "unpaused"
	case plan.Ready:
		return "waiting", "ready"
	case plan.Completed:
		return "running", "completed"
	case plan.Stop:
		return "stopping", "stopped"
	case plan.Kill:
		return "killing", "killed"
	case plan.Rename:
		return "renaming", "renamed"
	case plan.Drain:
		return "draining", "drained"
	case plan.Scale:
		return "scaling", "scaled"
	case plan.Remove, plan.RemoveNetwork, plan.RemoveVolume, plan.RemoveImage:
		return "removing", "removed"
	}
	return string(op), "done"
}

// because gives a step's cause where it says more than the step itself.
func because(s plan.Step) string {
	switch s.Op {
	case plan.Remove, plan.RemoveNetwork, plan.RemoveVolume, plan.RemoveImage:
		return ""
	}
	if s.Cause == "not there" {
		return ""
	}
	return s.Cause
}

// took writes a time as people read it.
func took(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}
