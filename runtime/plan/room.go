package plan

import (
	"fmt"
	"slices"

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

// writes lists the data that a service's container is to write to, and wrote
// the same of one that is there: two services may share it, but one that takes
// the place of another must not write beside it.
func (u *up) writes(s types.ServiceConfig) []string {
	var out []string
	for _, v := range s.Volumes {
		switch {
		case v.ReadOnly || v.Source == "":
		case v.Type == types.VolumeTypeVolume:
			out = append(out, "volume "+u.want.Volumes[v.Source].Name)
		case v.Type == types.VolumeTypeBind:
			out = append(out, "path "+v.Source)
		}
	}
	return out
}

func (c *Container) wrote() []string {
	var out []string
	for _, m := range c.Mounts {
		switch {
		case !c.running() || !m.RW:
		case m.Volume != "":
			out = append(out, "volume "+m.Volume)
		case m.Source != "":
			out = append(out, "path "+m.Source)
		}
	}
	return out
}

// holder is a container that goes, or is replaced, and has things until then.
type holder struct {
	*slot
	container *Container
	remove    *node
}

// makeRoom has what is new wait for those that go, or are replaced, and have
// its name, a port of its, its address or its data until then. It fails where
// what has its name stays.
func (u *up) makeRoom() error {
	names, held := map[string]holder{}, map[string][]*slot{}
	all := slices.Clone(u.orphans)
	for _, name := range u.order {
		all = append(all, u.slots[name]...)
	}
	for _, sl := range all {
		for _, left := range sl.cleared {
			names[left.old.Name] = holder{sl, left.old, left.remove}
			for _, what := range left.old.holds() {
				held[what] = append(held[what], left)
			}
		}
		if sl.old == nil || sl.remove == nil {
			continue
		}
		names[sl.old.Name] = holder{sl, sl.old, sl.remove}
		has := sl.old.holds()
		if sl.gone {
			has = append(has, sl.old.wrote()...)
		}
		for _, what := range has {
			held[what] = append(held[what], sl)
		}
	}
	for _, name := range u.order {
		s := u.want.Services[name]
		claims := append(u.claims(s), u.writes(s)...)
		for _, sl := range u.slots[name] {
			if err := u.takeName(s, sl, names); err != nil {
				return err
			}
			if sl.start == nil {
				continue
			}
			for _, what := range claims {
				for _, o := range held[what] {
					if waits := o.left && o.stop.waitsFor(sl.start, u.nextMark()); o.service != name && !waits {
						u.stopsFor(o, s, sl)
					}
				}
			}
		}
	}
	return nil
}

// takeName has a container that is new get its name once the one that has it is
// gone, and have another one until then: so that one can come back for as long
// as the new one may fail.
func (u *up) takeName(s types.ServiceConfig, sl *slot, names map[string]holder) error {
	if sl.create == nil && sl.rename == nil {
		return nil
	}
	name := ContainerName(u.want, s, sl.number)
	if !u.taken[name] || sl.old != nil && sl.old.Name == name {
		return nil
	}
	o, goes := names[name]
	switch {
	case !goes:
		return u.nameTaken(s, name)
	case sl.rename != nil:
		sl.rename.after(o.remove)
		return nil
	case sl.create.waitsFor(o.remove, u.nextMark()):
		return nil
	}
	until := u.temporaryName(o.container.ID, name)
	for _, n := range []*node{sl.create, sl.start, sl.ready, sl.completed} {
		if n != nil {
			n.step.Name = until
		}
	}
	rename := Step{Op: Rename, Service: s.Name, Number: sl.number, Name: name}
	sl.rename = u.graph.add(rename, sl.create, o.remove)
	sl.rename.of = sl.create
	if !o.gone {
		return nil
	}
	if sl.create.step.Replaces == "" && o.container.serves() {
		sl.create.step.Replaces = o.container.ID
	}
	u.stopsFor(o.slot, s, sl)
	return nil
}

// stopsFor has a container start once another one has stopped for it. Where that
// one goes, what can't be created is found before it stops.
func (u *up) stopsFor(o *slot, s types.ServiceConfig, sl *slot) {
	sl.start.afterIf(o.stop)
	if o.gone && o.stop != nil && sl.create != nil && !SharesContainers(s) && len(s.Links) == 0 && !sl.create.waitsFor(o.stop, u.nextMark()) {
		o.stop.after(sl.create)
	}
}

// temporaryName makes the name that a container has until it takes the place of
// another one. What an interrupted update has left may be called so.
func (u *up) temporaryName(id, name string) string {
	until := shortID(id) + "_" + name
	for at := 12; u.taken[until] && at+12 <= len(id); at += 12 {
		until = id[at:at+12] + "_" + name
	}
	return until
}

// NameTakenError is one of a container that has the name that another service's
// is to have, and that stays.
type NameTakenError struct {
	Service, Name string
	By            Container
	Orphan        bool // the file has no service of its any more
}

func (u *up) nameTaken(s types.ServiceConfig, name string) error {
	i := slices.IndexFunc(u.have.Containers, func(c Container) bool { return c.Name == name })
	by := u.have.Containers[i]
	_, wanted := u.want.Services[by.Service]
	return &NameTakenError{s.Name, name, by, !wanted && !u.disabled(by.Service) && !by.OneOff}
}

func (e *NameTakenError) Error() string {
	of := "of service " + e.By.Service
	switch {
	case e.By.OneOff:
		of = "of a `run` of service " + e.By.Service
	case e.Orphan:
		of += ", which the file has no more,"
	}
	return fmt.Sprintf("service %q: its container is to be called %s, and one %s has that name", e.Service, e.Name, of)
}

// Remedy says what to do about it.
func (e *NameTakenError) Remedy() string {
	switch {
	case e.By.OneOff:
		return "`docker rm -f " + e.Name + "` removes that one"
	case e.Orphan:
		return "`--remove-orphans` removes that one once the new one is ready"
	}
	return "bring both services up in one go, so that the one gives the name up for the other; or give them other names"
}
