package main

import "github.com/urfave/cli/v2"

func (t *tool) createCommand() *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "create the containers, and start none: `up --no-start`", ArgsUsage: "[SERVICE…]",
		Flags: append(flagsWithout(planFlags(), "no-start", "wait"), &cli.BoolFlag{Name: "no-start", Hidden: true}),
		Action: func(c *cli.Context) error {
			if err := c.Set("no-start", "true"); err != nil {
				return err
			}
			if dryRun(c) {
				return t.plan(c, "text")
			}
			return t.up(c)
		},
	}
}
