// Command ww runs systems that .ww files describe.
package main

import (
	"context"
	"io"
	"os"
	"runtime/debug"
	"sync/atomic"

	"github.com/sirupsen/logrus"
	"github.com/urfave/cli/v2"
)

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// tool is what every command has at hand.
type tool struct {
	in       io.Reader
	out, err io.Writer
	console  *console
	signals  *signals
	streamed string          // what has been printed of the answer under way
	meant    *assembly       // what `ww up` means to run, while it does; nil otherwise
	local    atomic.Bool     // a system is gone through that `ww up` runs
	told     map[string]bool // diagnostics that have been shown
}

// run is the program: it does what args say and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// compose-go warns through this logger; what matters of it is said by the
	// commands themselves, in their own form.
	logrus.SetOutput(io.Discard)
	if code, ran := runHidden(args, stdin, stdout, stderr); ran {
		return code
	}
	c := &console{}
	t := &tool{in: stdin, out: stdout, err: &stream{file: stderr, console: c, diag: true}, console: c}
	defer c.finish()
	var stop func()
	t.signals, stop = watchSignals()
	defer stop()
	app := t.app()
	err := app.RunContext(t.signals.soft, interspersed(app, args))
	return t.report(err)
}

func (t *tool) app() *cli.App {
	app := &cli.App{
		Name:                  "ww",
		Usage:                 "run the system of agents that a .ww file describes",
		Version:               version(),
		Reader:                t.in,
		Writer:                t.out,
		ErrWriter:             t.err,
		HideHelpCommand:       true,
		CustomAppHelpTemplate: overview(),
		// A comma is part of a value: docker compose has lists only by repetition.
		DisableSliceFlagSeparator: true,
		Commands: []*cli.Command{
			t.systemCommand(), t.systemPlanCommand(), t.composeCommand(),
			t.sendCommand(), t.chatCommand(),
			t.busCommand(), t.traceCommand(), t.servicesCommand(), t.systemTopCommand(),
			t.checkCommand(), t.fmtCommand(), t.graphCommand(), t.doctorCommand(),
			t.versionCommand(), t.helpCommand(), t.completionCommand(), t.completeCommand(), t.manCommand(),
			t.componentCommand(), t.healthCommand(), t.busAgentCommand(),
		},
		// Exit codes are mapped in one place: report.
		ExitErrHandler: func(*cli.Context, error) {},
	}
	// The library adds its help flag only where it adds its help command, too.
	app.Flags = []cli.Flag{cli.HelpFlag}
	app.Action = unknownCommand
	app.OnUsageError = usage
	for _, c := range app.Commands {
		prepare(c)
	}
	return app
}

// prepare gives a command and those below it what all of them share.
func prepare(c *cli.Command) {
	c.OnUsageError = usage
	c.HideHelpCommand = true
	c.CustomHelpTemplate = helpTemplate
	withoutDefaults(c.Flags)
	for _, sub := range c.Subcommands {
		prepare(sub)
	}
	switch {
	case len(c.Subcommands) > 0:
		c.Action = unknownCommand
	case c.ArgsUsage == "" && !c.Hidden:
		c.Action = withoutArguments(c.Action)
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}

// cleanup is a context that isn't ended by the first signal, for what has
// to be cleaned up.
func (t *tool) cleanup() context.Context { return t.signals.hard }
