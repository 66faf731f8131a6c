package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) rmCommand() *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "remove containers that have stopped",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "don't ask"},
			&cli.BoolFlag{Name: "stop", Aliases: []string{"s"}, Usage: "stop those that run first"},
			&cli.BoolFlag{Name: "volumes", Aliases: []string{"v"}, Usage: "also their anonymous volumes"},
		},
		Action: func(c *cli.Context) error {
			err := t.operate(c, verb{
				words: map[plan.Op]string{plan.Stop: "stopped", plan.Remove: "removed"},
				idle:  "no container has stopped",
				plan: func(r *running) (plan.Plan, error) {
					chosen, err := t.chosen(c, r, false)
					if err != nil {
						return plan.Plan{}, err
					}
					p := plan.RemoveAll(r.have.Containers, chosen, c.Bool("stop"))
					if p.Empty() || c.Bool("force") || dryRun(c) {
						return p, nil
					}
					yes, err := t.confirm(c.Context, "remove "+strings.Join(removed(p), ", ")+"?", "nothing is removed; --force doesn't ask")
					if err == nil && !yes {
						err = errDeclined
					}
					return p, err
				},
				set: func(req *deploy.OperateRequest) { req.Volumes = c.Bool("volumes") },
			})
			if errors.Is(err, errDeclined) {
				return nil
			}
			return err
		},
	}
}

func removed(p plan.Plan) []string {
	var names []string
	for _, s := range p.Steps {
		if s.Op == plan.Remove {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names
}

// errDeclined is what ends a removal after a no.
var errDeclined = errors.New("declined")
