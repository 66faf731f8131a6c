package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) planCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "show what `up` would do, and why; nothing is changed",
		ArgsUsage: "[SERVICE…]",
		Flags: append([]cli.Flag{
			formatFlag("text", "text or json"),
			&cli.BoolFlag{Name: "detailed-exitcode", Usage: "exit with 2 where there is something to do"},
		}, append(planFlags(), runFlags()...)...),
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

func stepsJSON(p plan.Plan) []planJSON {
	steps := make([]planJSON, 0, len(p.Steps))
	for _, s := range p.Steps {
		after := s.Needs
		if after == nil {
			after = []int{}
		}
		steps = append(steps, planJSON{s.ID, string(s.Op), s.Service, s.Name, s.Cause, after})
	}
	return steps
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
	req.Options.RecreateVolumes = c.Bool("yes")
	p, err := deploy.Preview(c.Context, d, req)
	if err != nil {
		return err
	}
	if len(p.Diverged) > 0 {
		fmt.Fprintf(t.err, "note: the configuration of %s changed; `up` asks before it makes that anew, which loses what it holds, or takes --yes\n", volumeNames(p.Diverged))
	}
	t.noteOrphans(req, p)
	if p.Changes() == 0 {
		p.Steps = nil // what is left is to wait for the engine's first health checks
	}
	if format == "json" {
		if err := t.printJSON(map[string]any{"steps": stepsJSON(p), "unchanged": append([]string{}, p.Unchanged...)}); err != nil {
			return err
		}
	} else if p.Changes() == 0 {
		fmt.Fprintf(t.out, "nothing to do: %s is as it should be\n", req.Project.Name)
	} else {
		fmt.Fprint(t.out, p)
	}
	if c.Bool("detailed-exitcode") && p.Drift() > 0 {
		return errReported{2}
	}
	return nil
}
