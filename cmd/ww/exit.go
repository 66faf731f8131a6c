package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"syscall"

	"github.com/charmbracelet/x/ansi"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/progress"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/runtime/plan"
)

// Exit codes: one for each thing that a script may want to tell apart. The topic
// exit-codes says what they mean.
const (
	exitOK        = 0
	exitFailed    = 1 // also: a file is out of date, or not formatted
	exitUsage     = 2
	exitConfig    = 3
	exitEngine    = 4
	exitBuild     = 5
	exitTimeout   = 6
	exitComponent = 7
	exitDrain     = 8
	exitCancelled = 130
)

// usageError is a wrong command line.
type usageError struct {
	error
	remedy string
}

func (e *usageError) Unwrap() error { return e.error }

// configError is a mistake in what the user wrote: a .ww file, a compose file,
// a variable that isn't set.
type configError struct {
	error
	remedy string
}

func (e *configError) Unwrap() error { return e.error }

// fileError is a failure to write on this machine.
type fileError struct {
	error
	remedy string
}

func (e *fileError) Unwrap() error { return e.error }

// buildError is a failure of preparing or building images.
type buildError struct {
	error
	remedy string
}

func (e *buildError) Unwrap() error { return e.error }

// prepareError gives a failure to write what is generated a remedy.
func prepareError(err error) error {
	remedy := ""
	switch {
	case errors.Is(err, syscall.ENOSPC):
		remedy = "free some space on the disk: build contexts and their copy of ww are written to " + compose.Folder + " beside the .ww file"
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return &fileError{err, "the project's folder has to be writable: build contexts and the bus password are kept in " + compose.Folder}
	}
	return &buildError{err, remedy}
}

// timeoutError says what took too long.
type timeoutError struct{ msg, remedy string }

func (e *timeoutError) Error() string { return e.msg }

// drainError says what is left undone: of a bus that was to be empty, or of a
// system that went down.
type drainError struct{ msg, remedy string }

func (e *drainError) Error() string { return e.msg }

// runningError says that something runs already.
type runningError struct{ msg, remedy string }

func (e *runningError) Error() string { return e.msg }

// answerError is a component's failure to answer.
type answerError struct{ msg, remedy string }

func (e *answerError) Error() string { return e.msg }

// errReported ends a command whose output has said already what is wrong.
type errReported struct{ code int }

func (e errReported) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// report tells of an error and gives the exit code that it stands for. It is
// the only place where errors become codes.
func (t *tool) report(err error) int {
	if t.console != nil {
		t.console.finish()
	}
	if err == nil {
		return exitOK
	}
	var reported errReported
	if errors.As(err, &reported) {
		return reported.code
	}
	code, remedy := classify(err)
	var component *deploy.ComponentError
	if code == exitCancelled && !errors.As(err, &component) {
		fmt.Fprintln(t.err, "ww: cancelled")
		return code
	}
	if t.record(progress.Record{Status: progress.StatusError, Error: err.Error(), Text: remedy}) {
		remedy = ""
	} else {
		fmt.Fprintf(t.err, "%s %s\n", t.paint(red, "error:"), err)
	}
	var engine *deploy.EngineError
	if errors.As(err, &engine) && len(engine.Output) > 0 {
		t.quote("last lines of the build:", engine.Output)
	}
	if errors.As(err, &component) {
		if check := component.Check; check != nil {
			t.quote("its health check "+outcome(check), check.Output)
		}
		switch {
		case len(component.Logs) > 0:
			t.quote("last lines of "+component.Container+":", component.Logs)
		case component.Started:
			fmt.Fprintf(t.err, "%s wrote nothing\n", component.Container)
		}
	}
	if remedy != "" {
		fmt.Fprintf(t.err, "%s %s\n", t.paint(cyan, "help:"), remedy)
	}
	return code
}

// outcome says how a health check failed.
func outcome(c *deploy.Check) string {
	says := ", and wrote nothing"
	if len(c.Output) > 0 {
		says = ":"
	}
	if c.ExitCode < 0 {
		return "could not be run to its end" + says
	}
	return fmt.Sprintf("exited with code %d%s", c.ExitCode, says)
}

