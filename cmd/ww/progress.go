package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/progress"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// reporter tells people how a long command gets on, on standard error, in the
// form that --progress asks for. Where a command doesn't end it, the next one
// to begin does, or the end of the program.
type reporter struct {
	tool  *tool
	name  string
	view  progress.View
	quiet bool
	begin time.Time
}

// newProgress is for a project from a file. It may be nil.
func (t *tool) newProgress(p *types.Project, quiet bool) *reporter {
	if p == nil {
		return t.progressOf("", nil, quiet)
	}
	return t.progressOf(p.Name, func(service string) string { return p.Services[service].Labels[deploy.LabelPhase] }, quiet)
}

// progressOf is for a project of which a name and the services' phases are
// known.
func (t *tool) progressOf(name string, phases progress.Phases, quiet bool) *reporter {
	r := &reporter{tool: t, name: name, quiet: quiet, begin: time.Now()}
	paint := func(c progress.Colour, s string) string { return t.paint(colour(c), s) }
	if t.console == nil {
		r.view = progress.NewPlain(t.err, phases, paint, time.Now)
		return r
	}
	var tree *progress.Tree
	out := t.err.(*stream)
	switch mode := t.console.progressMode(out); {
	case quiet || mode == "quiet":
		r.view = progress.Silent{}
	case mode == "json":
		r.view = progress.NewJSON(records{out}, phases)
	case mode == "tty":
		f, _ := fileOf(out)
		tree = progress.NewTree(strings.TrimSpace(t.console.verb+" "+name), screenOf{f}, phases, paint)
		r.view = tree
	default:
		r.view = progress.NewPlain(t.err, phases, paint, time.Now)
	}
	t.console.begin(tree, r.view.End)
	return r
}

// progressMode is what auto stands for: a tree where someone looks at a
// terminal that can show one.
func (c *console) progressMode(s *stream) string {
	f, isFile := fileOf(s)
	switch {
	case c.mode != "auto" && c.mode != "" && (c.mode != "tty" || isFile):
		return c.mode
	case !isFile || c.colour == "never" || bare() || !isTerminal(f):
		return "plain"
	}
	return "tty"
}

func (r *reporter) report(ev deploy.Progress) { r.view.Report(ev) }

// reportFor is report without the details of the pulls and builds that a command
// line wants to see nothing of.
func (r *reporter) reportFor(c *cli.Context) func(deploy.Progress) {
	silent := map[plan.Op]bool{plan.Pull: c.Bool("quiet-pull"), plan.Build: c.Bool("quiet-build")}
	return func(ev deploy.Progress) {
		if ev.Status != deploy.Info || !silent[ev.Step.Op] {
			r.report(ev)
		}
	}
}

// end shows how it ended. What comes after stands below.
func (r *reporter) end() {
	if r.tool.console != nil {
		r.tool.console.finish()
	}
}

// total says what has been done, in one line.
func (r *reporter) total(p plan.Plan) {
	if r.quiet || p.Empty() {
		return
	}
	kinds := []struct {
		ops       []plan.Op
		one, many string
	}{
		{[]plan.Op{plan.Build}, "image built", "images built"},
		{[]plan.Op{plan.Pull}, "image pulled", "images pulled"},
		{[]plan.Op{plan.Push}, "image pushed", "images pushed"},
		{[]plan.Op{plan.Remove}, "container", "containers"},
		{[]plan.Op{plan.RemoveNetwork}, "network", "networks"},
		{[]plan.Op{plan.RemoveVolume}, "volume", "volumes"},
		{[]plan.Op{plan.RemoveImage}, "image", "images"},
	}
	var parts []string
	for _, k := range kinds {
		n := 0
		for _, s := range p.Steps {
			if slices.Contains(k.ops, s.Op) {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, count(n, k.one, k.many))
		}
	}
	verb := ""
	if r.tool.console != nil {
		verb = r.tool.console.verb
	}
	fmt.Fprintf(r.tool.err, "%s: %s in %.1fs\n", strings.TrimSpace(r.tool.paint(green, verb)+" "+r.name), strings.Join(parts, ", "), time.Since(r.begin).Seconds())
}
