package plan

import (
	"maps"
	"slices"
)

// noReturn has what can't be taken back wait for all that may still fail: a
// container that is replaced, or goes, is there until everything new is ready.
// So an up that fails in the middle can leave the whole system as it was, and
// not one half of it new and the other old.
//
// What is new may itself have to wait for something that goes: the next replica
// of a service, what takes over a host port, what uses a network that is made
// anew. Such a gate waits for what is new and behind no gate; if it waited for
// more, replicas would be replaced one after the other through all services.
func (u *up) noReturn() {
	slots := slices.Clone(u.orphans)
	for _, name := range u.order {
		slots = append(slots, u.slots[name]...)
	}
	var coming []*node
	for _, sl := range slots {
		if sl.create != nil || sl.start != nil || sl.ready != nil || sl.completed != nil {
			coming = append(coming, sl.done())
		}
	}
	needed := ancestors(coming)
	var gates, last []*node
	for _, sl := range slots {
		for _, n := range sl.leaves() {
			if !needed[n] {
				last = append(last, n)
				break // the next one waits for it
			}
			gates = append(gates, n)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(u.unmake)) {
		gates = append(gates, u.unmake[name])
	}
	behind := u.graph.behind(gates)
	free := slices.DeleteFunc(slices.Clone(coming), func(n *node) bool { return behind[n] })
	await(last, coming, needed)
	await(gates, free, ancestors(free))
	// In the end dependents go first, as always.
	atEnd := map[*node]bool{}
	for _, n := range last {
		atEnd[n] = true
	}
	for name, dependents := range u.dependents() {
		for _, sl := range u.slots[name] {
			for _, d := range dependents {
				for _, o := range u.slots[d] {
					if atEnd[sl.stop] && atEnd[o.stop] {
						sl.stop.after(o.stop)
					}
				}
			}
		}
	}
}

// await has steps come after others, but for those that yet others of these
// wait for anyway.
func await(steps, others []*node, needed map[*node]bool) {
	others = slices.DeleteFunc(slices.Clone(others), func(n *node) bool { return needed[n] })
	for _, n := range steps {
		n.after(others...)
	}
}

// leaves gives the steps that take away what was there, in their order: where
// nothing serves meanwhile, a stop can be taken back by starting it again.
func (s *slot) leaves() []*node {
	stays := !s.gone && (s.old == nil || s.cause == "")
	switch {
	case stays, s.remove == nil:
		return nil
	case !s.gone && s.how == removeFirst:
		switch {
		case !s.old.serves():
			return nil
		case s.stop != nil:
			return []*node{s.stop}
		}
		return []*node{s.remove}
	case s.stop == nil, !s.gone && s.how == stopFirst:
		return []*node{s.remove}
	}
	return []*node{s.stop, s.remove}
}

// ancestors gives all that some steps wait for.
func ancestors(of []*node) map[*node]bool {
	out := map[*node]bool{}
	var visit func(n *node)
	visit = func(n *node) {
		for _, m := range n.needs {
			if !out[m] {
				out[m] = true
				visit(m)
			}
		}
	}
	for _, n := range of {
		visit(n)
	}
	return out
}

// behind gives some steps and all that wait for them.
func (g graph) behind(some []*node) map[*node]bool {
	dependents := make([][]*node, len(g))
	for _, n := range g {
		for _, m := range n.needs {
			dependents[m.index] = append(dependents[m.index], n)
		}
	}
	out := map[*node]bool{}
	var visit func(n *node)
	visit = func(n *node) {
		if !out[n] {
			out[n] = true
			for _, d := range dependents[n.index] {
				visit(d)
			}
		}
	}
	for _, n := range some {
		visit(n)
	}
	return out
}
