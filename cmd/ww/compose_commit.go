package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) commitCommand() *cli.Command {
	return &cli.Command{
		Name:      "commit",
		Usage:     "make an image of a container as it is now, and print its id",
		ArgsUsage: "SERVICE [REPOSITORY[:TAG]]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "author", Aliases: []string{"a"}, Usage: "its `AUTHOR`"},
			listFlag("change", "an `INSTRUCTION` of a Dockerfile to apply, such as \"CMD run\"", "c"),
			indexFlag(),
			&cli.StringFlag{Name: "message", Aliases: []string{"m"}, Usage: "what is to be said about it"},
			&cli.BoolFlag{Name: "pause", Aliases: []string{"p"}, Value: true, Usage: "pause the container meanwhile"},
		},
		Action: t.commit,
	}
}

func (t *tool) commit(c *cli.Context) error {
	if c.NArg() < 1 || c.NArg() > 2 {
		return &usageError{errors.New("name a service, and an image"), "ww compose commit SERVICE [REPOSITORY[:TAG]]"}
	}
	r, err := t.find(c.Context, c)
	if err != nil {
		return err
	}
	defer r.engine.Close()
	service := c.Args().First()
	cs, err := t.pick(c, r, []string{service}, true)
	if err != nil {
		return err
	}
	if n := c.Int("index"); n != 0 {
		cs = slices.DeleteFunc(cs, func(ctr plan.Container) bool { return ctr.Number != n })
	}
	if len(cs) == 0 {
		return &configError{fmt.Errorf("service %q has no such container", service), "`ww compose ps -a` lists those that are there"}
	}
	if dryRun(c) {
		_, err := fmt.Fprintln(t.out, "commit", cs[0].Name, c.Args().Get(1))
		return err
	}
	id, err := r.engine.Commit(c.Context, cs[0].ID, dockerx.CommitSpec{
		Image: c.Args().Get(1), Author: c.String("author"), Message: c.String("message"), Changes: listOf(c, "change"), Running: !c.Bool("pause"),
	})
	if err != nil {
		return named(err, cs[0])
	}
	_, err = fmt.Fprintln(t.out, id)
	return err
}
