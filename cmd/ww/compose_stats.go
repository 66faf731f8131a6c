package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) composeStatsCommand() *cli.Command {
	return &cli.Command{
		Name:      "stats",
		Usage:     "show what the containers take of the machine; on a terminal, as it changes",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also containers that don't run"},
			&cli.BoolFlag{Name: "no-stream", Usage: "once (that is how it is without a terminal)"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "ids in full"},
			formatFlag("table", formatUsage),
		},
		Action: func(c *cli.Context) error {
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			cs, err := t.pick(c, r, c.Args().Slice(), true)
			if err != nil {
				return err
			}
			b := &board{all: c.Bool("all"), whole: c.Bool("no-trunc"), rows: map[string]*boardRow{}}
			for _, ctr := range cs {
				b.add(ctr)
			}
			if isTerminal(t.out) && !c.Bool("no-stream") {
				return t.liveStats(c, r, b)
			}
			err = each(c, cs, func(ctx context.Context, ctr plan.Container) error {
				if ctr.State != plan.Running {
					return nil
				}
				return ignoreGone(r.engine.Stats(ctx, ctr.ID, false, func(u dockerx.Usage) { b.set(ctr.ID, u) }))
			})
			if err != nil {
				return err
			}
			return t.print(c.String("format"), b.listing())
		},
	}
}

// redraw is how often a live table is drawn: an engine measures once a second.
const redraw = 500 * time.Millisecond

// liveStats draws the table again and again, with containers as they come and go,
// until it is interrupted.
func (t *tool) liveStats(c *cli.Context, r *running, b *board) error {
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	events, why, err := r.engine.Events(ctx, r.name, time.Now())
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	measure := func(ctr plan.Container) {
		wg.Go(func() {
			// One that can't be measured shows no figures.
			_ = r.engine.Stats(ctx, ctr.ID, true, func(u dockerx.Usage) { b.set(ctr.ID, u) })
		})
	}
	for _, ctr := range b.containers() {
		if ctr.State == plan.Running {
			measure(ctr)
		}
	}
	services := c.Args().Slice()
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		fmt.Fprint(t.out, "\x1b[H\x1b[2J")
		if err := t.print(c.String("format"), b.listing()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		case ev, ok := <-events:
			if !ok {
				if ctx.Err() != nil {
					return nil
				}
				return why()
			}
			if len(services) > 0 && !slices.Contains(services, ev.Service) {
				continue
			}
			switch ev.Action {
			case deploy.ActionStart:
				ctr := plan.Container{ID: ev.Container, Name: ev.Name, Service: ev.Service, Number: ev.Number, State: plan.Running}
				b.add(ctr)
				measure(ctr)
			case deploy.ActionDie:
				b.drop(ev.Container, false)
			case deploy.ActionDestroy:
				b.drop(ev.Container, true)
			}
		}
	}
}

// board is what is known of each container's usage.
type board struct {
	all, whole bool

	mu   sync.Mutex
	rows map[string]*boardRow // by container
}

type boardRow struct {
	container plan.Container
	usage     *dockerx.Usage // nil: not measured
}

func (b *board) add(c plan.Container) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.State == plan.Running || b.all {
		b.rows[c.ID] = &boardRow{container: c}
	}
}

func (b *board) set(id string, u dockerx.Usage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if row := b.rows[id]; row != nil {
		row.usage = &u
	}
}

// drop takes out a container that has ended; one that isn't gone stays where all
// are wanted.
func (b *board) drop(id string, isGone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	row := b.rows[id]
	switch {
	case row == nil:
	case b.all && !isGone:
		row.container.State, row.usage = plan.Exited, nil
	default:
		delete(b.rows, id)
	}
}

func (b *board) containers() []plan.Container {
	b.mu.Lock()
	defer b.mu.Unlock()
	var cs []plan.Container
	for _, row := range b.rows {
		cs = append(cs, row.container)
	}
	slices.SortFunc(cs, compareNames)
	return cs
}

func (b *board) listing() listing {
	l := listing{columns: []column{
		{"CONTAINER ID", "ID"}, {"NAME", "Name"}, {"CPU %", "CPUPerc"}, {"MEM USAGE / LIMIT", "MemUsage"}, {"MEM %", "MemPerc"},
		{"NET I/O", "NetIO"}, {"BLOCK I/O", "BlockIO"}, {"PIDS", "PIDs"},
	}}
	for _, c := range b.containers() {
		b.mu.Lock()
		row := b.rows[c.ID]
		if row != nil {
			l.rows = append(l.rows, usageRow(c, row.usage, b.whole))
		}
		b.mu.Unlock()
	}
	return l
}

// usageRow has docker's fields.
func usageRow(c plan.Container, u *dockerx.Usage, whole bool) map[string]any {
	id := shortID(c.ID)
	if whole {
		id = c.ID
	}
	row := map[string]any{"ID": id, "Container": c.ID, "Name": c.Name, "Service": c.Service,
		"CPUPerc": "--", "MemUsage": "-- / --", "MemPerc": "--", "NetIO": "--", "BlockIO": "--", "PIDs": "--"}
	if u == nil {
		return row
	}
	share := 0.0
	if u.MemoryLimit > 0 {
		share = float64(u.Memory) / float64(u.MemoryLimit) * 100
	}
	row["CPUPerc"] = fmt.Sprintf("%.2f%%", u.CPU)
	row["MemUsage"] = units.BytesSize(float64(u.Memory)) + " / " + units.BytesSize(float64(u.MemoryLimit))
	row["MemPerc"] = fmt.Sprintf("%.2f%%", share)
	row["NetIO"] = decimalSize(u.NetIn) + " / " + decimalSize(u.NetOut)
	row["BlockIO"] = decimalSize(u.Read) + " / " + decimalSize(u.Written)
	row["PIDs"] = fmt.Sprint(u.PIDs)
	return row
}

func decimalSize(n uint64) string { return units.HumanSizeWithPrecision(float64(n), 3) }
