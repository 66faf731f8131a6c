package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) scaleCommand() *cli.Command {
	return &cli.Command{
		Name:      "scale",
		Usage:     "run so many containers of services",
		ArgsUsage: "SERVICE=N…",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "no-deps", Usage: "leave what they depend on alone"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
			timeoutFlag(),
		},
		Action: t.scale,
	}
}

func (t *tool) scale(c *cli.Context) error {
	begin := time.Now()
	scales := c.Args().Slice()
	if len(scales) == 0 {
		return &usageError{errors.New("say what to scale"), "ww compose scale SERVICE=N…"}
	}
	e, err := t.engine(c)
	if err != nil {
		return err
	}
	defer e.Close()
	l, err := t.loadProject(c, scaled(scales), e)
	if err != nil {
		return err
	}
	if err := setScales(l.Project, scales); err != nil {
		return err
	}
	if err := t.ready(l); err != nil {
		return err
	}
	if err := t.checkKeys(c.Context, l, e); err != nil {
		return err
	}
	if !dryRun(c) {
		if err := l.Prepare(); err != nil {
			return prepareError(err)
		}
	}
	req := deploy.UpRequest{
		Project: l.Project, Digests: digests(), EnvFiles: inheritedList(c, "env-file"), Grace: grace(c), Parallel: parallel(c),
		// Only the number is to change.
		Options: plan.Options{NoRecreate: true, Scaled: scaled(scales)}, Report: t.newProgress(l.Project, c.Bool("quiet")).report,
	}
	if dryRun(c) {
		p, err := deploy.Preview(c.Context, e, req)
		if err == nil {
			_, err = fmt.Fprint(t.out, p)
		}
		return err
	}
	unlock, err := t.lock(c.Context, e, l.Project.Name)
	if err != nil {
		return err
	}
	defer unlock()
	res, err := deploy.Up(c.Context, e, req)
	if err != nil {
		return t.failedUp(c, res, err)
	}
	if !c.Bool("quiet") {
		t.summary(l.Project, res, time.Since(begin))
	}
	return nil
}

// scaled lists the services that SERVICE=N name.
func scaled(scales []string) []string {
	var names []string
	for _, s := range scales {
		name, _, _ := strings.Cut(s, "=")
		names = append(names, name)
	}
	return names
}
