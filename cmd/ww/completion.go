package main

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
)

//go:embed completions
var completions embed.FS

// shells are those that there are scripts for, with their files' extensions.
var shells = map[string]string{"bash": "bash", "zsh": "zsh", "fish": "fish", "powershell": "ps1"}

func (t *tool) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a script that completes ww's command line: `source <(ww completion bash)`",
		ArgsUsage: "SHELL",
		Action: func(c *cli.Context) error {
			ext, ok := shells[c.Args().First()]
			if c.NArg() != 1 || !ok {
				return &usageError{fmt.Errorf("there is no completion for %q", strings.Join(c.Args().Slice(), " ")), "name one of bash, zsh, fish, powershell"}
			}
			script, err := completions.ReadFile("completions/ww." + ext)
			if err == nil {
				_, err = t.out.Write(script)
			}
			return err
		},
	}
}

// completeCommand is what the scripts ask. It prints a line for each candidate,
// with what it means after a tab; `:files` and `:folders` leave it to the
// shell. It never fails: whoever types is in the middle of a line.
func (t *tool) completeCommand() *cli.Command {
	return &cli.Command{
		Name:   "__complete",
		Hidden: true,
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "next", Usage: "a new word is begun"}},
		Action: func(c *cli.Context) error {
			words := c.Args().Slice()
			if c.Bool("next") || len(words) == 0 {
				words = append(words, "")
			}
			ctx, cancel := context.WithTimeout(c.Context, completionTime)
			defer cancel()
			var b strings.Builder
			for _, f := range completeLine(c.App, words, func(kind string, l *line) []string { return t.live(ctx, kind, l) }) {
				b.WriteString(f.value)
				if f.help != "" {
					b.WriteString("\t" + oneLine(f.help))
				}
				b.WriteByte('\n')
			}
			_, err := t.out.Write([]byte(b.String()))
			return err
		},
	}
}

// completionTime is how long an engine may take to tell what there is: a
// longer wait is worse than nothing.
const completionTime = 400 * time.Millisecond

// candidate is what can stand at the end of a line.
type candidate struct{ value, help string }

// line is a command line up to the word that is being typed.
type line struct {
	command *cli.Command // nil: none yet
	known   []cli.Flag
	flags   map[string][]string // values, by the flag's first name
	args    []string
	closed  bool     // by --
	pending cli.Flag // whose value the next word is
}

// readLine takes words apart as the command line will be.
func readLine(app *cli.App, words []string) (*line, []*cli.Command) {
	l := &line{known: app.Flags, flags: map[string][]string{}}
	commands := app.Commands
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "=" && l.pending != nil: // bash cuts --flag=value in three
		case l.pending != nil:
			l.set(l.pending, w)
			l.pending = nil
		case l.closed:
			l.args = append(l.args, w)
		case w == "--":
			l.closed = true
		case len(w) > 1 && w[0] == '-':
			for _, w := range apart(l.known, w) {
				name, value, given := strings.Cut(strings.TrimLeft(w, "-"), "=")
				f := lookup(l.known, name)
				switch {
				case f == nil:
				case given:
					l.set(f, value)
				case valued(f):
					l.pending = f
				default:
					l.set(f, "true")
				}
			}
		default:
			c := find(commands, w)
			if c == nil || len(l.args) > 0 {
				l.args = append(l.args, w)
				continue
			}
			l.command, l.known, commands = c, c.Flags, c.Subcommands
		}
	}
	return l, commands
}

func (l *line) set(f cli.Flag, value string) {
	name := f.Names()[0]
	l.flags[name] = append(l.flags[name], value)
}

// request is the project that the line means.
func (l *line) request() compose.Request {
	last := func(name string) string {
		if v := l.flags[name]; len(v) > 0 {
			return v[len(v)-1]
		}
		return ""
	}
	return compose.Request{
		Files: l.flags["file"], Name: last("project-name"), Dir: last("project-directory"),
		Profiles: l.flags["profile"], EnvFiles: l.flags["env-file"],
	}
}

