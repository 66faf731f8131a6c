package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "start containers that have stopped, dependencies first",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "wait", Usage: "return when everything is ready"},
			durationFlag("wait-timeout", deploy.DefaultTimeout, "how long one container may take to get ready"),
		},
		Action: func(c *cli.Context) error {
			services := c.Args().Slice()
			return t.operate(c, verb{
				words: map[plan.Op]string{plan.Start: "started", plan.Ready: "ready", plan.Completed: "completed"},
				idle:  "everything runs",
				plan: func(r *running) (plan.Plan, error) {
					if _, err := t.pick(c, r, services, false); err != nil {
						return plan.Plan{}, err
					}
					for _, s := range services {
						if !r.has(s) {
							return plan.Plan{}, &configError{fmt.Errorf("service %q has no container to start", s), "`ww compose up -d " + s + "` makes it"}
						}
					}
					return plan.StartAll(r.have.Containers, services, c.Bool("wait")), nil
				},
				set: func(req *deploy.OperateRequest) { req.Timeout = durationOf(c, "wait-timeout") },
			})
		},
	}
}

// has tells whether a service has a container that isn't a one-off.
func (r *running) has(service string) bool {
	for _, c := range r.have.Containers {
		if c.Service == service && !c.OneOff {
			return true
		}
	}
	return false
}
