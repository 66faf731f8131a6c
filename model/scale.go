package model

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"woodwork.dev/ww/runtime/scale"
	"woodwork.dev/ww/syntax"
)

// MaxInstances is how many instances of a component can share its messages on a
// bus with a server: so many partitions has a queue there.
const MaxInstances = 16

// scaleKeys are the settings of `scale`.
var scaleKeys = []key{
	{name: "min", is: count},
	{name: "max", is: count},
	{name: "queue_depth", is: count},
	{name: "cpu", is: decimal},
	{name: "down_after", is: duration},
	{name: "cool_down", is: duration},
}

// scaling takes from the settings how many instances of a component there are,
// and how that follows the load. `workers` and `max_workers` are short for the
// limits of `scale`. All components have their deployment.
func (r *resolver) scaling(c *Component) {
	block, workers, most, replicas := c.Settings.Field("scale"), c.Settings.Field("workers"), c.Settings.Field("max_workers"), c.Settings.Field("replicas")
	m, isBlock := (*Map)(nil), false
	if block != nil {
		m, isBlock = block.Value.(*Map)
	}
	fields := []*Field{block, workers, most}
	if at := slices.IndexFunc(fields, func(f *Field) bool { return f != nil }); at < 0 {
		if n := wholeNumber(replicas); c.Kind != "container" && c.Kind != "input" && r.tooMany(c, n) {
			r.errorf(replicas.At, "too-many", partitionsRemedy, "%q can't have %d instances: %d share the messages of a component at the most", c.Name, n, MaxInstances)
		}
		return
	} else if c.Kind == "input" {
		r.errorf(fields[at].Span, "no-queue", "scale what it sends to", "%q takes no messages from the bus: there is nothing to share among instances of it", c.Name)
		return
	} else if replicas != nil {
		r.errorf(replicas.Span, "two-numbers", fmt.Sprintf("keep one of them: %q says how many there are without containers as well", fields[at].Key),
			"%q has both %q and %q", c.Name, "replicas", fields[at].Key).
			Related = []syntax.Related{{Span: fields[at].Span, Message: "the other one"}}
		return
	}
	if block != nil && !isBlock {
		return // it has been said that it has to be one
	}
	ok := r.plain(workers) && r.plain(most)
	for _, f := range []*Field{workers, most} {
		ok = ok && (f == nil || fits(f.Value, count)) // else it has been said
	}
	p := scale.Policy{Concurrency: wholeNumber(c.Settings.Field("concurrency"))}
	if m != nil {
		ok = r.scaleBlock(c, m, &p) && ok
	}
	for _, two := range []struct {
		short *Field
		key   string
		to    *int
	}{{workers, "min", &p.Min}, {most, "max", &p.Max}} {
		if two.short == nil {
			continue
		}
		if m != nil && m.Field(two.key) != nil {
			f := m.Field(two.key)
			r.errorf(two.short.Span, "two-numbers", "keep one of them", "%q is the same as %q of scale, and %q has both", two.short.Key, two.key, c.Name).
				Related = []syntax.Related{{Span: f.Span, Message: "the other one"}}
			ok = false
			continue
		}
		*two.to = wholeNumber(two.short)
	}
	if !ok {
		return
	}
	p.Min = max(p.Min, 1)
	if m == nil && most == nil {
		if c.Workers = p.Min; r.tooMany(c, p.Min) {
			r.errorf(workers.At, "too-many", partitionsRemedy, "%q can't have %d workers: %d share the messages of a component at the most", c.Name, p.Min, MaxInstances)
		}
		return
	}
	at := cmp.Or(most, block, workers)
	if m != nil && m.Field("max") != nil {
		at = m.Field("max")
	}
	switch {
	case p.Max == 0 && m.Field("max") != nil: // it has been said that it is no number
		return
	case p.Max == 0:
		r.errorf(block.Span, "missing-key", "add `max: …`, the most that there may be", "scale of %q needs %q", c.Name, "max")
		return
	case p.Max < p.Min:
		r.errorf(at.At, "wrong-value", fmt.Sprintf("write %d or more, or a lower min", p.Min), "%q of %q is less than the %d that there are at the least", at.Key, c.Name, p.Min)
		return
	case r.tooMany(c, p.Max):
		r.errorf(at.At, "too-many", partitionsRemedy, "%q can't have %d instances: %d share the messages of a component at the most", c.Name, p.Max, MaxInstances)
		return
	}
	if p.Queue == 0 && p.CPU == 0 {
		p.Queue = scale.DefaultQueue
	}
	c.Workers, c.Scale = p.Min, &p
}

var partitionsRemedy = fmt.Sprintf("write %d or less; a bus in memory has no limit", MaxInstances)

// tooMany reports whether so many instances can't share a queue of the bus.
func (r *resolver) tooMany(c *Component, n int) bool {
	inMemory := c.Deployment != nil && c.Deployment.Kind != "docker"
	if b := r.project.Bus; b != nil {
		inMemory = b.Kind == "memory"
	}
	return n > MaxInstances && !inMemory
}

// scaleBlock reads `scale`, and reports whether it is right.
func (r *resolver) scaleBlock(c *Component, m *Map, p *scale.Policy) bool {
	ok := true
	before := len(r.diags)
	var names []string
	for _, k := range scaleKeys {
		names = append(names, k.name)
	}
	for i := range m.Fields {
		f := &m.Fields[i]
		if !slices.Contains(names, f.Key) {
			r.errorf(f.Span, "unknown-key", didYouMean(f.Key, names, fmt.Sprintf("scale has %v", names)), "scale of %q has no setting %q", c.Name, f.Key)
			continue
		}
		ok = r.plain(f) && ok
	}
	r.checkKeys(m, scaleKeys, false, fmt.Sprintf("scale of %q", c.Name))
	p.Min, p.Max, p.Queue = wholeNumber(m.Field("min")), wholeNumber(m.Field("max")), wholeNumber(m.Field("queue_depth"))
	if f := m.Field("cpu"); f != nil {
		var err error
		if p.CPU, err = strconv.ParseFloat(m.Text("cpu"), 64); err == nil && !(p.CPU > 0 && p.CPU <= 100_000) {
			r.errorf(f.At, "wrong-value", "write how much of a processor an instance should use, in percent, such as 80", "%q of scale of %q can't be %s", "cpu", c.Name, m.Text("cpu"))
		}
	}
	if cpus, err := strconv.ParseFloat(c.Settings.Map("resources").Text("cpus"), 64); err == nil && cpus > 0 {
		p.CPUs = cpus
	}
	p.DownAfter, p.CoolDown = durationOr(m, "down_after", scale.DefaultDownAfter), durationOr(m, "cool_down", scale.DefaultCoolDown)
	return ok && len(r.diags) == before
}

// plain reports whether a setting is no variable: how many there are is checked,
// and written into labels, before any is looked up.
func (r *resolver) plain(f *Field) bool {
	if f == nil {
		return true
	}
	_, variable := f.Value.(Env)
	if variable {
		r.errorf(f.At, "wrong-value", "write the value out", "%q can't be a variable", f.Key)
	}
	return !variable
}

// wholeNumber is a setting's value; 0 where there is none, or it isn't one.
func wholeNumber(f *Field) int {
	if f == nil {
		return 0
	}
	s, _ := Scalar(f.Value)
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

func durationOr(m *Map, key string, def time.Duration) time.Duration {
	if v, ok := m.Get(key); ok {
		if d, err := Duration(v); err == nil {
			return d
		}
	}
	return def
}
