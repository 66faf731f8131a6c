package plan

import (
	"slices"
	"strings"
)

// drainOrphans lets components that the file has no more work off what waits for
// them before they stop, once all that may send to them is as it will be. Those
// that something new waits for come first: the others wait for that as well.
func (u *up) drainOrphans() {
	slots := slices.Clone(u.orphans)
	var starts []*node
	for _, name := range u.order {
		for _, sl := range u.slots[name] {
			slots = append(slots, sl)
			if sl.start != nil {
				starts = append(starts, sl.start)
			}
		}
	}
	needed := ancestors(starts)
	var before, last []*slot
	for _, sl := range u.orphans {
		switch {
		case sl.stop == nil || !sl.old.component():
		case needed[sl.stop]:
			before = append(before, sl)
		default:
			last = append(last, sl)
		}
	}
	u.drainOf(before, slots)
	u.drainOf(last, slots)
}

// drainOf has some of the slots stop after a drain, and that after all that
// happens to the others, but for what waits for such a stop anyway.
func (u *up) drainOf(leaving, slots []*slot) {
	if len(leaving) == 0 {
		return
	}
	var names []string
	var stops []*node
	for _, sl := range leaving {
		names = append(names, sl.old.Labels[labelComponent])
		stops = append(stops, sl.stop)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	behind := u.graph.behind(stops)
	drain := u.graph.add(Step{
		Op: Drain, Name: "message bus", Components: names, Optional: true, Cause: "what waits for " + strings.Join(names, ", ") + ": orphan",
	})
	for _, sl := range slots {
		for _, n := range []*node{sl.stop, sl.start, sl.ready, sl.completed} {
			if n != nil && !behind[n] {
				drain.after(n)
			}
		}
	}
	for _, stop := range stops {
		stop.after(drain)
	}
}
