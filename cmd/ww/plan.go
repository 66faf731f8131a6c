package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/bus/connect"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) systemPlanCommand() *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "show what `ww up` would run where, and in which order; nothing is started",
		Flags: slices.Concat(whereFlags(), []cli.Flag{formatFlag("text", "text or json")}, projectFlags(true), engineFlags()),
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "text", "json"); err != nil {
				return err
			}
			p, err := t.planSystem(c)
			if err != nil {
				return err
			}
			if c.String("format") == "json" {
				return t.printJSON(p)
			}
			return t.printPlan(p)
		},
	}
}

// systemPlan is what `ww up` would do.
type systemPlan struct {
	Project    string            `json:"project"`
	Bus        plannedBus        `json:"message_bus"`
	Components []plannedPart     `json:"components"` // in the order in which they start, within their phases
	Containers *plannedContainer `json:"containers,omitempty"`

	steps plan.Plan
}

type plannedBus struct {
	Kind    string `json:"kind"`
	Runs    string `json:"runs"`              // docker, local, or elsewhere
	Address string `json:"address,omitempty"` // on this machine; never a URL, which may hold a password
}

type plannedPart struct {
	Name       string      `json:"name"`
	Kind       string      `json:"kind"`
	Type       string      `json:"type,omitempty"`
	Phase      model.Phase `json:"phase"`
	Deployment string      `json:"deployment,omitempty"`
	Runs       string      `json:"runs"` // docker, local or server
	Address    string      `json:"address,omitempty"`
	After      []string    `json:"after"`
}

// plannedContainer is what `ww compose plan` says of the part in containers.
type plannedContainer struct {
	Steps     []planJSON `json:"steps"`
	Unchanged []string   `json:"unchanged"`
}

func (t *tool) planSystem(c *cli.Context) (*systemPlan, error) {
	s, err := t.readSystem(c)
	if err != nil {
		return nil, err
	}
	joint, err := t.joint(c, s)
	if err != nil {
		return nil, err
	}
	p := &systemPlan{Project: s.Name, Components: []plannedPart{}}
	if p.Bus, err = s.planBus(joint); err != nil {
		return nil, err
	}
	addresses, err := t.plannedAddresses(s, joint)
	if err != nil {
		return nil, err
	}
	meant := slices.Concat(s.here, s.inside)
	for _, phase := range model.Phases {
		for _, name := range s.Model.Order() {
			comp := s.Model.Component(name)
			if comp.Phase != phase || !slices.Contains(meant, comp) {
				continue
			}
			part := plannedPart{
				Name: name, Kind: comp.Kind, Type: comp.Type, Phase: phase, Runs: s.kinds[name], Address: addresses[name],
				After: append([]string{}, s.Model.DependsOn(name)...),
			}
			if comp.Deployment != nil {
				part.Deployment = comp.Deployment.Name
			}
			p.Components = append(p.Components, part)
		}
	}
	if len(s.inside) == 0 {
		return p, nil
	}
	t.meant = s
	d, err := t.engine(c)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	_, req, err := t.upRequest(c, d)
	if err != nil {
		return nil, err
	}
	req.Options.Wait = true
	if p.steps, err = deploy.Preview(c.Context, d, req); err != nil {
		return nil, err
	}
	if p.steps.Changes() == 0 {
		p.steps.Steps = nil // what is left is to wait for the engine's first health checks
	}
	p.Containers = &plannedContainer{Steps: stepsJSON(p.steps), Unchanged: append([]string{}, p.steps.Unchanged...)}
	return p, nil
}

// planBus says where the bus is, and nothing of a URL that may be secret.
func (s *assembly) planBus(joint *compose.Loaded) (plannedBus, error) {
	p := plannedBus{Kind: "redis"}
	if s.Model.Bus != nil {
		p.Kind = s.Model.Bus.Kind
	}
	switch {
	case s.busInside():
		p.Runs = inDocker
		if len(joint.Outside()) == 0 {
			return p, nil
		}
		var err error
		p.Address, err = joint.BusAddress()
		if errors.Is(err, compose.ErrNoBusPort) {
			err = noBusPort(err)
		}
		return p, err
	case s.Model.Bus != nil && s.Model.Bus.URL == nil && p.Kind == "nats":
		p.Runs = inLocal // it isn't started to say so
		return p, nil
	}
	way, err := s.findBus(joint, nil)
	if err != nil {
		return p, err
	}
	if way.options.URL == connect.Memory {
		return plannedBus{Kind: "memory", Runs: inLocal}, nil
	}
	p.Runs = "elsewhere"
	if strings.HasPrefix(way.options.URL, "nats") || strings.HasPrefix(way.options.URL, "tls") {
		p.Kind = "nats"
	}
	return p, nil
}

// plannedAddresses are where components, and the servers that they are behind,
// take work.
func (t *tool) plannedAddresses(s *assembly, joint *compose.Loaded) (map[string]string, error) {
	parts, servers, err := t.describe(s)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, p := range parts {
		if p.Ingress && p.Addr != "" {
			all[p.Config.Name] = "http://" + p.Addr
		}
	}
	for _, srv := range servers {
		for _, name := range srv.Components {
			if all[name] == "" {
				all[name] = "http://" + net.JoinHostPort(splitAddr(srv.Addr)) + "/" + name + "/input"
			}
		}
	}
	if joint != nil {
		for _, a := range reachedAt(joint.Project) {
			all[a.service] = a.address
		}
	}
	return all, nil
}

// splitAddr gives a server's host as somebody on this machine writes it, and its
// port.
func splitAddr(addr string) (host, port string) {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return host, port
}

func (t *tool) printPlan(p *systemPlan) error {
	bus := p.Bus.Kind + ", in this process"
	switch p.Bus.Runs {
	case inDocker:
		bus = p.Bus.Kind + ", in the container " + model.BusService
		if p.Bus.Address != "" {
			bus += ", and on " + p.Bus.Address + " for those outside"
		}
	case "elsewhere":
		bus = p.Bus.Kind + ", at the URL that the file or the environment names"
	}
	fmt.Fprintf(t.out, "%s\nbus: %s\n\n", p.Project, bus)
	var rows [][]string
	for _, c := range p.Components {
		rows = append(rows, []string{string(c.Phase), c.Name, strings.TrimSpace(c.Kind + " " + c.Type), c.Deployment, c.Runs, c.Address, strings.Join(c.After, ", ")})
	}
	if err := t.table([]string{"PHASE", "NAME", "KIND", "DEPLOYMENT", "RUNS", "ADDRESS", "AFTER"}, rows); err != nil || p.Containers == nil {
		return err
	}
	if p.steps.Changes() == 0 {
		_, err := fmt.Fprintln(t.out, "\ncontainers: nothing to do, they are as they should be")
		return err
	}
	_, err := fmt.Fprintf(t.out, "\ncontainers:\n%s", p.steps)
	return err
}
