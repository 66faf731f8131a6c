package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/syntax"
)

// interspersed moves a command's flags before its arguments, so that both
// `up -d web` and `up web -d` work: people are used to it, and the flag
// package stops at the first argument. Short flags that share a word are taken
// apart.
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
			words := apart(flags, arg)
			out, rest = append(out, words...), rest[1:]
			if len(rest) > 0 && takesValue(flags, words[len(words)-1]) {
				out, rest = append(out, rest[0]), rest[1:]
			}
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

// apart gives each of the short flags that stand in one word a word of its own,
// under its first name, the last one with the value that may follow it there:
// -fn5 is --follow and --tail=5, and so is -fn=5. Of a word with an unknown
// letter that is what is left, but for a long flag behind a single dash: that is
// one flag.
func apart(flags []cli.Flag, arg string) []string {
	if strings.HasPrefix(arg, "--") {
		name, _, _ := strings.Cut(arg[2:], "=")
		if f := lookup(flags, name); f != nil {
			return []string{long(f) + strings.TrimPrefix(arg[2:], name)}
		}
		return []string{arg}
	}
	var words []string
	for letters := arg[1:]; letters != ""; {
		r, size := utf8.DecodeRuneInString(letters)
		value := letters[size:]
		f := lookup(flags, string(r))
		switch {
		case f == nil && lookup(flags, arg[1:]) != nil:
			return []string{"-" + arg}
		case f == nil:
			return []string{"-" + string(r)}
		case strings.HasPrefix(value, "="):
			return append(words, long(f)+value)
		case valued(f) && value != "":
			return append(words, long(f)+"="+value)
		}
		words, letters = append(words, long(f)), value
	}
	return words
}

// long is the word for a flag's first name.
func long(f cli.Flag) string { return "--" + f.Names()[0] }

// takesValue reports whether the flag in a word is followed by a value of its
// own.
func takesValue(flags []cli.Flag, word string) bool {
	return !strings.Contains(word, "=") && valued(lookup(flags, strings.TrimLeft(word, "-")))
}

func valued(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

func lookup(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// withoutArguments refuses what a command would ignore.
func withoutArguments(do cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.Args().Present() {
			return &usageError{
				fmt.Errorf("%s takes no arguments, and was given %q", c.Command.HelpName, c.Args().First()),
				fmt.Sprintf("`%s --help` shows its flags", c.Command.HelpName),
			}
		}
		return do(c)
	}
}

// unknownCommand is what a command with subcommands does by itself: it says what
// there is, also about one of them where `help` stands in its place.
func unknownCommand(c *cli.Context) error {
	if c.Bool("version") {
		_, err := fmt.Fprintln(c.App.Writer, "ww version", version())
		return err
	}
	if !c.Args().Present() {
		return cli.ShowSubcommandHelp(c)
	}
	path := []string{c.App.Name}
	for _, ctx := range c.Lineage() {
		if ctx.Command != nil && ctx.Command.Name != "" && ctx.Command.Name != c.App.Name {
			path = slices.Insert(path, 1, ctx.Command.Name)
		}
	}
	commands := c.Command.Subcommands
	if len(path) == 1 {
		commands = c.App.Commands
	}
	name, args := c.Args().First(), c.Args().Tail()
	if name == "help" {
		if len(args) == 0 || find(commands, args[0]) != nil {
			return c.App.RunContext(c.Context, append(append(path, args...), "--help"))
		}
		name = args[0]
	}
	var names []string
	for _, sub := range commands {
		if !sub.Hidden {
			names = append(names, sub.Names()...)
		}
	}
	err := fmt.Errorf("there is no command %q", name)
	remedy := suggestion(name, names, "`"+strings.Join(path, " ")+" --help` lists them")
	return &usageError{err, cmp.Or(inComponent(c), remedy)}
}

// inComponent is the remedy for what no ww understands in the container of a
// component, where that stands for another program; empty elsewhere.
func inComponent(c *cli.Context) string {
	self := os.Getenv("COMPONENT_NAME")
	if self == "" || c.Command.Name != "" && c.Command.Name != c.App.Name {
		return ""
	}
	return fmt.Sprintf("the image of a component has no program but ww: `component %s` is what its container runs", self)
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
	if value, why, ok := strings.Cut(err.Error(), " for flag -"); ok {
		err = errors.New(value + " for flag --" + why)
	}
	return &usageError{err, cmp.Or(inComponent(c), remedy)}
}
