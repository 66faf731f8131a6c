package main

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) stopCommand() *cli.Command {
	return &cli.Command{
		Name:      "stop",
		Usage:     "stop containers, dependents first; they stay, and `start` starts them again",
		ArgsUsage: "[SERVICE…]",
		Flags:     []cli.Flag{timeoutFlag()},
		Action: func(c *cli.Context) error {
			return t.operate(c, verb{
				words: map[plan.Op]string{plan.Stop: "stopped"},
				idle:  "nothing of it runs",
				plan: func(r *running) (plan.Plan, error) {
					chosen, err := t.chosen(c, r, false)
					return plan.StopAll(r.have.Containers, chosen), err
				},
				set: func(req *deploy.OperateRequest) { req.Grace = grace(c) },
			})
		},
	}
}

// chosen tells which containers a command's arguments mean.
func (t *tool) chosen(c *cli.Context, r *running, oneOffs bool) (func(plan.Container) bool, error) {
	cs, err := t.pick(c, r, c.Args().Slice(), oneOffs)
	ids := make(map[string]bool, len(cs))
	for _, ctr := range cs {
		ids[ctr.ID] = true
	}
	return func(ctr plan.Container) bool { return ids[ctr.ID] }, err
}

func (t *tool) restartCommand() *cli.Command {
	return &cli.Command{
		Name:      "restart",
		Usage:     "restart containers, and those that depend on them with `restart: true`",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			timeoutFlag(),
			&cli.BoolFlag{Name: "no-deps", Usage: "not those that depend on them"},
		},
		Action: func(c *cli.Context) error {
			return t.operate(c, verb{
				words: map[plan.Op]string{plan.Start: "restarted", plan.Ready: "ready", plan.Completed: "completed"},
				idle:  "there is no container to restart",
				plan: func(r *running) (plan.Plan, error) {
					if _, err := t.pick(c, r, c.Args().Slice(), false); err != nil {
						return plan.Plan{}, err
					}
					return plan.RestartAll(r.have.Containers, c.Args().Slice(), c.Bool("no-deps")), nil
				},
				set: func(req *deploy.OperateRequest) { req.Grace = grace(c) },
			})
		},
	}
}

func (t *tool) killCommand() *cli.Command {
	return &cli.Command{
		Name:      "kill",
		Usage:     "send running containers a signal, dependents first",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "signal", Aliases: []string{"s"}, Value: "SIGKILL", Usage: "the `SIGNAL`"},
			&cli.BoolFlag{Name: "remove-orphans", Usage: "also those of services that the file has no more"},
		},
		Action: func(c *cli.Context) error {
			if s := c.String("signal"); !dockerx.IsSignal(s) {
				return &usageError{fmt.Errorf("%q is no signal", s), "write a name such as SIGTERM or HUP, or a number"}
			}
			return t.operate(c, verb{
				words: map[plan.Op]string{plan.Kill: "killed"},
				free:  true, // it is what one does when something hangs
				idle:  "nothing of it runs",
				plan: func(r *running) (plan.Plan, error) {
					chosen, err := t.chosen(c, r, false)
					if err != nil || c.Bool("remove-orphans") || c.NArg() > 0 {
						return plan.KillAll(r.have.Containers, chosen), err
					}
					orphans := t.others(t.file(c, r), r)
					return plan.KillAll(r.have.Containers, func(ctr plan.Container) bool {
						orphan := slices.ContainsFunc(orphans, func(o plan.Container) bool { return o.ID == ctr.ID })
						return chosen(ctr) && !orphan
					}), nil
				},
				set: func(req *deploy.OperateRequest) { req.Signal = c.String("signal") },
			})
		},
	}
}
