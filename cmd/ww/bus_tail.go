package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/syntax"
)

func (t *tool) busTailCommand() *cli.Command {
	return &cli.Command{
		Name:      "tail",
		Usage:     "show messages as they are published, until Ctrl-C; of all components and topics if none is named",
		ArgsUsage: "[COMPONENT|TOPIC…]",
		Flags:     []cli.Flag{formatFlag("text", "text or json, which has the messages whole")},
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "text", "json"); err != nil {
				return err
			}
			for _, name := range c.Args().Slice() {
				if err := bus.CheckPattern(name); err != nil {
					return &usageError{err, "name components, or topics such as orders.* or orders.>"}
				}
			}
			return t.onBus(c, func(ctx context.Context, r *remote) error {
				return t.tail(ctx, r, c.Args().Slice(), c.String("format") == "json")
			})
		},
	}
}

// tail is the inner half. A name that isn't a component's is a topic's.
func (a *agent) tail(ctx context.Context, o order) error {
	known, err := a.components(ctx, o)
	if err != nil {
		return err
	}
	w := bus.Watch{Components: o.Components, Topics: o.Topics}
	for _, name := range o.Names {
		if slices.Contains(known, name) {
			w.Components = append(w.Components, name)
			continue
		}
		w.Topics = append(w.Topics, name)
		if s := syntax.Suggest(name, known); s != "" && !strings.ContainsAny(name, ".*>") {
			if err := a.note(fmt.Sprintf("there is no component %q: this shows the topic of that name; did you mean %q?", name, s)); err != nil {
				return err
			}
		}
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	err = a.bus.Tail(inner, w, func() { failed = a.out.Encode(result{Ready: true}) }, func(m bus.Message) {
		if failed == nil {
			if failed = a.items(nil, m); failed != nil {
				cancel() // nobody listens any more
			}
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

// tail shows messages a line each.
func (t *tool) tail(ctx context.Context, r *remote, names []string, asJSON bool) error {
	if r.ready == nil && isTerminal(t.err) && !asJSON {
		r.ready = func() { fmt.Fprintln(t.err, "messages are shown as they are published; Ctrl-C ends") }
	}
	return r.watch(ctx, order{Op: opTail, Names: names}, parsed(func(m bus.Message) error {
		if asJSON {
			return t.printLine(m)
		}
		_, err := fmt.Fprintln(t.out, clip(messageLine(m), columns(t.out)))
		return err
	}))
}

// messageLine is: time, from → to, type, session, what it says.
func messageLine(m bus.Message) string {
	to, text := m.Target, oneLine(plainText(m.Payload))
	switch {
	case m.Pattern == bus.PublishSubscribe:
		to = "topic"
	case bus.IsInbox(m.Target):
		to = "whoever asked"
	}
	switch {
	case m.Error != "":
		text = "error: " + oneLine(m.Error)
	case m.Chunk():
		text = fmt.Sprintf("#%d %s", m.ChunkIndex, text)
	}
	return strings.TrimRight(fmt.Sprintf("%-12s  %-24s  %-8s  %-26s  %s", clock(m.CreatedAt),
		harmless(orDash(m.Sender))+" → "+harmless(to), harmless(orDash(m.Type)), harmless(orDash(m.SessionID)), text), " ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// clock is a time of the day, for people.
func clock(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Local().Format("15:04:05.000")
}
