package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
)

func (t *tool) busStatsCommand() *cli.Command {
	return &cli.Command{
		Name:      "stats",
		Usage:     "show what waits for each component, and what became of the rest; of all components if none is named",
		ArgsUsage: "[COMPONENT…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "look again every second, until Ctrl-C; with rates in place of totals"},
			formatFlag("table", "table or json"),
		},
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "table", "json"); err != nil {
				return err
			}
			if c.Bool("watch") {
				reach := func(ctx context.Context) (*remote, func(), error) { return t.reach(ctx, c) }
				return t.watchStats(c.Context, reach, c.Args().Slice(), time.Second, c.String("format") == "json")
			}
			return t.onBus(c, func(ctx context.Context, r *remote) error {
				return t.stats(ctx, r, c.Args().Slice(), c.String("format") == "json")
			})
		},
	}
}

// look is what the queues hold at one moment.
type look struct {
	Time       time.Time            `json:"time"`
	Components map[string]bus.Stats `json:"components"`
	Dropped    int64                `json:"dropped_total"`
	Rates      map[string]rate      `json:"rates,omitempty"` // since the look before
	Error      string               `json:"error,omitempty"` // why nothing could be seen
}

// rate is what a component does in a second.
type rate struct {
	Handled float64 `json:"handled_per_second"`
	Retried float64 `json:"retried_per_second"`
}

// stats is the inner half: one look, or one after the other.
func (a *agent) stats(ctx context.Context, o order) error {
	if o.Every <= 0 {
		l, err := a.look(ctx)
		return a.items(err, l)
	}
	tick := time.NewTicker(o.Every)
	defer tick.Stop()
	for {
		// A bus that is away for a while is something to see, not the end.
		within, cancel := context.WithTimeout(ctx, 5*o.Every)
		l, err := a.look(within)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			l = look{Time: time.Now().UTC(), Error: err.Error()}
		}
		if err := a.items(nil, l); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *agent) look(ctx context.Context) (look, error) {
	all, err := a.bus.Stats(ctx)
	if err != nil {
		return look{}, err
	}
	now := time.Now().UTC()
	dropped, err := a.bus.Dropped(ctx)
	return look{Time: now, Components: all, Dropped: dropped}, err
}

func (t *tool) stats(ctx context.Context, r *remote, components []string, asJSON bool) error {
	l, err := only[look](ctx, r, order{Op: opStats})
	if err == nil {
		err = l.only(components, r.known)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return t.printJSON(l)
	}
	return t.showLook(l)
}

// only leaves nothing but what is said of some components; where none is named, of
// all but those that are gone and have left nothing. known are those that have
// containers.
func (l *look) only(components, known []string) error {
	if len(components) == 0 {
		maps.DeleteFunc(l.Components, func(name string, s bus.Stats) bool {
			gone := len(known) > 0 && !slices.Contains(known, name)
			return gone && s.Consumers == 0 && s.Depth == 0 && s.Delayed == 0 && s.Dead == 0
		})
		return nil
	}
	some := map[string]bus.Stats{}
	for _, name := range components {
		s, ok := l.Components[name]
		if !ok && !slices.Contains(known, name) {
			all := slices.Concat(known, slices.Collect(maps.Keys(l.Components)))
			slices.Sort(all)
			return noComponent(name, slices.Compact(all))
		}
		some[name] = s
	}
	l.Components, l.Dropped = some, 0
	return nil
}

// watchStats shows looks as they come, until ctx ends. A bus that isn't there,
// or nothing that leads to it, is tried again: reach finds it.
func (t *tool) watchStats(ctx context.Context, reach func(context.Context) (*remote, func(), error), components []string, every time.Duration, asJSON bool) error {
	w := &lookout{tool: t, asJSON: asJSON, screen: isTerminal(t.out) && !asJSON}
	return watchAgain(ctx, reach, every, func(r *remote) error {
		return r.watch(ctx, order{Op: opStats, Every: every}, parsed(func(l look) error {
			if ctx.Err() != nil {
				return nil // it was on its way as the watching ended
			}
			if l.Error != "" {
				l.Error = r.away(ctx, l.Error).Error()
			} else if err := l.only(components, r.known); err != nil {
				return err
			}
			return w.show(l)
		}))
	}, func(err error) error { return w.show(look{Time: time.Now().UTC(), Error: err.Error()}) })
}

