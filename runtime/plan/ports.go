package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// PortError is one of host ports that more than one container would publish.
type PortError struct{ Clashes []PortClash }

// PortClash is a host port, and the services that publish it: one, with several
// replicas, or two.
type PortClash struct {
	Port     uint16
	Protocol string
	Services []string
	Replicas int // of the one
}

func (e *PortError) Error() string {
	var all []string
	for _, c := range e.Clashes {
		all = append(all, c.String())
	}
	return strings.Join(all, "; ")
}

func (c PortClash) String() string {
	if len(c.Services) == 1 {
		return fmt.Sprintf("service %q has %d containers, and only one of them can publish host port %d", c.Services[0], c.Replicas, c.Port)
	}
	return fmt.Sprintf("services %q and %q both publish host port %d/%s", c.Services[0], c.Services[1], c.Port, c.Protocol)
}

// Remedy says what to do about it.
func (e *PortError) Remedy() string {
	c := e.Clashes[0]
	if len(c.Services) == 1 {
		return fmt.Sprintf("publish a range, such as %d-%d, of which each takes one; or no host port, so that the engine picks one", c.Port, int(c.Port)+c.Replicas-1)
	}
	return "publish another port for one of them, or each on another address"
}

// clashes finds host ports that two containers of a project would have. A range
// is none: the engine looks for one in it that is free.
func clashes(p *types.Project) error {
	type binding struct {
		service string
		ip      string
	}
	taken := map[string][]binding{}
	var found []PortClash
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		if s.GetScale() == 0 || s.NetworkMode == "host" {
			continue
		}
		for _, port := range s.Ports {
			n, err := strconv.ParseUint(port.Published, 10, 16)
			if err != nil || n == 0 {
				continue
			}
			c := PortClash{Port: uint16(n), Protocol: cmp.Or(port.Protocol, "tcp")}
			key := port.Published + "/" + c.Protocol
			if r := s.GetScale(); r > 1 && !slices.ContainsFunc(taken[key], func(b binding) bool { return b.service == name }) {
				c.Services, c.Replicas = []string{name}, r
				found = append(found, c)
			}
			for _, b := range taken[key] {
				if b.service != name && sameAddress(b.ip, port.HostIP) {
					c.Services, c.Replicas = []string{b.service, name}, 0
					found = append(found, c)
					break
				}
			}
			taken[key] = append(taken[key], binding{name, port.HostIP})
		}
	}
	if len(found) > 0 {
		return &PortError{found}
	}
	return nil
}

// sameAddress reports whether a port of one address of this machine may be one of
// the other. No address is every one.
func sameAddress(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	switch {
	case errX != nil || errY != nil:
		return true
	case x.Is4() != y.Is4():
		return false
	}
	return x == y || x.IsUnspecified() || y.IsUnspecified()
}
