package plan

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// slot is one container of a service, by its number, and what becomes of it.
type slot struct {
	service   string
	number    int
	old       *Container   // nil: there is none
	leftovers []*Container // others of that number
	cause     string       // why it is replaced or created; empty: it stays
	restart   string       // why it is stopped and started again
	gone      bool         // it goes, and nothing takes its place
	left      bool         // it is what an interrupted update has left beside another one
	how       how          // it is replaced

	stop, remove, create, start, ready, completed, rename *node
	cleared                                               []*slot // leftovers, once it is planned how they go
	stopsAfter                                            []*node // what should be there before it stops, if that can be
}

// done is the step after which the container serves; nil: it does so now.
func (s *slot) done() *node {
	for _, n := range []*node{s.ready, s.completed, s.start, s.create} {
		if n != nil {
			return n
		}
	}
	return nil
}

// decide compares every container with what is wanted.
func (u *up) decide() {
	for _, name := range u.order {
		s := u.want.Services[name]
		scale := u.countOf(s)
		byNumber := map[int][]*Container{}
		for _, c := range u.existing[name] {
			byNumber[c.Number] = append(byNumber[c.Number], c)
		}
		for _, n := range slices.Sorted(maps.Keys(byNumber)) {
			if n >= 1 && n <= scale {
				continue
			}
			for _, c := range byNumber[n] {
				cause := fmt.Sprintf("scaled %d → %d", len(byNumber), scale)
				u.slots[name] = append(u.slots[name], &slot{service: name, number: n, old: c, gone: true, cause: cause})
			}
		}
		for n := 1; n <= scale; n++ {
			sl := &slot{service: name, number: n}
			if all := byNumber[n]; len(all) > 0 {
				u.best(s, all)
				sl.old, sl.leftovers = all[0], all[1:]
			}
			sl.cause = u.causeOf(s, sl.old)
			u.slots[name] = append(u.slots[name], sl)
		}
	}
	for _, service := range slices.Sorted(maps.Keys(u.existing)) {
		if _, wanted := u.want.Services[service]; wanted || u.disabled(service) {
			continue
		}
		for _, c := range u.existing[service] {
			cause := u.halfReplaced(c)
			if cause == "" {
				u.plan.Orphans = append(u.plan.Orphans, *c)
				if u.opts.RemoveOrphans {
					cause = "orphan: no service of that name any more"
				}
			}
			if cause != "" {
				u.orphans = append(u.orphans, &slot{service: service, number: c.Number, old: c, gone: true, cause: cause})
			}
		}
	}
}

// halfReplaced says why an orphan goes though nobody has asked for that now: an
// interrupted update had begun to hand its name over, or had made it to take the
// name of another one, which is wanted again. Who does so has the other's id
// before its name.
func (u *up) halfReplaced(orphan *Container) string {
	id, _, taking := cutTemporary(orphan.Name)
	for i := range u.have.Containers {
		c := &u.have.Containers[i]
		if _, wanted := u.want.Services[c.Service]; !wanted || c.OneOff {
			continue
		}
		if taking && id == shortID(c.ID) {
			return "left over from an interrupted update: it was to replace " + c.Name
		}
		if of, _, ok := cutTemporary(c.Name); ok && of == shortID(orphan.ID) {
			return "left over from an interrupted update: " + c.Name + " is there in its place"
		}
	}
	return ""
}

// best puts the container first that is to stay, of several that an
// interrupted update has left: the one that is as wanted and runs, or else one
// that is well.
func (u *up) best(s types.ServiceConfig, cs []*Container) {
	rank := func(c *Container) (n int) {
		if c.State != Created {
			n += 1
		}
		if c.running() {
			n += 2
		}
		if c.running() && (c.Health == Healthy || c.Health == "") {
			n += 4
		}
		if c.running() && u.causeOf(s, c) == "" {
			n += 8
		}
		return n
	}
	slices.SortStableFunc(cs, func(a, b *Container) int {
		if ra, rb := rank(a), rank(b); ra != rb {
			return rb - ra
		}
		return b.Created.Compare(a.Created)
	})
}

// disabled reports whether a service is part of the file, though not of what
// is wanted now: its profile isn't active, or others were asked for.
func (u *up) disabled(service string) bool {
	_, ok := u.want.DisabledServices[service]
	return ok
}

// causeOf says why a container has to be made anew; empty: it can stay.
func (u *up) causeOf(s types.ServiceConfig, c *Container) string {
	switch {
	case c == nil:
		return "not there"
	case c.State == Dead || c.State == Removing:
		return "it is " + string(c.State)
	case c.State == Created:
		// Whoever made it may not have got as far as copying its secrets.
		return "it was created and never started"
	}
	if why := u.usesAnew(s, c); why != "" {
		return why
	}
	switch {
	case u.opts.NoRecreate:
		return ""
	case u.opts.ForceRecreate && u.forced(s.Name):
		return "asked for"
	case u.differs(s.Name, c):
		if was := c.Image; s.Image != "" && was != s.Image {
			return fmt.Sprintf("image changed: %s → %s", was, s.Image)
		}
		changes := c.Changes
		if was, is := FinalName(c.Name), ContainerName(u.want, s, c.Number); was != is {
			changes = append([]string{fmt.Sprintf("container_name changed: %s → %s", was, is)}, changes...)
		}
		if len(changes) > 0 {
			return strings.Join(changes, "; ")
		}
		return "configuration changed"
	}
	if why := u.cutOff(s, c); why != "" {
		return why
	}
	if id, ok := u.have.Images[ImageOf(u.want, s)]; ok && c.ImageID != "" && c.ImageID != id {
		return "image changed under the same tag"
	}
	if was, is := c.ContentHash, u.Contents[s.Name]; was != "" && is != "" && was != is {
		return "the content of a config or secret changed"
	}
	return ""
}

