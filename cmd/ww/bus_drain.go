package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
)

func (t *tool) busDrainCommand() *cli.Command {
	return &cli.Command{
		Name:      "drain",
		Usage:     "wait until nothing waits on the bus any more, for one component or for all",
		ArgsUsage: "[COMPONENT]",
		Flags: []cli.Flag{
			durationFlag("timeout", time.Minute, "how long to wait"),
			formatFlag("table", "table or json"),
		},
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "table", "json"); err != nil {
				return err
			}
			wait := durationOf(c, "timeout")
			switch {
			case c.NArg() > 1:
				return &usageError{errors.New("name one component, or none for all"), "ww bus drain [COMPONENT]"}
			case wait <= 0:
				return &usageError{fmt.Errorf("--timeout can't be %s", wait), "write a duration such as 30s"}
			}
			return t.onBus(c, func(ctx context.Context, r *remote) error {
				return t.drain(ctx, r, c.Args().Slice(), wait, c.String("format") == "json")
			})
		},
	}
}

// drained is what is left when the time is over, by component.
type drained struct {
	Drained bool             `json:"drained"`
	Left    map[string]int64 `json:"left"`
}

// drain is the inner half.
func (a *agent) drain(ctx context.Context, o order) error {
	if len(o.Components) > 0 {
		known, err := a.components(ctx, o)
		if err != nil {
			return err
		}
		if name := o.Components[0]; !slices.Contains(known, name) {
			return noComponent(name, known)
		}
	}
	left, err := bus.AwaitEmpty(ctx, a.bus, o.Wait, o.Served, o.Components...)
	return a.items(err, drained{err == nil && len(left) == 0, left})
}

func (t *tool) drain(ctx context.Context, r *remote, components []string, wait time.Duration, asJSON bool) error {
	if isTerminal(t.err) {
		fmt.Fprintf(t.err, "waiting up to %s; Ctrl-C ends waiting, and changes nothing\n", wait)
	}
	d, err := only[drained](ctx, r, order{Op: opDrain, Components: components, Wait: wait})
	if err != nil {
		return err
	}
	if d.Left == nil {
		d.Left = map[string]int64{}
	}
	if asJSON {
		if err := t.printJSON(d); err != nil {
			return err
		}
	}
	if d.Drained {
		if !asJSON {
			fmt.Fprintln(t.err, "drained: nothing waits on the bus for "+orAll(components))
		}
		return nil
	}
	var rows [][]string
	var total int64
	for _, name := range slices.Sorted(maps.Keys(d.Left)) {
		rows = append(rows, []string{name, fmt.Sprint(d.Left[name])})
		total += d.Left[name]
	}
	if !asJSON {
		if err := t.table([]string{"COMPONENT", "LEFT"}, rows); err != nil {
			return err
		}
	}
	return &drainError{
		fmt.Sprintf("not drained within %s: %s left", wait, count(int(total), "message is", "messages are")),
		"`ww bus stats --watch` shows whether it gets on; --timeout waits longer",
	}
}

func orAll(components []string) string {
	if len(components) == 0 {
		return "anyone"
	}
	return strings.Join(components, ", ")
}
