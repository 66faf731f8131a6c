package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) waitCommand() *cli.Command {
	return &cli.Command{
		Name:      "wait",
		Usage:     "wait until services' containers have ended, and exit as the last one that did",
		ArgsUsage: "SERVICE…",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "down-project", Usage: "take the project down as soon as the first one has ended"},
		},
		Action: func(c *cli.Context) error {
			services := c.Args().Slice()
			if len(services) == 0 {
				return &usageError{errors.New("name at least one service"), "ww compose wait SERVICE…"}
			}
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			cs, err := t.pick(c, r, services, true)
			if err != nil {
				return err
			}
			// What `run` has made counts for a service that has nothing else.
			own := map[string]bool{}
			for _, ctr := range cs {
				own[ctr.Service] = own[ctr.Service] || !ctr.OneOff
			}
			cs = slices.DeleteFunc(cs, func(ctr plan.Container) bool { return ctr.OneOff && own[ctr.Service] })
			for _, s := range services {
				if !slices.ContainsFunc(cs, func(ctr plan.Container) bool { return ctr.Service == s }) {
					return notRunning(s, nil)
				}
			}
			code, err := t.awaitEnds(c.Context, r, cs, c.Bool("down-project"))
			if err != nil {
				return err
			}
			if c.Bool("down-project") {
				if err := t.dropProject(c.Context, r); err != nil {
					return err
				}
			}
			if code != 0 {
				return errReported{code}
			}
			return nil
		},
	}
}

// awaitEnds waits for all containers, or for the first one, and gives the exit
// code of the last one that has ended. What had ended before counts.
func (t *tool) awaitEnds(ctx context.Context, r *running, cs []plan.Container, first bool) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var last int
	ended := false
	var wg sync.WaitGroup
	errs := make([]error, len(cs))
	for i, ctr := range cs {
		wg.Go(func() { // each wait costs a connection, and nothing else
			code, err := r.engine.Wait(ctx, ctr.ID)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case ended && first:
			case err != nil:
				errs[i] = named(err, ctr)
			default:
				fmt.Fprintf(t.out, "container %q exited with status code %d\n", ctr.Name, code)
				last, ended = code, true
				if first {
					cancel()
				}
			}
		})
	}
	wg.Wait()
	if ended && first {
		return last, nil
	}
	return last, errors.Join(errs...)
}

// dropProject takes all of a project down but its volumes.
func (t *tool) dropProject(ctx context.Context, r *running) error {
	unlock, err := t.lock(ctx, nil, r.name)
	if err != nil {
		return err
	}
	defer unlock()
	have, err := r.engine.Observe(ctx, r.name, nil)
	if err != nil {
		return err
	}
	_, err = deploy.Down(ctx, r.engine, deploy.DownRequest{Name: r.name, Have: have, Report: t.newProgress(nil, false).report})
	return err
}
