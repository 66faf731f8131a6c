package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// progress tells people how a long command gets on: a line on standard error
// for each thing that is done.
type progress struct {
	tool    *tool
	project *types.Project // nil for a down
	quiet   bool
	begin   time.Time

	mu    sync.Mutex
	ready map[string]bool // containers that a wait is planned for, by name
	build map[int]string  // last line of a running build or pull
}

func (t *tool) newProgress(p *types.Project, quiet bool) *progress {
	return &progress{tool: t, project: p, quiet: quiet, begin: time.Now(), ready: map[string]bool{}, build: map[int]string{}}
}

var doneWords = map[plan.Op]string{
	plan.Build: "built", plan.Pull: "pulled", plan.CreateNetwork: "network", plan.CreateVolume: "volume",
	plan.Start: "started", plan.Ready: "ready", plan.Completed: "completed", plan.Stop: "stopped",
	plan.Remove: "removed", plan.RemoveNetwork: "removed", plan.RemoveVolume: "removed", plan.RemoveImage: "removed",
}

func (p *progress) report(ev deploy.Progress) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev.Status {
	case deploy.Running:
		if ev.Step.Op == plan.Build || ev.Step.Op == plan.Pull {
			p.line(ev.Step, string(ev.Step.Op)+"ing", "")
		}
	case deploy.Done:
		word, ok := doneWords[ev.Step.Op]
		if !ok || ev.Step.Op == plan.Stop {
			return // said by what follows it
		}
		if ev.Step.Op == plan.Ready && ev.Step.Target != "" && ev.Elapsed < time.Second {
			return // it was there before, and ready though the engine hasn't looked yet
		}
		p.line(ev.Step, word, fmt.Sprintf("%.1fs", time.Since(p.begin).Seconds()))
	case deploy.Failed:
		p.line(ev.Step, "failed", "")
	}
}

func (p *progress) line(s plan.Step, word, when string) {
	cause := ""
	if s.Cause != "" && s.Cause != "not there" && word != "removed" {
		cause = "  (" + s.Cause + ")"
	}
	c := colour("32")
	if word == "failed" {
		c = red
	}
	fmt.Fprintln(p.tool.err, strings.TrimRight(fmt.Sprintf("  %s %-10s %s%s", p.tool.paint(c, fmt.Sprintf("%-9s", word)), p.phase(s), s.Name, cause)+"  "+when, " "))
}

// phase is the coarse place of a step in the order of starting.
func (p *progress) phase(s plan.Step) string {
	if p.project == nil {
		return ""
	}
	if svc, ok := p.project.Services[s.Service]; ok && s.Op != plan.CreateNetwork && s.Op != plan.CreateVolume {
		return svc.Labels[deploy.LabelPhase]
	}
	return ""
}
