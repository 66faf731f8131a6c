package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	mobyterm "github.com/moby/term"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) attachCommand() *cli.Command {
	return &cli.Command{
		Name:      "attach",
		Usage:     "connect this terminal to a component, such as an `input command_line`; Ctrl-C or Ctrl-D leaves it running",
		ArgsUsage: "SERVICE",
		Flags: []cli.Flag{
			indexFlag(),
			&cli.BoolFlag{Name: "no-stdin", Usage: "only show what it writes"},
			&cli.StringFlag{Name: "detach-keys", Usage: "the `KEYS` that leave it running, such as ctrl-p,ctrl-q; all others are the container's then"},
			&cli.BoolFlag{Name: "sig-proxy", Usage: "hand signals on to the container, and Ctrl-C with them; ctrl-p,ctrl-q leaves it running"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return &usageError{errors.New("name one service"), "ww compose attach SERVICE"}
			}
			keys := c.String("detach-keys")
			if keys == "" && c.Bool("sig-proxy") {
				keys = proxyKeys
			}
			var leave []byte
			if keys != "" {
				var err error
				if leave, err = mobyterm.ToBytes(keys); err != nil {
					return &usageError{fmt.Errorf("--detach-keys %q: %w", keys, err), "write keys with commas: a, ctrl-p"}
				}
			}
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			to, err := t.one(c, r, c.Args().First(), c.Int("index"))
			if err != nil {
				return err
			}
			return t.attach(c, r, to, leave)
		},
	}
}

// proxyKeys leave a container running that gets Ctrl-C as its own; they are
// docker's.
const proxyKeys = "ctrl-p,ctrl-q"

// attach connects to a container until it ends, and has its exit code then. leave
// are the keys that leave it running; nil for Ctrl-C and Ctrl-D.
func (t *tool) attach(c *cli.Context, r *running, to plan.Container, leave []byte) error {
	ctx := c.Context
	if c.Bool("sig-proxy") {
		var stop func()
		ctx, stop = proxySignals(ctx, func(ctx context.Context, s syscall.Signal) {
			_ = r.engine.Kill(ctx, to.ID, strconv.Itoa(int(s))) // it may have ended
		})
		defer stop()
	}
	in := t.in
	if f, ok := t.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) && !c.Bool("no-stdin") {
		how := "Ctrl-C"
		if leave != nil {
			how = cmp.Or(c.String("detach-keys"), proxyKeys)
		}
		fmt.Fprintf(t.err, "attached to %s; %s leaves it running\n", to.Name, how)
		old, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return fmt.Errorf("terminal: %w", err)
		}
		defer func() {
			_ = term.Restore(int(f.Fd()), old) // nothing more can be done for the terminal
			fmt.Fprintln(t.err)
		}()
		in = &untilDetach{f}
		if leave != nil {
			in = mobyterm.NewEscapeProxy(f, leave)
		}
	}
	if c.Bool("no-stdin") {
		in = nil
	}
	info, err := r.engine.Inspect(ctx, to.ID)
	if err != nil {
		return err
	}
	if err := r.engine.Attach(ctx, to.ID, info.TTY, in, t.out, t.err); err != nil {
		return named(err, to)
	}
	info, err = r.engine.Inspect(ctx, to.ID)
	if ignoreGone(err) != nil {
		return err
	}
	if err == nil && info.State == plan.Exited && info.ExitCode != 0 {
		return errReported{info.ExitCode}
	}
	return nil
}

// proxySignals hands signals on, until stop is called. The context that it gives
// isn't ended by them.
func proxySignals(ctx context.Context, to func(context.Context, syscall.Signal)) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	caught := make(chan os.Signal, 8)
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case s := <-caught:
				if s, ok := s.(syscall.Signal); ok {
					to(ctx, s)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(caught)
		cancel()
		<-gone
	}
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