func (t *tool) quote(title string, lines []string) {
	fmt.Fprintln(t.err, title)
	for _, l := range lines {
		fmt.Fprintf(t.err, "  | %s\n", legible(l, colourful(t.err)))
	}
}

// classify gives an error's exit code, and what to do about it.
func classify(err error) (int, string) {
	var (
		usage     *usageError
		config    *configError
		component *deploy.ComponentError
		engine    *deploy.EngineError
		timeout   *timeoutError
		build     *buildError
		file      *fileError
		answer    *answerError
		drain     *drainError
		running   *runningError
		missing   *plan.MissingImageError
		ports     *plan.PortError
		external  *plan.MissingExternalError
		name      *plan.NameTakenError
		listen    *inproc.ListenError
	)
	switch {
	case errors.As(err, &listen):
		return exitFailed, listenRemedy(listen)
	case errors.As(err, &running):
		return exitFailed, running.remedy
	case errors.As(err, &drain):
		return exitDrain, drain.remedy
	case errors.As(err, &answer):
		return exitComponent, answer.remedy
	case errors.As(err, &file):
		return exitFailed, file.remedy
	case errors.As(err, &build):
		return exitBuild, build.remedy
	case errors.As(err, &timeout):
		return exitTimeout, timeout.remedy
	case errors.As(err, &usage):
		return exitUsage, usage.remedy
	case errors.As(err, &config):
		return exitConfig, config.remedy
	case errors.Is(err, compose.ErrNoFile):
		return exitConfig, "name a file with -f, or write a main.ww"
	case errors.As(err, &component):
		if component.Remedy != "" {
			return exitComponent, component.Remedy
		}
		if len(component.Logs) == 0 {
			return exitComponent, "--keep leaves its container for a closer look"
		}
		return exitComponent, "what it says about itself is above; --keep leaves its container for a closer look"
	case errors.Is(err, context.Canceled):
		return exitCancelled, ""
	case errors.As(err, &engine):
		switch engine.Kind {
		case deploy.BuildFailed:
			return exitBuild, engine.Remedy
		case deploy.Unsupported, deploy.Invalid:
			return exitConfig, engine.Remedy
		case deploy.NoProgram:
			return exitComponent, engine.Remedy
		}
		return exitEngine, engine.Remedy
	case errors.As(err, &external):
		return exitConfig, external.Remedy()
	case errors.As(err, &name):
		return exitConfig, name.Remedy()
	case errors.As(err, &ports):
		return exitConfig, ports.Remedy()
	case errors.As(err, &missing) && missing.NoBuild:
		return exitEngine, "`ww compose build " + missing.Service + "` builds it"
	case errors.As(err, &missing):
		return exitEngine, "`docker pull " + missing.Image + "` or `docker load` brings it, or allow it with another pull_policy"
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout, ""
	}
	return exitFailed, ""
}

// painting is an escape sequence for how text looks.
var painting = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// legible is a line of a program's output as a terminal would show it: without
// what it overwrites and without escape sequences, but for those of colours where
// they are wanted.
func legible(s string, colours bool) string {
	s = strings.TrimRight(s, "\r")
	s = s[strings.LastIndexByte(s, '\r')+1:]
	if !colours {
		return harmless(ansi.Strip(s))
	}
	var b strings.Builder
	end := 0
	for _, at := range painting.FindAllStringIndex(s, -1) {
		b.WriteString(harmless(ansi.Strip(s[end:at[0]])) + s[at[0]:at[1]])
		end = at[1]
	}
	b.WriteString(harmless(ansi.Strip(s[end:])))
	if end > 0 {
		b.WriteString("\x1b[0m") // it may never end them
	}
	return b.String()
}

// harmless makes control characters visible, so that a component's output
// can't move the cursor or change the terminal.
func harmless(s string) string {
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isControl(r) {
			fmt.Fprintf(&b, "\\x%02x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 }
