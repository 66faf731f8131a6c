package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/syntax"
)

// interspersed moves a command's flags before its arguments, so that both
// `up -d web` and `up web -d` work: people are used to it, and the flag
// package stops at the first argument.
func interspersed(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	out := args[:1:1]
	commands, flags := app.Commands, app.Flags
	var leaf *cli.Command
	rest := args[1:]
	var positional []string
	for len(rest) > 0 {
		arg := rest[0]
		switch {
		case arg == "--":
			positional = append(positional, rest[1:]...)
			rest = nil
			continue
		case len(arg) > 1 && arg[0] == '-':
			n := 1
			if len(rest) > 1 && takesValue(flags, arg) {
				n = 2
			}
			out = append(out, rest[:n]...)
			rest = rest[n:]
			continue
		}
		if c := find(commands, arg); c != nil && len(positional) == 0 {
			out = append(out, arg)
			leaf, commands, flags = c, c.Subcommands, c.Flags
		} else {
			positional = append(positional, arg)
			if leaf != nil && verbatim[leaf.Name] {
				positional = append(positional, rest[1:]...)
				rest = rest[:1]
			}
		}
		rest = rest[1:]
	}
	if len(positional) == 0 {
		return out
	}
	return append(append(out, "--"), positional...)
}

// verbatim are the commands whose arguments are someone else's command line.
var verbatim = map[string]bool{"exec": true, "run": true}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// takesValue reports whether the flag in arg is followed by a value of its own.
func takesValue(flags []cli.Flag, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	if strings.Contains(name, "=") {
		return false
	}
	if !strings.HasPrefix(arg, "--") && len(name) > 1 && lookup(flags, name) == nil {
		name = name[len(name)-1:] // -fd: only the last of several can take one
	}
	f, ok := lookup(flags, name).(cli.DocGenerationFlag)
	return ok && f.TakesValue()
}

func lookup(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// unknownCommand is what a command with subcommands does by itself.
func unknownCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowSubcommandHelp(c)
	}
	var names []string
	for _, sub := range c.Command.Subcommands {
		names = append(names, sub.Names()...)
	}
	if c.Command.Name == "" || len(names) == 0 {
		for _, sub := range c.App.Commands {
			names = append(names, sub.Names()...)
		}
	}
	err := fmt.Errorf("there is no command %q", c.Args().First())
	return &usageError{err, suggestion(c.Args().First(), names, "`"+c.App.Name+" --help` lists them")}
}

// suggestion gives a remedy for a name that isn't one of those known.
func suggestion(name string, known []string, otherwise string) string {
	if s := syntax.Suggest(name, known); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	return otherwise
}

// usage makes a mistake in a command's flags one of the command line, and tells
// what may have been meant.
func usage(c *cli.Context, err error, _ bool) error {
	name := ""
	var known []string
	for _, ctx := range c.Lineage() {
		if ctx.Command == nil {
			continue
		}
		if ctx.Command.Name != "" && ctx.Command.Name != c.App.Name {
			name = " " + ctx.Command.Name + name
		}
		if known == nil {
			known = []string{"help"}
			for _, f := range ctx.Command.Flags {
				known = append(known, f.Names()...)
			}
		}
	}
	remedy := "`ww" + name + " --help` lists the flags"
	if _, flag, ok := strings.Cut(err.Error(), "flag provided but not defined: -"); ok {
		flag = strings.TrimLeft(flag, "-")
		dashes := "--"
		if len(flag) == 1 {
			dashes = "-"
		}
		err = fmt.Errorf("there is no flag %s%s", dashes, flag)
		if meant := syntax.Suggest(flag, known); len(meant) > 1 {
			remedy = fmt.Sprintf("did you mean --%s? %s", meant, remedy)
		}
	}
	return &usageError{err, remedy}
}
