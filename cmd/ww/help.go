package main

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/urfave/cli/v2"
)

//go:embed topics
var topicFiles embed.FS

// topics lists what there is help about besides the commands.
func topics() []string {
	var names []string
	entries, err := fs.ReadDir(topicFiles, "topics")
	if err != nil {
		panic(err) // they are part of the program
	}
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".txt"))
	}
	return names
}

// topic gives the text about one.
func topic(name string) (string, bool) {
	b, err := topicFiles.ReadFile("topics/" + name + ".txt")
	return string(b), err == nil
}

// title is the first line of a topic's text.
func title(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}

func (t *tool) helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "say more about a topic or a command: " + strings.Join(topics(), ", "),
		ArgsUsage: "[TOPIC|COMMAND…]",
		Action: func(c *cli.Context) error {
			args := c.Args().Slice()
			if len(args) == 0 {
				return cli.ShowAppHelp(c)
			}
			if len(args) == 1 && args[0] == "topics" {
				_, err := fmt.Fprint(t.out, topicList())
				return err
			}
			if text, ok := topic(args[0]); ok && len(args) == 1 {
				_, err := fmt.Fprint(t.out, text)
				return err
			}
			known, names := c.App.Commands, topics()
			for i, a := range args {
				sub := find(known, a)
				for _, k := range known {
					names = append(names, k.Names()...)
				}
				if sub == nil {
					err := fmt.Errorf("there is no help about %q", strings.Join(args[:i+1], " "))
					return &usageError{err, suggestion(a, names, "`ww help` lists what there is")}
				}
				known, names = sub.Subcommands, nil
			}
			return c.App.RunContext(c.Context, append(append([]string{c.App.Name}, args...), "--help"))
		},
	}
}

// helpTemplate is the help about a command, and about ww itself.
const helpTemplate = `NAME:
   {{template "helpNameTemplate" .}}

USAGE:
   {{.HelpName}}{{if .VisibleFlags}} [options]{{end}}{{if .VisibleCommands}} COMMAND{{end}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}{{if .VisibleCommands}}

COMMANDS:{{template "visibleCommandTemplate" .}}{{end}}{{if .VisibleFlags}}

OPTIONS:{{template "visibleFlagTemplate" .}}{{end}}
`

// overview is the help about ww itself, and what else there is help about.
func overview() string { return helpTemplate + "\nTOPICS:\n" + topicList() }

func topicList() string {
	var b strings.Builder
	for _, name := range topics() {
		text, _ := topic(name)
		fmt.Fprintf(&b, "   ww help %-12s %s\n", name, title(text))
	}
	return b.String()
}

// withoutDefaults has the help about flags say nothing of a default of false.
func withoutDefaults(flags []cli.Flag) {
	for _, f := range flags {
		if b, ok := f.(*cli.BoolFlag); ok {
			b.DisableDefaultText = !b.Value
		}
	}
}
