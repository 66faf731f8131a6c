package main

import "github.com/urfave/cli/v2"

func (t *tool) createCommand() *cli.Command {
	up := t.upCommand()
	c := &cli.Command{
		Name: "create", Usage: "create the containers, and start none: `up --no-start`", ArgsUsage: "[SERVICE…]",
		Action: func(c *cli.Context) error {
			if err := c.Set("no-start", "true"); err != nil {
				return err
			}
			if c.Bool("dry-run") {
				return t.plan(c, "text")
			}
			return t.up(c)
		},
	}
	for _, f := range up.Flags {
		switch name := f.Names()[0]; name {
		case "abort-on-container-exit", "abort-on-container-failure", "exit-code-from", "detach", "wait":
		case "no-start":
			c.Flags = append(c.Flags, &cli.BoolFlag{Name: name, Hidden: true})
		default:
			c.Flags = append(c.Flags, f)
		}
	}
	return c
}
