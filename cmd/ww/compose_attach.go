package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) attachCommand() *cli.Command {
	return &cli.Command{
		Name:      "attach",
		Usage:     "connect this terminal to a component, such as an `input command_line`; Ctrl-C or Ctrl-D leaves it running",
		ArgsUsage: "SERVICE",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return &usageError{errors.New("name one service"), "ww compose attach SERVICE"}
			}
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			cs, err := r.containers(c.Args().Slice())
			if err != nil {
				return err
			}
			if cs[0].State != plan.Running {
				return &configError{fmt.Errorf("%s isn't running: it is %s", cs[0].Name, cs[0].State), "`ww compose up -d` starts it"}
			}
			return t.attach(c, r, cs[0])
		},
	}
}

func (t *tool) attach(c *cli.Context, r *running, to plan.Container) error {
	in := t.in
	if f, ok := t.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(t.err, "attached to %s; Ctrl-C leaves it running\n", to.Name)
		old, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return fmt.Errorf("terminal: %w", err)
		}
		defer func() {
			_ = term.Restore(int(f.Fd()), old) // nothing more can be done for the terminal
			fmt.Fprintln(t.err)
		}()
		in = &untilDetach{f}
	}
	info, err := r.engine.Inspect(c.Context, to.ID)
	if err != nil {
		return err
	}
	return r.engine.Attach(c.Context, to.ID, info.TTY, in, t.out, t.err)
}

// untilDetach ends at Ctrl-C or Ctrl-D, which a terminal in raw mode hands on
// as characters: to the component they would be the end.
type untilDetach struct{ io.Reader }

func (u *untilDetach) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	for i := range n {
		if p[i] == 3 || p[i] == 4 {
			return i, io.EOF
		}
	}
	return n, err
}
