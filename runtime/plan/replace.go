package plan

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// replace plans a container that takes the place of another one. The old one
// is there until the new one is ready, so that it can serve on, or go on, where
// the new one fails.
func (u *up) replace(s types.ServiceConfig, sl *slot) {
	u.leftovers(sl)
	name := ContainerName(u.want, s, sl.number)
	step := Step{Service: s.Name, Number: sl.number, Name: name, Cause: sl.cause}
	old := Step{Service: s.Name, Number: sl.number, Name: sl.old.Name, Target: sl.old.ID, Cause: sl.cause}
	retire := func(op Op, needs ...*node) *node {
		old.Op = op
		return u.graph.add(old, needs...)
	}
	if sl.how == removeFirst {
		if sl.old.running() {
			sl.stop = retire(Stop, u.images[ImageOf(u.want, s)])
		}
		sl.remove = retire(Remove, sl.stop)
		u.uses(s, sl)
		sl.create = u.create(s, sl, step, sl.remove)
		if !u.opts.NoStart {
			sl.start = u.startStep(s, sl, step)
			u.waits(s, sl, step)
		}
		return
	}
	if u.taken[name] {
		step.Name = u.temporaryName(sl.old.ID, name)
	}
	sl.create = u.create(s, sl, step)
	if sl.old.running() && sl.how == stopFirst {
		sl.stop = retire(Stop, u.images[ImageOf(u.want, s)])
		sl.stopsAfter = u.startNeeds(s)
		if len(containersOf(s)) == 0 && len(s.Links) == 0 {
			// What can't be created is found before anything stops.
			sl.stop.after(sl.create)
		}
	}
	done := sl.create
	if !u.opts.NoStart {
		sl.start = u.startStep(s, sl, step)
		sl.start.after(sl.stop)
		done = u.waits(s, sl, step)
	}
	if sl.old.running() && sl.how == startFirst {
		sl.stop = retire(Stop, done)
	}
	sl.remove = retire(Remove, sl.stop, done)
	if u.opts.RenewAnonVolumes {
		for _, m := range anonymous(sl.old) {
			u.graph.forget(m, *sl.old, sl.remove)
		}
	}
	if step.Name != name {
		step.Op, step.Name, step.Cause = Rename, name, ""
		sl.rename = u.graph.add(step, sl.remove)
		sl.rename.of = sl.create
	}
}

// leftovers plans the end of what an interrupted update has left: once the
// container that stays is ready, or at once if it is replaced as well.
func (u *up) leftovers(sl *slot) {
	for _, c := range sl.leftovers {
		step := Step{
			Service: c.Service, Number: c.Number, Name: c.Name, Target: c.ID, Cause: "left over from an interrupted update",
		}
		if sl.cause == "" {
			step.Cause += ": " + sl.old.Name + " is there in its place"
		}
		left := &slot{service: c.Service, number: c.Number, old: c, left: true}
		if c.running() {
			step.Op = Stop
			left.stop = u.graph.add(step, sl.done())
		}
		step.Op = Remove
		left.remove = u.graph.add(step, left.stop, sl.done())
		sl.cleared = append(sl.cleared, left)
		u.frees(c, left.remove)
		sl.rename.afterIf(left.remove)
	}
}

func (n *node) afterIf(needs ...*node) {
	if n != nil {
		n.after(needs...)
	}
}

// restart stops a container and starts it again, because something that it
// depends on is replaced.
func (u *up) restart(s types.ServiceConfig, sl *slot, step Step) {
	step.Cause = sl.restart
	if sl.old.running() {
		step.Op = Stop
		sl.stop = u.graph.add(step)
		for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
			if !s.DependsOn[dep].Restart {
				continue
			}
			for _, o := range u.slots[dep] {
				if done := o.done(); o.how == startFirst && done != nil {
					sl.stopsAfter = append(sl.stopsAfter, done)
				}
			}
		}
	}
	sl.start = u.startStep(s, sl, step)
}

// stopOrder has what stops wait for those that depend on it and stop as well,
// once links are in order: both are about steps of several services.
// What is replaced start first serves on, so that nobody has to be gone before.
func (u *up) stopOrder() {
	u.linkOrder()
	dependents := u.dependents()
	for _, name := range u.order {
		for _, sl := range u.slots[name] {
			if sl.stop == nil || sl.how == startFirst && sl.cause != "" && !sl.gone {
				continue
			}
			for _, d := range dependents[name] {
				for _, o := range u.slots[d] {
					sl.stop.after(o.stop)
				}
			}
		}
	}
	// Nor does anything stop before what its successor waits for is there, but
	// for what can't be there before this stops.
	for _, name := range u.order {
		for _, sl := range u.slots[name] {
			for _, n := range sl.stopsAfter {
				if !n.waitsFor(sl.stop, u.nextMark()) {
					sl.stop.after(n)
				}
			}
		}
	}
}

// dependents lists, for each service, those that depend on it.
func (u *up) dependents() map[string][]string {
	out := map[string][]string{}
	for _, name := range u.order {
		for dep := range u.want.Services[name].DependsOn {
			out[dep] = append(out[dep], name)
		}
	}
	return out
}

// FinalName is the name that a container has in the end: one that takes the
// place of another has that one's id before it until then.
func FinalName(name string) string {
	if _, final, ok := cutTemporary(name); ok {
		return final
	}
	return name
}

// cutTemporary takes a name apart that a container has only until it has taken
// the place of another one, whose id it begins with.
func cutTemporary(name string) (id, final string, ok bool) {
	id, final, ok = strings.Cut(name, "_")
	return id, final, ok && temporary.MatchString(id)
}

var temporary = regexp.MustCompile(`^[0-9a-f]{12}$`)

func shortID(id string) string { return id[:min(12, len(id))] }
