package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

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
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also those that have stopped"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids alone"},
			formatFlag("table", "table or json"),
		},
		Action: t.ps,
	}
}

// psEntry is one container in `ps --format json`.
type psEntry struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	Service   string      `json:"service"`
	Kind      string      `json:"kind,omitempty"`
	Phase     string      `json:"phase,omitempty"`
	State     string      `json:"state"`
	Health    string      `json:"health,omitempty"`
	ExitCode  int         `json:"exit_code"`
	Status    string      `json:"status"`
	Image     string      `json:"image"`
	Ports     []plan.Port `json:"ports"`
	CreatedAt string      `json:"created_at"`
}

func (t *tool) ps(c *cli.Context) error {
	if err := oneOf("format", c.String("format"), "table", "json"); err != nil {
		return err
	}
	r, err := t.find(c.Context, c)
	if err != nil {
		return err
	}
	defer r.engine.Close()
	cs, err := r.containers(c.Args().Slice())
	if err != nil {
		return err
	}
	if !c.Bool("all") {
		cs = slices.DeleteFunc(cs, func(c plan.Container) bool {
			return c.State == plan.Exited || c.State == plan.Created || c.State == plan.Dead
		})
	}
	switch {
	case c.Bool("quiet"):
		for _, c := range cs {
			fmt.Fprintln(t.out, c.ID)
		}
		return nil
	case c.String("format") == "json":
		entries := make([]psEntry, 0, len(cs))
		for _, c := range cs {
			entries = append(entries, entryOf(c))
		}
		return t.printJSON(entries)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tSERVICE\tKIND\tSTATUS\tPORTS")
	for _, c := range cs {
		e := entryOf(c)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Name, e.Service, e.Kind, e.Status, ports(c.Ports))
	}
	return w.Flush()
}

func entryOf(c plan.Container) psEntry {
	kind := strings.TrimSpace(c.Labels[deploy.LabelKind] + " " + c.Labels[deploy.LabelType])
	ports := c.Ports
	if ports == nil {
		ports = []plan.Port{}
	}
	return psEntry{
		ID: c.ID, Name: c.Name, Service: c.Service, Kind: kind, Phase: c.Labels[deploy.LabelPhase], State: string(c.State),
		Health: string(c.Health), ExitCode: c.ExitCode, Status: c.Status, Image: c.Image, Ports: ports,
		CreatedAt: c.Created.UTC().Format("2006-01-02T15:04:05Z"),
	}
}

func ports(ps []plan.Port) string {
	var out []string
	for _, p := range ps {
		if p.Host == 0 {
			continue
		}
		out = append(out, fmt.Sprintf("%s:%d->%d/%s", p.HostIP, p.Host, p.Target, p.Protocol))
	}
	return strings.Join(out, ", ")
}
