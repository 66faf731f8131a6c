package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// Plain writes a line for each thing that is done: for logs, and for whoever
// reads along without a terminal.
type Plain struct {
	w      io.Writer
	phases Phases
	paint  func(Colour, string) string
	now    func() time.Time
	begin  time.Time
	mu     sync.Mutex
}

// NewPlain writes to w. paint colours words, or leaves them as they are.
func NewPlain(w io.Writer, phases Phases, paint func(Colour, string) string, now func() time.Time) *Plain {
	return &Plain{w: w, phases: phases, paint: paint, now: now, begin: now()}
}

// plainWord is what a done step is called in a line; "" where what follows it
// says it.
func plainWord(op plan.Op) string {
	switch op {
	case plan.CreateNetwork:
		return "network"
	case plan.CreateVolume:
		return "volume"
	case plan.Create, plan.Stop, plan.Rename:
		return ""
	}
	_, done := words(op)
	return done
}

// Report implements View.
func (p *Plain) Report(ev deploy.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ev.Step.Op == plan.Scale {
		p.scale(ev)
		return
	}
	switch ev.Status {
	case deploy.Running:
		if ev.Step.Op == plan.Build || ev.Step.Op == plan.Pull || ev.Step.Op == plan.Push {
			p.line(ev.Step, Green, string(ev.Step.Op)+"ing", "")
		}
	case deploy.Done:
		word := plainWord(ev.Step.Op)
		if word == "" {
			return
		}
		if ev.Step.Op == plan.Ready && ev.Step.Target != "" && ev.Elapsed < time.Second {
			return // it was there before, and ready though the engine hasn't looked yet
		}
		p.line(ev.Step, Green, word, fmt.Sprintf("%.1fs", p.now().Sub(p.begin).Seconds()))
	case deploy.Info:
		if ev.Step.Op == plan.Stop { // such as a hook that failed
			p.line(ev.Step, Yellow, "warning", oneLine(ev.Text))
		}
	case deploy.Failed:
		why := ""
		if ev.Step.Optional && ev.Err != nil { // nothing ends with it, and nobody else says why
			why = oneLine(ev.Err.Error())
		}
		p.line(ev.Step, Red, "failed", why)
	}
}

// scale tells of a decision when it is taken: its reason is what counts.
func (p *Plain) scale(ev deploy.Progress) {
	switch ev.Status {
	case deploy.Running:
		fmt.Fprintf(p.w, "%s %s: %s\n", p.paint(Cyan, "scale"), ev.Step.Name, ev.Step.Cause)
	case deploy.Failed:
		fmt.Fprintf(p.w, "%s %s failed: %s\n", p.paint(Red, "scale"), ev.Step.Name, oneLine(ev.Err.Error()))
	}
}

func (p *Plain) line(s plan.Step, c Colour, word, when string) {
	cause := ""
	if why := because(s); why != "" {
		cause = "  (" + why + ")"
	}
	line := fmt.Sprintf("  %s %-10s %s%s  %s", p.paint(c, fmt.Sprintf("%-9s", word)), p.phases.ofStep(s), plan.FinalName(s.Name), cause, when)
	fmt.Fprintln(p.w, strings.TrimRight(line, " ")) // nobody is left to tell when it is closed
}

// End implements View: all has been said.
func (p *Plain) End() {}
