package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) psCommand() *cli.Command {
	return &cli.Command{
		Name:      "ps",
		Usage:     "list the system's containers",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also those that have stopped, and those of `run`"},
			&cli.StringFlag{Name: "filter", Usage: "those with a property: `status=STATUS`"},
			listFlag("status", "those with a `STATUS`: created, running, paused, restarting, removing, exited, dead"),
			&cli.BoolFlag{Name: "services", Usage: "the names of services alone"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids alone"},
			&cli.BoolFlag{Name: "orphans", Value: true, Usage: "also those of services that the file has no more"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "ids and commands in full"},
			formatFlag("table", formatUsage),
		},
		Action: t.ps,
	}
}

var states = []string{string(plan.Created), string(plan.Running), string(plan.Paused), string(plan.Restarting), string(plan.Removing), string(plan.Exited), string(plan.Dead)}

// wantedStates reads --status and --filter; nil where neither is given.
func wantedStates(c *cli.Context) (map[plan.State]bool, error) {
	asked := slices.Clone(listOf(c, "status"))
	if f := c.String("filter"); f != "" {
		key, value, _ := strings.Cut(f, "=")
		if key != "status" {
			return nil, &usageError{fmt.Errorf("--filter can't be %q", f), "write status=STATUS"}
		}
		asked = append(asked, value)
	}
	var wanted map[plan.State]bool
	for _, s := range asked {
		if !slices.Contains(states, s) {
			return nil, &usageError{fmt.Errorf("there is no status %q", s), "it is one of " + strings.Join(states, ", ")}
		}
		if wanted == nil {
			wanted = map[plan.State]bool{}
		}
		wanted[plan.State(s)] = true
	}
	return wanted, nil
}

func (t *tool) ps(c *cli.Context) error {
	wanted, err := wantedStates(c)
	if err != nil {
		return err
	}
	if c.Bool("services") && c.Bool("quiet") {
		return &usageError{errors.New("--services and --quiet exclude each other"), "leave one of them out"}
	}
	r, err := t.find(c.Context, c)
	if err != nil {
		return err
	}
	defer r.engine.Close()
	services := c.Args().Slice()
	if _, err := r.containers(services); err != nil {
		return err
	}
	hidden := map[string]bool{}
	if !c.Bool("orphans") {
		for _, o := range t.others(t.file(c, r), r) {
			hidden[o.ID] = true
		}
	}
	cs := slices.DeleteFunc(slices.Clone(r.have.Containers), func(ctr plan.Container) bool {
		stopped := ctr.State == plan.Exited || ctr.State == plan.Created || ctr.State == plan.Dead
		switch {
		case len(services) > 0 && !slices.Contains(services, ctr.Service), hidden[ctr.ID]:
			return true
		case wanted != nil:
			return !wanted[ctr.State]
		}
		return !c.Bool("all") && (stopped || ctr.OneOff)
	})
	switch {
	case c.Bool("services"):
		var names []string
		for _, ctr := range cs {
			names = append(names, ctr.Service)
		}
		return t.printNames(names)
	case c.Bool("quiet"):
		for _, ctr := range cs {
			fmt.Fprintln(t.out, ctr.ID)
		}
		return nil
	}
	return t.print(c.String("format"), containerListing(cs, time.Now(), c.Bool("no-trunc")))
}

// printNames prints each name once, in order.
func (t *tool) printNames(names []string) error {
	for _, n := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if _, err := fmt.Fprintln(t.out, n); err != nil {
			return err
		}
	}
	return nil
}

// containerListing has docker compose's fields, and two of ww's: Kind and Phase.
func containerListing(cs []plan.Container, now time.Time, whole bool) listing {
	l := listing{columns: []column{
		{"NAME", "Name"}, {"IMAGE", "Image"}, {"COMMAND", "Command"}, {"SERVICE", "Service"},
		{"CREATED", "RunningFor"}, {"STATUS", "Status"}, {"PORTS", "Ports"},
	}}
	if slices.ContainsFunc(cs, func(c plan.Container) bool { return c.Labels[deploy.LabelKind] != "" }) {
		l.columns = slices.Insert(l.columns, 4, column{"KIND", "Kind"})
	}
	for _, c := range cs {
		l.rows = append(l.rows, containerRow(c, now, whole))
	}
	return l
}

// publisher is a port as docker compose's JSON has it.
type publisher struct {
	URL           string
	TargetPort    uint16
	PublishedPort uint16
	Protocol      string
}

func containerRow(c plan.Container, now time.Time, whole bool) map[string]any {
	id := shortID(c.ID)
	if whole {
		id = c.ID
	}
	publishers := []publisher{}
	for _, p := range c.Ports {
		publishers = append(publishers, publisher{p.HostIP, p.Target, p.Host, p.Protocol})
	}
	var mounts []string
	volumes := 0
	for _, m := range c.Mounts {
		if m.Volume == "" {
			mounts = append(mounts, m.Source)
			continue
		}
		mounts = append(mounts, m.Volume)
		volumes++
	}
	return map[string]any{
		"ID": id, "Name": c.Name, "Names": c.Name, "Project": c.Labels[deploy.LabelProject], "Service": c.Service,
		"Image": c.Image, "Command": brieflyQuoted(c.Command, whole), "State": string(c.State), "Status": c.Status,
		"Health": string(c.Health), "ExitCode": c.ExitCode,
		"CreatedAt": c.Created.Local().Format("2006-01-02 15:04:05 -0700 MST"), "RunningFor": since(now, c.Created),
		"Ports": ports(c.Ports), "Publishers": publishers, "Labels": labelText(c.Labels),
		"Networks": strings.Join(slices.Sorted(slices.Values(c.Networks)), ","), "Mounts": strings.Join(mounts, ","), "LocalVolumes": fmt.Sprint(volumes),
		// docker compose has these, too: who asks for a size pays for it.
		"Engine": c.Labels["com.docker.compose.engine"], "Size": "0B",
		"Kind":  strings.TrimSpace(c.Labels[deploy.LabelKind] + " " + c.Labels[deploy.LabelType]),
		"Phase": c.Labels[deploy.LabelPhase],
	}
}

// since is an age as docker's tables show it.
func since(now, then time.Time) string {
	if then.IsZero() {
		return ""
	}
	return units.HumanDuration(now.Sub(then)) + " ago"
}

func ports(ps []plan.Port) string {
	var out []string
	for _, p := range ps {
		text := fmt.Sprintf("%d/%s", p.Target, p.Protocol)
		if p.Host != 0 {
			text = fmt.Sprintf("%s->%s", hostPort(p), text)
		}
		out = append(out, text)
	}
	return strings.Join(slices.Compact(out), ", ")
}
