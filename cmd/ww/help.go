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
				return t.overview(c)
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

// overview is the help about everything, and what else there is help about.
func (t *tool) overview(c *cli.Context) error {
	if err := cli.ShowAppHelp(c); err != nil {
		return err
	}
	fmt.Fprintln(t.out, "\nTOPICS:")
	for _, name := range topics() {
		text, _ := topic(name)
		fmt.Fprintf(t.out, "   ww help %-12s %s\n", name, title(text))
	}
	return nil
}
