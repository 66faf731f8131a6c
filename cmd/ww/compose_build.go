package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) buildCommand() *cli.Command {
	return &cli.Command{
		Name:      "build",
		Usage:     "build the components' images, those that are there already as well",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "missing", Usage: "only those that aren't there"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
			&cli.IntFlag{Name: "parallel", Usage: "builds at a time", EnvVars: []string{"COMPOSE_PARALLEL_LIMIT"}},
		},
		Action: func(c *cli.Context) error {
			return t.images(c, plan.Options{Build: !c.Bool("missing"), Pull: "missing"}, plan.Build)
		},
	}
}

func (t *tool) pullCommand() *cli.Command {
	return &cli.Command{
		Name:      "pull",
		Usage:     "pull the images that aren't built here",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "policy", Value: "always", Usage: "always or missing"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
			&cli.IntFlag{Name: "parallel", Usage: "pulls at a time", EnvVars: []string{"COMPOSE_PARALLEL_LIMIT"}},
		},
		Action: func(c *cli.Context) error {
			if err := oneOf("policy", c.String("policy"), "always", "missing"); err != nil {
				return err
			}
			return t.images(c, plan.Options{Pull: c.String("policy")}, plan.Pull)
		},
	}
}

// images brings images by steps of one kind, and starts nothing.
func (t *tool) images(c *cli.Context, opts plan.Options, op plan.Op) error {
	d, err := t.engine(c)
	if err != nil {
		return err
	}
	defer d.Close()
	l, err := t.loadProject(c, nil, d)
	if err != nil {
		return err
	}
	if services := c.Args().Slice(); len(services) > 0 {
		if err := narrow(l, services); err != nil {
			return err
		}
	}
	if err := l.Prepare(); err != nil {
		return prepareError(err)
	}
	progress := t.newProgress(l.Project, c.Bool("quiet"))
	p, err := deploy.Images(c.Context, d, deploy.UpRequest{
		Project: l.Project, Options: opts, Parallel: c.Int("parallel"), Report: progress.report,
	}, func(s plan.Step) bool { return s.Op == op })
	progress.end()
	if err != nil {
		return err
	}
	if p.Empty() && !c.Bool("quiet") {
		fmt.Fprintf(t.err, "nothing to do: %s\n", map[plan.Op]string{plan.Build: "no image has to be built", plan.Pull: "no image has to be pulled"}[op])
	} else {
		progress.total(p)
	}
	return nil
}

func (t *tool) planCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "show what `up` would do, and why; nothing is changed",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			formatFlag("text", "text or json"),
			&cli.BoolFlag{Name: "detailed-exitcode", Usage: "exit with 2 where there is something to do"},
			&cli.BoolFlag{Name: "build", Usage: "as for up"},
			&cli.StringFlag{Name: "pull", Usage: "as for up"},
			&cli.BoolFlag{Name: "force-recreate", Usage: "as for up"},
			&cli.BoolFlag{Name: "no-recreate", Usage: "as for up"},
			&cli.BoolFlag{Name: "remove-orphans", Usage: "as for up"},
		},
		Action: func(c *cli.Context) error { return t.plan(c, c.String("format")) },
	}
}

// planJSON is one step in `plan --format json`.
type planJSON struct {
	ID      int    `json:"id"`
	Action  string `json:"action"`
	Service string `json:"service,omitempty"`
	Name    string `json:"name"`
	Cause   string `json:"cause,omitempty"`
	After   []int  `json:"after"`
}

func (t *tool) plan(c *cli.Context, format string) error {
	if err := oneOf("format", format, "text", "json"); err != nil {
		return err
	}
	d, err := t.engine(c)
	if err != nil {
		return err
	}
	defer d.Close()
	_, req, err := t.upRequest(c, d)
	if err != nil {
		return err
	}
	p, err := deploy.Preview(c.Context, d, req)
	if err != nil {
		return err
	}
	if len(p.Diverged) > 0 {
		fmt.Fprintf(t.err, "note: the configuration of %s changed; `up` asks before it makes that anew, which loses what it holds, or takes --yes\n", volumeNames(p.Diverged))
	}
	if p.Changes() == 0 {
		p.Steps = nil // what is left is to wait for the engine's first health checks
	}
	if format == "json" {
		steps := make([]planJSON, 0, len(p.Steps))
		for _, s := range p.Steps {
			after := s.Needs
			if after == nil {
				after = []int{}
			}
			steps = append(steps, planJSON{s.ID, string(s.Op), s.Service, s.Name, s.Cause, after})
		}
		if err := t.printJSON(map[string]any{"steps": steps, "unchanged": append([]string{}, p.Unchanged...)}); err != nil {
			return err
		}
	} else if p.Changes() == 0 {
		fmt.Fprintf(t.out, "nothing to do: %s is as it should be\n", req.Project.Name)
	} else {
		fmt.Fprint(t.out, p)
	}
	if c.Bool("detailed-exitcode") && p.Changes() > 0 {
		return errReported{2}
	}
	return nil
}
