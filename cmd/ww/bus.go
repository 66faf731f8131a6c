package main

import (
	"github.com/urfave/cli/v2"
)

func (t *tool) busCommand() *cli.Command {
	c := &cli.Command{
		Name:  "bus",
		Usage: "look into the message bus of a running system, and mend what is in it",
		Flags: append(projectFlags(true), engineFlags()...),
		Subcommands: []*cli.Command{
			t.busStatsCommand(), t.busTailCommand(), t.busDeadCommand(), t.busDrainCommand(), t.busPublishCommand(),
		},
	}
	for _, sub := range c.Subcommands {
		withProject(sub)
	}
	// These are what the container of a bus runs: they know no project.
	c.Subcommands = append(c.Subcommands, t.busServeCommand(), t.busHealthCommand())
	return c
}

// withProject gives a command, and those below it, the flags that say which
// project is meant: they may stand on either side of a subcommand's name.
func withProject(c *cli.Command) *cli.Command {
	c.Flags = append(append(c.Flags, projectFlags(true)...), engineFlags()...)
	for _, sub := range c.Subcommands {
		withProject(sub)
	}
	return c
}