// completeLine gives what the last word can be. live knows names that aren't
// part of the command line itself.
func completeLine(app *cli.App, words []string, live func(kind string, l *line) []string) []candidate {
	current := words[len(words)-1]
	l, commands := readLine(app, words[:len(words)-1])
	var all []candidate
	prefix := ""
	switch {
	case l.pending != nil:
		if current == "=" {
			current = ""
		}
		all = valuesOf(l.pending, l, live)
	case !l.closed && strings.HasPrefix(current, "-"):
		name, _, given := strings.Cut(strings.TrimLeft(current, "-"), "=")
		if f := lookup(l.known, name); given && f != nil {
			prefix = current[:strings.Index(current, "=")+1]
			all = valuesOf(f, l, live)
		} else {
			all = flagsOf(l)
		}
	default:
		if len(l.args) == 0 && !l.closed {
			for _, c := range commands {
				if !c.Hidden {
					all = append(all, candidate{c.Name, c.Usage})
				}
			}
		}
		if l.command != nil {
			all = append(all, argument(l, live)...)
		}
	}
	var fit []candidate
	for _, f := range all {
		if !strings.HasPrefix(f.value, ":") {
			f.value = prefix + f.value
			if !strings.HasPrefix(f.value, current) {
				continue
			}
		}
		fit = append(fit, f)
	}
	return fit
}

// flagsOf lists the flags that the line's command knows and doesn't have yet.
func flagsOf(l *line) []candidate {
	var all []candidate
	for _, f := range append(slices.Clone(l.known), cli.HelpFlag) {
		doc, ok := f.(cli.DocGenerationFlag)
		_, several := f.(cli.DocGenerationSliceFlag)
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		if !ok || len(l.flags[f.Names()[0]]) > 0 && !several {
			continue
		}
		all = append(all, candidate{"--" + f.Names()[0], doc.GetUsage()})
	}
	return all
}

// argument gives what the next argument can be: its name in the usage says
// what it is.
func argument(l *line, live func(string, *line) []string) []candidate {
	names := strings.Fields(l.command.ArgsUsage)
	if len(names) == 0 {
		return nil
	}
	n := len(l.args)
	if n >= len(names) {
		if !strings.Contains(names[len(names)-1], "…") {
			return nil
		}
		n = len(names) - 1
	}
	var all []candidate
	for _, kind := range strings.Split(strings.Trim(names[n], "[]…"), "|") {
		for _, v := range live(kind, l) {
			if !slices.Contains(l.args, v) {
				all = append(all, candidate{value: v})
			}
		}
	}
	return all
}

// valuesOf gives a flag's values: those that its usage lists, or those of the
// things that it names.
func valuesOf(f cli.Flag, l *line, live func(string, *line) []string) []candidate {
	name := f.Names()[0]
	var values []string
	switch name {
	case "file", "env-file", "output", "ca":
		return []candidate{{value: ":files"}}
	case "project-directory":
		return []candidate{{value: ":folders"}}
	case "project-name":
		values = live("PROJECT", l)
	case "profile":
		values = live("PROFILE", l)
	case "deployment":
		values = live("DEPLOYMENT", l)
	case "as":
		values = []string{inLocal, inServer, inDocker}
	case "progress":
		values = progressModes
	case "ansi":
		values = ansiModes
	case "rmi":
		values = []string{"all", "local"}
	case "attach", "no-attach", "exit-code-from", "scale":
		values = live("SERVICE", l)
	default:
		if d, ok := f.(cli.DocGenerationFlag); ok {
			values = listed(d.GetUsage())
		}
	}
	var all []candidate
	for _, v := range values {
		all = append(all, candidate{value: v})
	}
	return all
}

// listed reads a usage that is a list of values: `always, missing or never
// (default: …)`.
func listed(usage string) []string {
	usage, _, _ = strings.Cut(usage, " (")
	first, last, ok := strings.Cut(usage, " or ")
	if !ok {
		return nil
	}
	values := append(strings.Split(first, ", "), last)
	for _, v := range values {
		if strings.ContainsAny(v, " ,.`") || v == "" {
			return nil
		}
	}
	return values
}
