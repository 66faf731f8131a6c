package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) pauseCommand() *cli.Command {
	return &cli.Command{
		Name:      "pause",
		Usage:     "freeze running containers",
		ArgsUsage: "[SERVICE…]",
		Action: func(c *cli.Context) error {
			return t.freeze(c, "paused", plan.Running, (*dockerx.Engine).Pause, wrongState{
				plan.Paused, "is paused already", "`ww compose unpause` lets it go on",
			})
		},
	}
}

func (t *tool) unpauseCommand() *cli.Command {
	return &cli.Command{
		Name:      "unpause",
		Usage:     "let frozen containers go on",
		ArgsUsage: "[SERVICE…]",
		Action: func(c *cli.Context) error {
			return t.freeze(c, "unpaused", plan.Paused, (*dockerx.Engine).Unpause, wrongState{
				plan.Running, "isn't paused", "there is nothing to let go on; `ww compose ps` tells how the containers are",
			})
		},
	}
}

// wrongState is the state in which a container can't be frozen, or let go on.
type wrongState struct {
	state        plan.State
	said, remedy string
}

// freeze pauses or unpauses those containers that are in a state. Where all are
// so already it fails, as docker compose does.
func (t *tool) freeze(c *cli.Context, word string, from plan.State, do func(*dockerx.Engine, context.Context, string) error, wrong wrongState) error {
	r, err := t.find(c.Context, c)
	if err != nil {
		return err
	}
	defer r.engine.Close()
	cs, err := t.pick(c, r, c.Args().Slice(), false)
	if err != nil {
		return err
	}
	var already error
	for _, ctr := range cs {
		if ctr.State == wrong.state {
			already = errors.Join(already, fmt.Errorf("%s %s", ctr.Name, wrong.said))
		}
	}
	cs = slices.DeleteFunc(cs, func(ctr plan.Container) bool { return ctr.State != from })
	if len(cs) == 0 && already != nil {
		return &fileError{already, wrong.remedy}
	}
	if len(cs) == 0 {
		fmt.Fprintf(t.err, "nothing to do: no container is %s\n", from)
		return nil
	}
	if dryRun(c) {
		for _, ctr := range cs {
			fmt.Fprintln(t.out, strings.TrimSuffix(word, "d"), ctr.Name)
		}
		return nil
	}
	return each(c, cs, func(ctx context.Context, ctr plan.Container) error {
		if err := do(r.engine, ctx, ctr.ID); err != nil {
			return err
		}
		fmt.Fprintf(t.err, "  %s %s\n", t.paint(green, fmt.Sprintf("%-9s", word)), ctr.Name)
		return nil
	})
}
