package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/component/builtin"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/runtime/host/isolated"
	"woodwork.dev/ww/runtime/process"
	"woodwork.dev/ww/syntax"
)

// What ww calls itself with: nobody else does, and so they are no commands. None of
// what commands need is set up for them, as each component waits for it.
const (
	isolatedWord = "isolated-component"
	guardWord    = "guard"
)

// hidden is a command for what ww calls itself with.
func hidden(word string) func() *exec.Cmd {
	self := "/proc/self/exe" // this very program, also when its file has been replaced
	if runtime.GOOS != "linux" {
		if path, err := os.Executable(); err == nil {
			self = path
		}
	}
	return func() *exec.Cmd { return &exec.Cmd{Path: self, Args: []string{"ww", word}} }
}

// runHidden does what ww has called itself with; ran is false if it wasn't that.
func runHidden(args []string, in io.Reader, out, diag io.Writer) (code int, ran bool) {
	if len(args) != 2 {
		return 0, false
	}
	switch args[1] {
	case isolatedWord:
		if err := isolated.Serve(context.Background(), in, out, builtin.Builders()); err != nil {
			fmt.Fprintln(diag, err)
			return exitFailed, true
		}
	case guardWord:
		process.Guard(in)
	default:
		return 0, false
	}
	return exitOK, true
}

// isolate says how a component is kept apart from the others.
func isolate(p *inproc.Component, c *model.Component) {
	p.Programs = c.RunsPrograms()
	p.Isolated = !p.Programs && c.Isolation() == model.OwnProcess
	if p.Programs || p.Isolated {
		p.Limits = limitsOf(c.Settings.Map("resources"))
	}
}

// limitsOf reads `resources`; what has the wrong form was told when the file was
// read.
func limitsOf(m *model.Map) process.Limits {
	var l process.Limits
	if m == nil {
		return l
	}
	if v, ok := m.Get("memory"); ok {
		l.Memory, _ = model.Size(v)
	}
	l.CPUs, _ = strconv.ParseFloat(m.Text("cpus"), 64)
	l.PIDs, _ = strconv.ParseInt(m.Text("pids"), 10, 64)
	return l
}

// ofContainers warns of what has no effect without a container.
func ofContainers(c *model.Component) syntax.Diagnostics {
	var diags syntax.Diagnostics
	warn := func(f *model.Field, what, remedy string) {
		if f != nil {
			diags = append(diags, syntax.Diagnostic{Severity: syntax.Warning, Code: "no-container", Span: f.Span, Remedy: remedy,
				Message: fmt.Sprintf("%q of %q %s", f.Key, c.Name, what)})
		}
	}
	const remedy = "`ww compose up`, or `--as docker`, honours it"
	for _, key := range []string{"dockerfile", "replicas", "volumes", "requirements", "restart"} {
		warn(c.Settings.Field(key), "is of containers, and has no effect here", remedy)
	}
	if f := c.Settings.Map("scale").Field("cpu"); f != nil && (!process.Known || c.Isolation() != model.OwnProcess) {
		remedy := "`queue_depth` counts here; `ww compose up` honours both"
		if process.Known && c.Kind != "output" {
			remedy = "`isolation: \"process\"` gives it a process of its own; " + remedy
		}
		diags = append(diags, syntax.Diagnostic{
			Severity: syntax.Warning, Code: "no-container", Span: f.Span, Remedy: remedy,
			Message: fmt.Sprintf("the processor's load of %q alone can't be told here: %q has no effect", c.Name, f.Key),
		})
	}
	switch {
	case c.Isolation() == model.OwnProcess:
		if m := c.Settings.Map("resources"); m != nil {
			warn(m.Field("memory_reservation"), "is of containers, and has no effect here", remedy)
		}
	case c.Kind == "input" || c.Kind == "output":
		warn(c.Settings.Field("resources"), "has no effect here: it runs in the process of ww", remedy)
	default:
		warn(c.Settings.Field("resources"), "has no effect here: it runs in the process of ww",
			"`isolation: \"process\"` gives it one of its own; "+remedy)
	}
	return diags
}
