package plan

import (
	"fmt"

	"github.com/compose-spec/compose-go/v2/types"
)

// claims lists what only one running container can have, of what a service's
// container is to have: host ports and fixed addresses.
func (u *up) claims(s types.ServiceConfig) []string {
	var out []string
	for _, p := range s.Ports {
		out = append(out, hostPort(p.Published, p.Protocol))
	}
	for key, n := range s.Networks {
		if n != nil && n.Ipv4Address != "" {
			out = append(out, u.want.Networks[key].Name+" "+n.Ipv4Address)
		}
	}
	return out
}

// holds lists the same of a container that is there.
func (c *Container) holds() []string {
	var out []string
	if !c.running() {
		return nil
	}
	for _, p := range c.Ports {
		if p.Host != 0 {
			out = append(out, hostPort(fmt.Sprint(p.Host), p.Protocol))
		}
	}
	for network, address := range c.IPs {
		out = append(out, network+" "+address)
	}
	return out
}

func hostPort(port, protocol string) string {
	if protocol == "" {
		protocol = "tcp"
	}
	return port + "/" + protocol
}

// wantedElsewhere reports whether a service is to have something that another
// one's container holds.
func (u *up) wantedElsewhere(service string, c *Container) bool {
	for _, what := range c.holds() {
		for _, by := range u.claimed[what] {
			if by != service {
				return true
			}
		}
	}
	return false
}

// makeRoom has what is new wait for those that go, or are replaced, and have
// its name, a port of its, or its address until then.
func (u *up) makeRoom() {
	names, held := map[string]*slot{}, map[string][]*slot{}
	all := u.orphans
	for _, name := range u.order {
		all = append(all, u.slots[name]...)
	}
	for _, sl := range all {
		if sl.old == nil || sl.remove == nil {
			continue
		}
		names[sl.old.Name] = sl
		for _, what := range sl.old.holds() {
			held[what] = append(held[what], sl)
		}
	}
	for _, name := range u.order {
		claims := u.claims(u.want.Services[name])
		for _, sl := range u.slots[name] {
			if sl.create == nil {
				continue
			}
			if o := names[sl.create.step.Name]; o != nil && o != sl {
				sl.create.after(o.remove)
			}
			if sl.rename != nil {
				if o := names[sl.rename.step.Name]; o != nil && o != sl {
					sl.rename.after(o.remove) // it gives the name up for another one, or goes
				}
			}
			for _, what := range claims {
				for _, o := range held[what] {
					if o.service != name {
						sl.start.afterIf(o.stop)
					}
				}
			}
		}
	}
}