// cutOff says which of its networks a container isn't connected to, as somebody
// has disconnected it or removed the network. Such a container reaches nobody,
// or can't be started.
func (u *up) cutOff(s types.ServiceConfig, c *Container) string {
	if s.NetworkMode != "" {
		return ""
	}
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		name := u.want.Networks[key].Name
		id, known := c.NetworkIDs[name]
		switch {
		case !slices.Contains(c.Networks, name):
			return fmt.Sprintf("it isn't connected to network %s", name)
		case known && !slices.ContainsFunc(u.have.Networks, func(n Network) bool { return n.ID == id }):
			return fmt.Sprintf("the network %s that it was connected to was removed", name)
		}
	}
	return ""
}

// Differs reports whether a container's configuration isn't the wanted one. By
// Compose's digest it may differ in what has no effect on a container.
func (w Wanted) Differs(service string, c *Container) bool { return w.differs(service, c) }

func (w Wanted) differs(service string, c *Container) bool {
	if c.ConfigHash == w.Hashes[service] {
		return false
	}
	effect := w.Effects[service]
	return effect == "" || c.EffectHash != effect
}

// forced reports whether a service was asked to be made anew.
func (u *up) forced(service string) bool {
	return len(u.opts.Targets) == 0 || u.opts.RecreateDeps || slices.Contains(u.opts.Targets, service)
}

// usesAnew says which network or volume of a container is made anew.
func (u *up) usesAnew(s types.ServiceConfig, c *Container) string {
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		if why := u.anew[u.want.Networks[key].Name]; why != "" {
			return why
		}
	}
	for _, v := range s.Volumes {
		if why := u.anew[u.want.Volumes[v.Source].Name]; v.Type == types.VolumeTypeVolume && v.Source != "" && why != "" {
			return why
		}
	}
	for _, n := range c.Networks {
		if why := u.anew[n]; why != "" {
			return why
		}
	}
	for _, m := range c.Mounts {
		if why := u.anew[m.Volume]; m.Volume != "" && why != "" {
			return why
		}
	}
	return ""
}

// goingAway plans what goes with nothing in its place, dependents first.
func (u *up) goingAway() {
	going := u.orphanOrder()
	for _, name := range slices.Backward(u.order) {
		for _, sl := range u.slots[name] {
			if sl.gone {
				going = append(going, sl)
			}
		}
	}
	for _, sl := range going {
		step := Step{Op: Stop, Service: sl.service, Number: sl.number, Name: sl.old.Name, Target: sl.old.ID, Cause: sl.cause}
		if sl.old.running() {
			sl.stop = u.graph.add(step)
		}
		step.Op = Remove
		sl.remove = u.graph.add(step, sl.stop)
		u.frees(sl.old, sl.remove)
	}
	for i, sl := range u.orphans {
		for _, o := range u.orphans[:i] {
			if slices.ContainsFunc(o.old.DependsOn, func(d Dependency) bool { return d.Service == sl.service }) {
				sl.stop.afterIf(o.stop)
			}
		}
	}
}

// orphanOrder puts orphans in the order that their labels tell: dependents
// first.
func (u *up) orphanOrder() []*slot {
	var cs []Container
	bySlot := map[string]*slot{}
	for _, sl := range u.orphans {
		cs = append(cs, *sl.old)
		bySlot[sl.old.ID] = sl
	}
	u.orphans = nil
	for _, c := range dependentsFirst(cs) {
		u.orphans = append(u.orphans, bySlot[c.ID])
	}
	return slices.Clone(u.orphans)
}

// uses has a network or volume that is made anew wait for the end of a
// container that has it.
func (u *up) uses(s types.ServiceConfig, sl *slot) {
	u.frees(sl.old, sl.remove)
	for key := range s.Networks {
		u.unmake[u.want.Networks[key].Name].afterIf(sl.remove)
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume && v.Source != "" {
			u.unmake[u.want.Volumes[v.Source].Name].afterIf(sl.remove)
		}
	}
}

func (u *up) frees(c *Container, remove *node) {
	for _, n := range c.Networks {
		u.unmake[n].afterIf(remove)
	}
	for _, m := range c.Mounts {
		u.unmake[m.Volume].afterIf(remove)
	}
}

var anonymousName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// anonymous lists the volumes of a container that nobody has named.
func anonymous(c *Container) []Mount {
	var out []Mount
	for _, m := range c.Mounts {
		if anonymousName.MatchString(m.Volume) {
			out = append(out, m)
		}
	}
	return out
}
