package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"
)

// sight is a running system that can be looked at, wherever it runs.
type sight interface {
	// look takes about a second, over which it measures what there is for each.
	look(ctx context.Context) (topView, error)
	close()
}

// topView is a system at one moment.
type topView struct {
	Time       time.Time `json:"time"`
	Components []topRow  `json:"components"`
	Note       string    `json:"note,omitempty"` // what can't be told, and why
}

// topRow is one component, or another part of its system. What isn't known of it
// is absent.
type topRow struct {
	Component  string   `json:"component"`
	Deployment string   `json:"deployment,omitempty"`
	State      string   `json:"state"`
	Instances  int      `json:"instances"`
	CPU        *float64 `json:"cpu_percent,omitempty"` // of one processor
	Memory     *uint64  `json:"memory_bytes,omitempty"`
	NetIn      *uint64  `json:"net_in_bytes,omitempty"` // since it started
	NetOut     *uint64  `json:"net_out_bytes,omitempty"`
	Queue      *int64   `json:"queue,omitempty"` // messages that aren't finished
	InFlight   *int64   `json:"in_flight,omitempty"`
	Rate       *float64 `json:"handled_per_second,omitempty"`
}

// topOrders are how a table can be sorted: names upwards, and what is measured
// downwards, with what isn't known last.
var topOrders = map[string]func(a, b topRow) int{
	"name":  func(a, b topRow) int { return 0 },
	"cpu":   func(a, b topRow) int { return downwards(a.CPU, b.CPU) },
	"mem":   func(a, b topRow) int { return downwards(a.Memory, b.Memory) },
	"queue": func(a, b topRow) int { return downwards(a.Queue, b.Queue) },
	"rate":  func(a, b topRow) int { return downwards(a.Rate, b.Rate) },
}

func downwards[T cmp.Ordered](a, b *T) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return cmp.Compare(*b, *a)
}

// note adds what can't be told.
func (v *topView) note(text string) {
	if v.Note != "" {
		text = v.Note + "; " + text
	}
	v.Note = text
}

func (v *topView) sort(by string) {
	slices.SortFunc(v.Components, func(a, b topRow) int {
		return cmp.Or(topOrders[by](a, b), strings.Compare(a.Component, b.Component))
	})
}

func (t *tool) systemTopCommand() *cli.Command {
	return withProject(&cli.Command{
		Name:  "top",
		Usage: "show what each component takes of the machine, and what it gets done; on a terminal, as it changes",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "sort", Value: "name", Usage: "by `COLUMN`: cpu, mem, queue, rate or name"},
			&cli.BoolFlag{Name: "no-stream", Usage: "once (that is how it is without a terminal)"},
			formatFlag("table", "table or json"),
		},
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "table", "json"); err != nil {
				return err
			}
			if err := oneOf("sort", c.String("sort"), "cpu", "mem", "queue", "rate", "name"); err != nil {
				return err
			}
			s, err := t.see(c.Context, c)
			if err != nil {
				return err
			}
			defer s.close()
			live := isTerminal(t.out) && !c.Bool("no-stream")
			return t.top(c.Context, s, c.String("sort"), c.String("format") == "json", live)
		},
	})
}

// see finds the system that the command line means: that which processes of this
// folder run, or one in containers.
func (t *tool) see(ctx context.Context, c *cli.Context) (sight, error) {
	if s := t.seeProcesses(ctx, c); s != nil {
		return s, nil
	}
	r, err := t.find(ctx, c)
	if err != nil {
		return nil, notHere(err)
	}
	return &inContainers{tool: t, running: r}, nil
}

// top shows a system once, or again and again until ctx ends.
func (t *tool) top(ctx context.Context, s sight, by string, asJSON, live bool) error {
	for {
		v, err := s.look(ctx)
		if live && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		v.sort(by)
		if live && !asJSON {
			fmt.Fprint(t.out, "\x1b[H\x1b[2J")
		}
		if asJSON {
			err = t.printLine(v)
		} else {
			err = t.showTop(v)
		}
		if err != nil || !live {
			return err
		}
	}
}

func (t *tool) showTop(v topView) error {
	var rows [][]string
	for _, r := range v.Components {
		net := ""
		if r.NetIn != nil && r.NetOut != nil {
			net = decimalSize(*r.NetIn) + " / " + decimalSize(*r.NetOut)
		}
		rows = append(rows, []string{
			r.Component, r.Deployment, r.State, fmt.Sprint(r.Instances), known(r.CPU, func(v float64) string { return fmt.Sprintf("%.1f%%", v) }),
			known(r.Memory, func(n uint64) string { return units.BytesSize(float64(n)) }), net,
			known(r.Queue, whole), known(r.InFlight, whole), known(r.Rate, func(v float64) string { return fmt.Sprintf("%.1f", v) }),
		})
	}
	header := []string{"COMPONENT", "DEPLOYMENT", "STATE", "INSTANCES", "CPU", "MEMORY", "NET I/O", "QUEUE", "IN FLIGHT", "HANDLED/S"}
	if err := t.table(header, rows); err != nil {
		return err
	}
	if v.Note != "" {
		fmt.Fprintln(t.err, "note:", oneLine(v.Note))
	}
	return nil
}

func whole(n int64) string { return fmt.Sprint(n) }

// known writes a figure; nothing where there is none.
func known[T any](v *T, text func(T) string) string {
	if v == nil {
		return ""
	}
	return text(*v)
}
