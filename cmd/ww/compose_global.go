package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
)

// globalFlags stand before a verb, as docker compose has them, or after it. The
// variables are those in place of --parallel.
func globalFlags(variables ...string) []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "dry-run", Usage: "show what would be done, and do nothing"},
		&cli.IntFlag{Name: "parallel", EnvVars: variables, Usage: "engine calls at a time; -1 for no limit", DefaultText: "by the number of processors"},
		&cli.BoolFlag{Name: "all-resources", Usage: "also networks, volumes, configs and secrets that no service uses"},
		&cli.BoolFlag{Name: "compatibility", Hidden: true},
		&cli.BoolFlag{Name: "verbose", Usage: "also what the engine says by the way"},
	}
}

// sharedFlags are those of compose itself, which its verbs have as well, but for
// what they have a flag of their own for.
func sharedFlags(variables ...string) []cli.Flag {
	return slices.Concat(projectFlags(true), engineFlags(), consoleFlags(), globalFlags(variables...))
}

// asked tells whether a flag is set on either side of the verb.
func asked(c *cli.Context, name string) bool {
	return slices.ContainsFunc(c.Lineage(), func(ctx *cli.Context) bool {
		return ctx.Command != nil && ctx.IsSet(name) && ctx.Bool(name)
	})
}

// dryRun tells whether a command is only to be shown.
func dryRun(c *cli.Context) bool { return asked(c, "dry-run") }

// parallel is how many calls may be under way at a time; 0 where nobody has said.
func parallel(c *cli.Context) int {
	for _, ctx := range c.Lineage() {
		n, ok := ctx.Value("parallel").(int)
		switch {
		case ctx.Command == nil || !ctx.IsSet("parallel") || !ok:
		case n < 0:
			return math.MaxInt32
		default:
			return n
		}
	}
	return 0
}

// indivisible are the verbs of which nothing is left to show when they are not
// to be done.
var indivisible = []string{"attach", "autoscale", "cp", "exec", "watch", "wait"}

// setGlobal refuses what can't be had.
func setGlobal(c *cli.Context) error {
	switch {
	case asked(c, "compatibility"):
		return &usageError{
			errors.New("--compatibility isn't there in ww: containers would have other names, and none that is there would be found"),
			"leave it out; container_name gives a container the name that a script looks for",
		}
	case dryRun(c) && slices.Contains(indivisible, c.Command.Name):
		return &usageError{
			fmt.Errorf("%s has no --dry-run: what it does isn't made of steps that could be shown", c.Command.Name),
			"leave it out; `ww compose plan` shows what an `up` would do",
		}
	}
	return nil
}

// engine prepares to use the engine that a command line means.
func (t *tool) engine(c *cli.Context) (*dockerx.Engine, error) {
	o := dockerx.Options{Host: inherited(c, "host"), Context: inherited(c, "context")}
	if asked(c, "verbose") {
		o.Log = slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return dockerx.Open(c.Context, o)
}
