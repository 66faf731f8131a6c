package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/registry"
)

func (t *tool) servicesCommand() *cli.Command {
	return withProject(&cli.Command{
		Name:  "services",
		Usage: "list the components that are there, as they say of themselves on the bus, whatever their deployment",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "look again every second, until Ctrl-C"},
			formatFlag("table", "table or json"),
		},
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "table", "json"); err != nil {
				return err
			}
			asJSON := c.String("format") == "json"
			if c.Bool("watch") {
				reach := func(ctx context.Context) (*remote, func(), error) { return t.reach(ctx, c) }
				return t.watchServices(c.Context, reach, time.Second, asJSON)
			}
			return t.onBus(c, func(ctx context.Context, r *remote) error { return t.services(ctx, r, asJSON) })
		},
	})
}

// service is who says of itself to be there, with what is known of it besides.
type service struct {
	registry.Entry
	Deployment string `json:"deployment,omitempty"`
}

// attendance is who is there at one moment.
type attendance struct {
	Time     time.Time `json:"time"`
	Services []service `json:"services"`
	Error    string    `json:"error,omitempty"` // why nobody could be seen
}

// services is the inner half: who is there, or that again and again.
func (a *agent) services(ctx context.Context, o order) error {
	if o.Every <= 0 {
		entries, err := a.registry.List(ctx)
		return a.items(err, asAny(entries)...)
	}
	tick := time.NewTicker(o.Every)
	defer tick.Stop()
	for {
		// A bus that is away for a while is something to see, not the end.
		within, cancel := context.WithTimeout(ctx, 5*o.Every)
		entries, err := a.registry.List(within)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		now := attendance{Time: time.Now().UTC(), Services: []service{}}
		for _, e := range entries {
			now.Services = append(now.Services, service{Entry: e})
		}
		if err != nil {
			now.Error = err.Error()
		}
		if err := a.items(nil, now); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *tool) services(ctx context.Context, r *remote, asJSON bool) error {
	all, err := collect[service](ctx, r, order{Op: opServices})
	if err != nil {
		return err
	}
	r.addDeployments(all)
	if asJSON {
		return t.printJSON(all)
	}
	return t.showServices(all)
}

// watchServices shows who is there until ctx ends: a terminal the last look,
// anything else each one in which somebody came, went or changed.
func (t *tool) watchServices(ctx context.Context, reach func(context.Context) (*remote, func(), error), every time.Duration, asJSON bool) error {
	screen := isTerminal(t.out) && !asJSON
	before := ""
	show := func(a attendance) error {
		now := a.Error
		for _, s := range a.Services {
			now += fmt.Sprintln(s.Name, s.Instance, s.State, math.Round(100*s.Load), s.Error)
		}
		same := now == before
		before = now
		switch {
		case same && !screen:
			return nil
		case asJSON:
			return t.printLine(a)
		case screen:
			fmt.Fprint(t.out, "\x1b[H\x1b[2J")
		}
		if a.Error != "" {
			_, err := fmt.Fprintln(t.err, oneLine(a.Error)+"; trying again until Ctrl-C")
			return err
		}
		fmt.Fprintln(t.out, a.Time.Local().Format(time.TimeOnly))
		return t.showServices(a.Services)
	}
	return watchAgain(ctx, reach, every, func(r *remote) error {
		return r.watch(ctx, order{Op: opServices, Every: every}, parsed(func(a attendance) error {
			if a.Error != "" {
				a.Error = r.away(ctx, a.Error).Error()
			}
			r.addDeployments(a.Services)
			return show(a)
		}))
	}, func(err error) error {
		return show(attendance{Time: time.Now().UTC(), Services: []service{}, Error: err.Error()})
	})
}

func (r *remote) addDeployments(all []service) {
	for i := range all {
		all[i].Deployment = r.deployments[all[i].Name]
	}
}

func (t *tool) showServices(all []service) error {
	now := time.Now()
	var rows [][]string
	known := slices.ContainsFunc(all, func(s service) bool { return s.Deployment != "" })
	for _, e := range all {
		row := []string{e.Name, strings.TrimSpace(e.Kind + " " + e.Type), string(e.State),
			fmt.Sprintf("%d%%", int(math.Round(e.Load*100))), ago(now, e.Started), e.Address, e.Instance, strings.Join(e.Capabilities, ", ")}
		if known {
			row = slices.Insert(row, 5, e.Deployment)
		}
		rows = append(rows, row)
	}
	header := []string{"NAME", "KIND", "STATE", "LOAD", "UP", "ADDRESS", "INSTANCE", "CAPABILITIES"}
	if known {
		header = slices.Insert(header, 5, "DEPLOYMENT")
	}
	return t.table(header, rows)
}