// watchAgain watches until ctx ends. Where that ends by itself since the system
// isn't there, it shows so and begins anew.
func watchAgain(ctx context.Context, reach func(context.Context) (*remote, func(), error), every time.Duration, watch func(*remote) error, show func(error) error) error {
	for {
		r, leave, err := reach(ctx)
		if err == nil {
			err = watch(r)
			leave()
		}
		if ctx.Err() != nil {
			return nil
		}
		if code, _ := classify(err); code != exitComponent {
			return err
		}
		if err := show(err); err != nil {
			return err
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return nil
		}
	}
}

// lookout shows one look after the other: a terminal the last one, anything
// else all of them.
type lookout struct {
	tool           *tool
	asJSON, screen bool
	before         look // the last one that saw something
	away           bool // the last one saw nothing
}

func (w *lookout) show(l look) error {
	l.Rates = rates(w.before, l)
	again := w.away && l.Error != ""
	if w.away = l.Error != ""; !w.away {
		w.before = l
	}
	t := w.tool
	switch {
	case w.asJSON:
		return t.printLine(l)
	case w.screen:
		fmt.Fprint(t.out, "\x1b[H\x1b[2J")
	case again:
		return nil // once is enough
	}
	if w.away {
		_, err := fmt.Fprintln(t.err, oneLine(l.Error)+"; trying again until Ctrl-C")
		return err
	}
	if l.Rates == nil {
		l.Rates = map[string]rate{} // the first look has none yet
	}
	fmt.Fprintln(t.out, l.Time.Local().Format(time.TimeOnly))
	return t.showLook(l)
}

// rates compares two looks; nil where there is nothing to compare with.
// Counters that have fallen are those of another bus.
func rates(before, l look) map[string]rate {
	seconds := l.Time.Sub(before.Time).Seconds()
	if before.Time.IsZero() || seconds <= 0 || l.Error != "" {
		return nil
	}
	out := map[string]rate{}
	for name, s := range l.Components {
		b := before.Components[name]
		out[name] = rate{perSecond(s.Handled-b.Handled, seconds), perSecond(s.Retried-b.Retried, seconds)}
	}
	return out
}

func perSecond(n int64, seconds float64) float64 {
	return math.Round(float64(max(n, 0))/seconds*10) / 10
}

func (t *tool) showLook(l look) error {
	header := []string{"COMPONENT", "DEPTH", "IN FLIGHT", "DELAYED", "LAG", "DEAD", "OLDEST", "HANDLED", "RETRIED", "REPLICAS"}
	if l.Rates != nil {
		header[7], header[8] = "HANDLED/S", "RETRIED/S"
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(l.Components)) {
		s := l.Components[name]
		depth, oldest := fmt.Sprint(s.Depth), ""
		if s.Limit > 0 {
			depth = fmt.Sprintf("%d of %d", s.Depth, s.Limit)
		}
		if s.Oldest > 0 {
			oldest = brief(time.Duration(s.Oldest * float64(time.Second)))
		}
		handled, retried := fmt.Sprint(s.Handled), fmt.Sprint(s.Retried)
		if l.Rates != nil {
			handled, retried = "", ""
			if r, ok := l.Rates[name]; ok {
				handled, retried = fmt.Sprintf("%.1f", r.Handled), fmt.Sprintf("%.1f", r.Retried)
			}
		}
		rows = append(rows, []string{name, depth, fmt.Sprint(s.InFlight), fmt.Sprint(s.Delayed), fmt.Sprint(s.Lag), fmt.Sprint(s.Dead),
			oldest, handled, retried, fmt.Sprint(s.Consumers)})
	}
	if err := t.table(header, rows); err != nil || l.Dropped == 0 {
		return err
	}
	_, err := fmt.Fprintf(t.out, "dropped, on topics that nobody subscribes to (a server's component.output is one): %d\n", l.Dropped)
	return err
}
