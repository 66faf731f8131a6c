package dockerx

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"

	"woodwork.dev/ww/runtime/plan"
)

// fromSummary reads one entry of a listing. A listing has neither health nor
// exit code as such; both are in its status text, which saves a call for each
// container.
func fromSummary(s container.Summary) plan.Container {
	c := plan.Container{
		ID:      s.ID,
		Name:    canonicalName(s.Names),
		State:   plan.State(s.State),
		Status:  s.Status,
		Image:   s.Image,
		ImageID: s.ImageID,
		Labels:  s.Labels,
		Command: s.Command,
		Created: time.Unix(s.Created, 0).UTC(),
	}
	c.Health, c.ExitCode = parseStatus(s.Status)
	if s.NetworkSettings != nil {
		c.IPs = addresses(s.NetworkSettings.Networks)
		c.Networks = slices.Sorted(maps.Keys(s.NetworkSettings.Networks))
		c.NetworkIDs = map[string]string{}
		for name, ep := range s.NetworkSettings.Networks {
			if ep != nil && ep.NetworkID != "" {
				c.NetworkIDs[name] = ep.NetworkID
			}
		}
	}
	for _, m := range s.Mounts {
		c.Mounts = append(c.Mounts, plan.Mount{Volume: m.Name, Source: m.Source, Target: m.Destination, RW: m.RW})
	}
	for _, p := range s.Ports {
		c.Ports = append(c.Ports, plan.Port{HostIP: p.IP, Host: p.PublicPort, Target: p.PrivatePort, Protocol: p.Type})
	}
	sortPorts(c.Ports)
	fromLabels(&c)
	return c
}

// canonicalName is a container's own name: a listing also has those that links
// give it, which have two parts.
func canonicalName(names []string) string {
	for _, n := range names {
		n = strings.TrimPrefix(n, "/")
		if !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

var exitStatus = regexp.MustCompile(`^(?:Exited|Restarting) \((-?\d+)\)`)

// parseStatus reads an engine's "Up 3 seconds (healthy)" or "Exited (3) 5
// minutes ago".
func parseStatus(status string) (plan.Health, int) {
	if m := exitStatus.FindStringSubmatch(status); m != nil {
		code, err := strconv.Atoi(m[1])
		if err != nil {
			return "", 0
		}
		return "", code
	}
	switch {
	case strings.HasSuffix(status, "(healthy)"):
		return plan.Healthy, 0
	case strings.HasSuffix(status, "(unhealthy)"):
		return plan.Unhealthy, 0
	case strings.HasSuffix(status, "(health: starting)"):
		return plan.Starting, 0
	}
	return "", 0
}

func addresses(networks map[string]*network.EndpointSettings) map[string]string {
	ips := map[string]string{}
	for name, ep := range networks {
		if ep != nil && ep.IPAddress != "" {
			ips[name] = ep.IPAddress
		} else if ep != nil && ep.GlobalIPv6Address != "" {
			ips[name] = ep.GlobalIPv6Address
		}
	}
	return ips
}

func sortPorts(ports []plan.Port) {
	slices.SortFunc(ports, func(a, b plan.Port) int {
		return strings.Compare(portKey(a), portKey(b))
	})
}

func portKey(p plan.Port) string {
	return fmt.Sprintf("%05d/%s %05d %s", p.Target, p.Protocol, p.Host, p.HostIP)
}

// Inspect implements deploy.Driver. It takes one call. Status is made up of the
// state, the health and the exit code: the engine has words of its own only in
// listings.
func (e *Engine) Inspect(ctx context.Context, id string) (plan.Container, error) {
	var c plan.Container
	err := e.call(ctx, "inspect container "+id, func(cl *client.Client) error {
		r, err := cl.ContainerInspect(ctx, id)
		if err != nil {
			return err
		}
		c = fromInspect(r)
		return nil
	})
	return c, err
}

func fromInspect(r container.InspectResponse) plan.Container {
	c := plan.Container{}
	if r.ContainerJSONBase != nil {
		c.ID, c.ImageID = r.ID, r.Image
		c.Name = strings.TrimPrefix(r.Name, "/")
		c.Command = strings.Join(append([]string{r.Path}, r.Args...), " ")
		c.Created, _ = time.Parse(time.RFC3339Nano, r.Created)
		stateOf(&c, r.State)
	}
	if r.Config != nil {
		c.Image, c.Labels, c.TTY = r.Config.Image, r.Config.Labels, r.Config.Tty
		if r.Config.Healthcheck != nil {
			c.Probe = r.Config.Healthcheck.Test
		}
	}
	if r.NetworkSettings != nil {
		c.IPs = addresses(r.NetworkSettings.Networks)
		c.Ports = boundPorts(r.NetworkSettings.Ports)
	}
	fromLabels(&c)
	return c
}

func stateOf(c *plan.Container, s *container.State) {
	if s == nil {
		return
	}
	c.State, c.ExitCode = plan.State(s.Status), s.ExitCode
	c.Status = string(s.Status)
	if s.Health != nil && s.Health.Status != container.NoHealthcheck {
		c.Health = plan.Health(s.Health.Status)
		c.Status += " (" + string(s.Health.Status) + ")"
		if n := len(s.Health.Log); n > 0 && s.Health.Log[n-1] != nil && s.Health.Log[n-1].ExitCode != 0 {
			c.Check = &plan.Check{ExitCode: s.Health.Log[n-1].ExitCode, Output: s.Health.Log[n-1].Output}
		}
	}
	if c.State == plan.Exited {
		c.Health = ""
		c.Status = fmt.Sprintf("exited (%d)", s.ExitCode)
	}
}

func boundPorts(m nat.PortMap) []plan.Port {
	var ports []plan.Port
	for port, bindings := range m {
		target := uint16(port.Int())
		if len(bindings) == 0 {
			ports = append(ports, plan.Port{Target: target, Protocol: port.Proto()})
		}
		for _, b := range bindings {
			host, _ := strconv.ParseUint(b.HostPort, 10, 16)
			ports = append(ports, plan.Port{HostIP: b.HostIP, Host: uint16(host), Target: target, Protocol: port.Proto()})
		}
	}
	sortPorts(ports)
	return ports
}
