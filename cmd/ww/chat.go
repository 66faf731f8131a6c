package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy"
)

func (t *tool) chatCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "session", Usage: "a session to go on with"},
		durationFlag("timeout", 2*time.Minute, "how long to wait for an answer"),
	}
	return &cli.Command{
		Name:      "chat",
		Usage:     "talk to a running system, a line at a time, in one session",
		ArgsUsage: "[COMPONENT]",
		Flags:     append(append(flags, projectFlags(true)...), engineFlags()...),
		Action: func(c *cli.Context) error {
			target := c.Args().First()
			if target == "" {
				var err error
				if target, err = t.entrance(c); err != nil {
					return err
				}
			}
			r, leave, err := t.speak(c.Context, c, target)
			if err != nil {
				return err
			}
			defer leave()
			session := c.String("session")
			if session == "" {
				session = bus.NewID()
			}
			return t.chat(c.Context, r, target, session, durationOf(c, "timeout"))
		},
	}
}

// entrance finds the component that gets what comes in, where there is only
// one.
func (t *tool) entrance(c *cli.Context) (string, error) {
	n := t.nearby(c.Context, c)
	if n != nil {
		return onlyOne(n.Project, n.inputs())
	}
	r, err := t.find(c.Context, c)
	if err != nil {
		return "", notHere(err)
	}
	var targets []string
	for _, c := range r.have.Containers {
		if c.Labels[deploy.LabelKind] == "input" {
			targets = append(targets, strings.Split(c.Labels[deploy.LabelRoutes], ",")...)
		}
	}
	target, err := onlyOne(r.name, targets)
	return target, errors.Join(err, r.engine.Close())
}

func onlyOne(project string, targets []string) (string, error) {
	slices.Sort(targets)
	targets = slices.Compact(targets)
	if len(targets) == 1 {
		return targets[0], nil
	}
	if len(targets) == 0 {
		return "", &usageError{fmt.Errorf("no component of %s that gets input is running", project),
			startsIt + "; or name a component: ww chat COMPONENT"}
	}
	err := fmt.Errorf("%s has %d components that get input", project, len(targets))
	return "", &usageError{err, "name one: ww chat COMPONENT"}
}

func (t *tool) chat(ctx context.Context, r *remote, target, session string, timeout time.Duration) error {
	interactive := isTerminal(t.in)
	if interactive {
		fmt.Fprintf(t.err, "talking to %s; Ctrl-D ends\n", target)
	}
	lines, failed := t.lines(ctx)
	for {
		if interactive {
			fmt.Fprint(t.out, "> ")
		}
		var line string
		select {
		case l, ok := <-lines:
			if !ok {
				return *failed
			}
			line = strings.TrimSpace(l)
		case <-ctx.Done():
			return nil // Ctrl-C is a way to end
		}
		if line == "" {
			continue
		}
		payload, err := json.Marshal(line)
		if err != nil {
			return err
		}
		each, cancel := context.WithTimeout(ctx, timeout)
		err = r.send(each, newMessage(target, session, payload), t.printAnswer)
		cancel()
		var component *answerError
		switch {
		case errors.As(err, &component) && interactive:
			fmt.Fprintln(t.err, err) // the next line may fare better
		case err != nil:
			return err
		}
	}
}

// lines reads standard input until its end or until ctx is done. A read can't
// be broken off: its goroutine ends with the program at the latest.
func (t *tool) lines(ctx context.Context) (<-chan string, *error) {
	out := make(chan string)
	var failed error
	go func() {
		defer close(out)
		sc := bufio.NewScanner(t.in)
		sc.Buffer(nil, bus.MaxMessageBytes)
		for sc.Scan() {
			select {
			case out <- sc.Text():
			case <-ctx.Done():
				return
			}
		}
		failed = sc.Err()
	}()
	return out, &failed
}
