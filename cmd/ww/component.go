package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/component/builtin"
	"woodwork.dev/ww/runtime/host"
)

// componentCommand is what a component's container runs.
func (t *tool) componentCommand() *cli.Command {
	return &cli.Command{
		Name:      "component",
		Usage:     "run one component, configured by its environment; the first process of its container",
		ArgsUsage: "NAME",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return &usageError{errors.New("name one component"), ""}
			}
			opts, err := fromEnv(builtin.Builders())
			if err != nil {
				return &configError{err, "a container that `ww compose` made has all of it"}
			}
			if opts.Name != "" && opts.Name != c.Args().First() {
				return &configError{fmt.Errorf("component %q is configured as %q", c.Args().First(), opts.Name), "COMPONENT_NAME has to be the same"}
			}
			opts.Name = c.Args().First()
			opts.Stdin, opts.Stdout = t.in, t.out
			return host.Run(c.Context, opts)
		},
	}
}

func (t *tool) healthCommand() *cli.Command {
	return &cli.Command{
		Name:  "health",
		Usage: "ask the component in this container whether it is ready: exit code 0 if so, 1 if not",
		Flags: []cli.Flag{
			durationFlag("wait", 0, "wait so long for it to get ready"),
			&cli.StringFlag{Name: "addr", Value: host.DefaultAddr, Usage: "where it listens"},
		},
		Action: func(c *cli.Context) error {
			wait := durationOf(c, "wait")
			if wait < 0 || wait > 24*time.Hour {
				return &usageError{fmt.Errorf("--wait can't be %s", wait), "write a duration such as 30s"}
			}
			return host.Probe(c.Context, c.String("addr"), wait)
		},
	}
}
