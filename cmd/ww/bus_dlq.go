package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
)

func (t *tool) busDeadCommand() *cli.Command {
	format := func() cli.Flag { return formatFlag("table", "table or json") }
	all := func(what string) cli.Flag {
		return &cli.BoolFlag{Name: "all", Usage: what + " all of them, or all of the components that are named"}
	}
	return &cli.Command{
		Name:  "dlq",
		Usage: "the dead letters: messages that failed for good",
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list the dead letters, of all components if none is named; of each the newest first", ArgsUsage: "[COMPONENT…]",
				Flags: []cli.Flag{
					&cli.IntFlag{Name: "limit", Aliases: []string{"n"}, Value: 100, Usage: "the newest `N` of each component"}, format(),
				},
				Action: t.dead(t.listDead),
			},
			{
				Name: "show", Usage: "show dead letters whole: the message, why it failed, and when", ArgsUsage: "ID…",
				Flags:  []cli.Flag{formatFlag("text", "text or json")},
				Action: t.dead(t.showDead),
			},
			{
				Name: "requeue", Usage: "give dead letters back to the components that they were for, as if they were just published", ArgsUsage: "ID…|--all [COMPONENT…]",
				Flags: []cli.Flag{
					all("requeue"), format(),
					&cli.StringFlag{Name: "to", Usage: "give them to `COMPONENT`, such as one that has another name now"},
				},
				Action: t.dead(t.requeueDead),
			},
			{
				Name: "rm", Usage: "delete dead letters for good", ArgsUsage: "ID…|--all [COMPONENT…]",
				Flags:  []cli.Flag{all("delete"), &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "don't ask"}, format()},
				Action: t.dead(t.removeDead),
			},
		},
	}
}

// deadRequest is what a command line says of dead letters.
type deadRequest struct {
	names  []string // ids, or components
	all    bool
	to     string // another component than they were for
	yes    bool
	limit  int
	asJSON bool
}

// dead reads the command line of one of the commands about dead letters.
func (t *tool) dead(f func(context.Context, *remote, deadRequest) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		plain := "table"
		if c.Command.Name == "show" {
			plain = "text"
		}
		if err := oneOf("format", c.String("format"), plain, "json"); err != nil {
			return err
		}
		q := deadRequest{c.Args().Slice(), c.Bool("all"), c.String("to"), c.Bool("yes"), c.Int("limit"), c.String("format") == "json"}
		switch {
		case c.Command.Name == "ls" && q.limit <= 0:
			return &usageError{fmt.Errorf("--limit can't be %d", q.limit), "it is how many to show of each component"}
		case c.Command.Name != "ls" && !q.all && len(q.names) == 0:
			return &usageError{errors.New("name the dead letters"), "`ww bus dlq ls` shows their ids"}
		}
		return t.onBus(c, func(ctx context.Context, r *remote) error { return f(ctx, r, q) })
	}
}

// deadLetter is one with the component whose queue it failed on: ids are unique
// within a component only.
type deadLetter struct {
	Component string `json:"component"`
	bus.DeadLetter
}

// changed is how many dead letters of a component were moved or deleted.
type changed struct {
	Component string `json:"component"`
	Count     int    `json:"count"`
}

func (t *tool) listDead(ctx context.Context, r *remote, q deadRequest) error {
	// One more of each, to know whether that is all.
	all, err := collect[deadEntry](ctx, r, order{Op: opList, Components: q.names, Limit: q.limit + 1})
	if err != nil {
		return err
	}
	all, more := clipDead(all, q.limit)
	if len(more) > 0 {
		r.note(fmt.Sprintf("%s: these are the newest %d of each; `--limit` shows more, `ww bus stats` counts them", strings.Join(more, ", "), q.limit))
	}
	if q.asJSON {
		return t.printJSON(all)
	}
	now := time.Now()
	var rows [][]string
	for _, d := range all {
		rows = append(rows, []string{d.ID, d.Component, ago(now, d.Last), fmt.Sprint(d.Attempts), d.MessageID, d.SessionID, d.Error})
	}
	return t.table([]string{"ID", "COMPONENT", "AGE", "ATTEMPTS", "MESSAGE", "SESSION", "ERROR"}, rows)
}

// clipDead keeps limit entries of each component, and names those that have
// more.
func clipDead(all []deadEntry, limit int) (kept []deadEntry, more []string) {
	seen := map[string]int{}
	kept = []deadEntry{}
	for _, d := range all {
		if seen[d.Component]++; seen[d.Component] <= limit {
			kept = append(kept, d)
		} else {
			more = append(more, d.Component)
		}
	}
	return kept, more
}

