package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
)

func (t *tool) traceCommand() *cli.Command {
	return withProject(&cli.Command{
		Name:      "trace",
		Usage:     "show what happened to the messages of a session: where they went, how long they waited and took, what failed",
		ArgsUsage: "SESSION",
		Flags:     []cli.Flag{formatFlag("table", "table or json")},
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "table", "json"); err != nil {
				return err
			}
			if c.NArg() != 1 {
				return &usageError{errors.New("name one session"), remedySession}
			}
			return t.onBus(c, func(ctx context.Context, r *remote) error {
				return t.trace(ctx, r, c.Args().First(), c.String("format") == "json")
			})
		},
	})
}

const remedySession = "`ww bus tail` and `ww bus dlq ls` show sessions, `ww send --json` and `ww bus publish --format json` print their own"

func (t *tool) trace(ctx context.Context, r *remote, session string, asJSON bool) error {
	hops, err := collect[bus.Hop](ctx, r, order{Op: opTrace, Session: session})
	if err != nil {
		return err
	}
	if len(hops) == 0 {
		return &usageError{fmt.Errorf("the bus remembers nothing of a session %q", session),
			remedySession + "; a bus forgets old ones, and those whose messages nobody has taken yet aren't in it"}
	}
	slices.SortStableFunc(hops, func(a, b bus.Hop) int { return cmp.Or(a.Began.Compare(b.Began), a.Ended.Compare(b.Ended)) })
	if asJSON {
		return t.printJSON(hops)
	}
	var rows [][]string
	for _, h := range hops {
		rows = append(rows, []string{clock(h.Began), h.Component, h.Sender, h.Type, brief(h.Began.Sub(h.Queued)), brief(h.Ended.Sub(h.Began)),
			fmt.Sprint(h.Attempt), string(h.Outcome), receivers(h.Outputs), h.Error})
	}
	return t.table([]string{"TIME", "COMPONENT", "FROM", "TYPE", "WAITED", "TOOK", "ATTEMPT", "OUTCOME", "TO", "ERROR"}, rows)
}

// receivers lists where the outputs of a hop went, each once.
func receivers(outputs []string) string {
	var names []string
	for _, o := range outputs {
		if bus.IsInbox(o) {
			o = "whoever asked"
		}
		if !slices.Contains(names, o) {
			names = append(names, o)
		}
	}
	return strings.Join(names, ", ")
}
