package main

import (
	"errors"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
)

func (t *tool) execCommand() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run a command in a running container, with its exit code",
		ArgsUsage: "SERVICE COMMAND [ARG…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "don't wait for it"},
			listFlag("env", "a variable: `NAME=VALUE`, or NAME for the value that it has here", "e"),
			indexFlag(),
			&cli.BoolFlag{Name: "privileged", Usage: "with all rights"},
			&cli.BoolFlag{Name: "no-tty", Aliases: []string{"T", "no-TTY"}, Usage: "without a terminal (default: as this process has one)"},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "as this `USER`"},
			&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "in this `FOLDER`"},
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Value: true, Hidden: true},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Value: true, Hidden: true},
		},
		Action: t.exec,
	}
}

func (t *tool) exec(c *cli.Context) error {
	if c.NArg() < 2 {
		return &usageError{errors.New("name a service and a command"), "ww compose exec SERVICE COMMAND [ARG…]"}
	}
	r, err := t.find(c.Context, c)
	if err != nil {
		return err
	}
	defer r.engine.Close()
	ctr, err := t.one(c, r, c.Args().First(), c.Int("index"))
	if err != nil {
		return err
	}
	spec := deploy.ExecSpec{
		Cmd: c.Args().Tail(), Env: withValues(listOf(c, "env")), User: c.String("user"), Dir: c.String("workdir"),
		Privileged: c.Bool("privileged"), Detach: c.Bool("detach"), Stdout: t.out, Stderr: t.err,
		TTY: !c.Bool("no-tty") && c.Bool("tty") && t.interactive(),
	}
	if c.Bool("interactive") && !spec.Detach {
		spec.Stdin = t.in
	}
	if spec.TTY && !spec.Detach {
		sizes, restore, err := t.rawTerminal()
		if err != nil {
			return err
		}
		defer restore()
		spec.Sizes = sizes
	}
	code, err := r.engine.Exec(c.Context, ctr.ID, spec)
	if err != nil {
		return named(err, ctr)
	}
	if code != 0 {
		return errReported{code}
	}
	return nil
}

// withValues gives variables that are only named the value that they have here;
// those that have none are left out.
func withValues(env []string) []string {
	var out []string
	for _, e := range env {
		name, _, given := strings.Cut(e, "=")
		if given {
			out = append(out, e)
		} else if v, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+v)
		}
	}
	return out
}