// deadEntry is one dead letter in a list: all but the payload.
type deadEntry struct {
	ID        string    `json:"id"`
	Component string    `json:"component"`
	MessageID string    `json:"message_id"`
	SessionID string    `json:"session_id"`
	Type      string    `json:"event_type,omitempty"`
	Sender    string    `json:"sender_component,omitempty"`
	Attempts  int       `json:"attempts"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Error     string    `json:"error"`
}

func entryOfDead(component string, d *bus.DeadLetter) deadEntry {
	return deadEntry{
		ID: d.ID, Component: component, MessageID: d.Message.ID, SessionID: d.Message.SessionID, Type: d.Message.Type,
		Sender: d.Message.Sender, Attempts: d.Attempts, First: d.First, Last: d.Last, Error: d.Error,
	}
}

func (t *tool) showDead(ctx context.Context, r *remote, q deadRequest) error {
	all, err := collect[deadLetter](ctx, r, order{Op: opShow, IDs: q.names})
	if err != nil {
		return err
	}
	for i, d := range all {
		if q.asJSON {
			err = t.printJSON(d)
		} else {
			if i > 0 {
				fmt.Fprintln(t.out)
			}
			_, err = fmt.Fprint(t.out, wholeDead(&d))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func wholeDead(d *deadLetter) string {
	var b strings.Builder
	m := &d.Message
	for _, line := range [][2]string{
		{"id", d.ID}, {"component", d.Component}, {"message", m.ID}, {"session", m.SessionID}, {"from", m.Sender}, {"type", m.Type},
		{"published", stamp(m.CreatedAt)}, {"first tried", stamp(d.First)}, {"last tried", stamp(d.Last)},
		{"attempts", fmt.Sprint(d.Attempts)}, {"trace", m.TraceParent},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%-12s %s\n", line[0], oneLine(line[1]))
		}
	}
	section(&b, "error", d.Error)
	section(&b, "payload", prettyPayload(m.Payload))
	return b.String()
}

func section(b *strings.Builder, title, text string) {
	fmt.Fprintln(b, title)
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintln(b, "  "+harmless(strings.TrimRight(line, "\r\n")))
	}
}

// prettyPayload gives text as it is and everything else as indented JSON.
func prettyPayload(payload json.RawMessage) string {
	var s string
	if json.Unmarshal(payload, &s) == nil {
		return s
	}
	var b bytes.Buffer
	if json.Indent(&b, payload, "", "  ") != nil {
		return string(payload)
	}
	return b.String()
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}

func (t *tool) requeueDead(ctx context.Context, r *remote, q deadRequest) error {
	if q.to != "" {
		return t.changeDead(ctx, r, opMove, q, "moved")
	}
	return t.changeDead(ctx, r, opRequeue, q, "requeued")
}

func (t *tool) removeDead(ctx context.Context, r *remote, q deadRequest) error {
	if q.all && !q.yes && isTerminal(t.in) && isTerminal(t.err) {
		sure, err := t.sure(ctx, r, q.names)
		if err != nil || !sure {
			return err
		}
	}
	return t.changeDead(ctx, r, opDiscard, q, "deleted")
}

// sure asks before many are deleted.
func (t *tool) sure(ctx context.Context, r *remote, components []string) (bool, error) {
	l, err := only[look](ctx, r, order{Op: opStats})
	if err != nil {
		return false, err
	}
	var n int64
	for name, s := range l.Components {
		if len(components) == 0 || slices.Contains(components, name) {
			n += s.Dead
		}
	}
	if n == 0 {
		return true, nil // what there is to say is said by what comes of it
	}
	return t.confirm(ctx, fmt.Sprintf("delete %s for good?", count(int(n), "dead letter", "dead letters")), "nothing is deleted")
}

func (t *tool) changeDead(ctx context.Context, r *remote, op operation, q deadRequest, done string) error {
	var all []changed
	var err error
	if q.all {
		all, err = t.changeAllDead(ctx, r, order{Op: op, Components: q.names, All: true, To: q.to}, done)
	} else {
		all, err = collect[changed](ctx, r, order{Op: op, IDs: q.names, To: q.to})
	}
	n := 0
	var rows [][]string
	for _, c := range all {
		rows = append(rows, []string{c.Component, fmt.Sprint(c.Count)})
		n += c.Count
	}
	if err != nil && (n > 0 || errors.Is(err, context.Canceled)) {
		r.note(fmt.Sprintf("%s %s before that; the others are where they were", count(n, "dead letter was", "dead letters were"), done))
	}
	switch {
	case err != nil && n == 0:
		return err
	case q.asJSON:
		return errors.Join(err, t.printJSON(all))
	case len(rows) == 0:
		fmt.Fprintln(t.err, "nothing to do: there are no dead letters")
		return nil
	}
	return errors.Join(err, t.table([]string{"COMPONENT", strings.ToUpper(done)}, rows))
}

// progressEvery is how often a terminal is told how far a change is.
const progressEvery = 500 * time.Millisecond

// changeAllDead takes as long as it takes. A terminal shows how far it is, in
// one line that is gone in the end. What went is returned with an error, too.
func (t *tool) changeAllDead(ctx context.Context, r *remote, o order, done string) ([]changed, error) {
	shown := false
	if r.progress == nil && isTerminal(t.err) {
		r.progress = func(p progressOf) {
			shown = true
			fmt.Fprintf(t.err, "\r\x1b[K%s: %d of %d %s; Ctrl-C ends it", harmless(p.Component), p.Done, p.Total, done)
		}
	}
	if r.progress != nil {
		o.Every = progressEvery
	}
	all := []changed{}
	err := r.do(ctx, o, parsed(func(c changed) error {
		all = append(all, c)
		return nil
	}))
	if shown {
		fmt.Fprint(t.err, "\r\x1b[K")
	}
	return all, err
}
