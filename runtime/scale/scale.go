// Package scale decides how many instances of a component there should be. It
// is pure: what is seen, and when, is handed in, and a decision with its reason
// comes out. Who looks at the bus and who starts and stops instances is none of
// its matter, so that a year of load can be tried in a second.
//
// Each observation is turned into two numbers.
//
// Wanted is how many instances would be enough now. Messages that wait, divided
// by how many one instance may have waiting, is one answer; the load of the
// processors, in proportion to the one that is wanted, is another; the greater
// one counts. Within 10 % of what is wanted nothing is (the tolerance).
//
// Needed is how few would do with ease: twice as many of them as messages and
// load call for. A queue that is empty says nothing about how much work comes
// in: those that keep it empty may all be needed. So needed also looks at the
// work that is under way, and at the rate at which messages are handled: while
// messages waited all the time, each instance did what it can, and the rate of
// that time is what one instance is known to be able to do.
//
// There are more instances at once when two observations in a row want them: a
// single one may be a moment's noise. There are as many then as the lower of the
// two wants. After any change both are looked at anew.
//
// There are fewer when all observations for DownAfter have needed fewer, and
// nothing has changed for CoolDown. There are as many then as the greatest of
// those needed: the load's peaks, not its pauses, decide. So a component never
// goes up, down and up within one CoolDown, and changes no more often than the
// load itself does.
package scale

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// Policy is what the author of a system wants of a component.
type Policy struct {
	Min int
	Max int

	// Queue is how many messages may wait for each instance; they have no say if 0.
	Queue int
	// CPU is the load that an instance should have, in percent of one processor,
	// or of CPUs where that isn't 0; it has no say if 0.
	CPU  float64
	CPUs float64
	// Concurrency is how many messages an instance handles at the same time.
	Concurrency int

	DownAfter time.Duration // fewer must have been needed for so long
	CoolDown  time.Duration // and nothing changed for so long
}

// The defaults of a policy.
const (
	DefaultQueue       = 10
	DefaultConcurrency = 8
	DefaultDownAfter   = time.Minute
	DefaultCoolDown    = 30 * time.Second
)

// Label is on the containers of components that are scaled: their policy.
const Label = "dev.woodwork.scale"

// wire is a policy as a label has it.
type wire struct {
	Min         int     `json:"min"`
	Max         int     `json:"max"`
	Queue       int     `json:"queue_depth,omitempty"`
	CPU         float64 `json:"cpu,omitempty"`
	CPUs        float64 `json:"cpus,omitempty"`
	Concurrency int     `json:"concurrency,omitempty"`
	DownAfter   string  `json:"down_after,omitempty"`
	CoolDown    string  `json:"cool_down,omitempty"`
}

// Parse reads a policy from a label.
func Parse(label string) (Policy, error) {
	var w wire
	d := json.NewDecoder(strings.NewReader(label))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return Policy{}, fmt.Errorf("label %s: %w", Label, err)
	}
	p := Policy{
		Min: w.Min, Max: w.Max, Queue: w.Queue, CPU: w.CPU, CPUs: w.CPUs,
		Concurrency: w.Concurrency, DownAfter: DefaultDownAfter, CoolDown: DefaultCoolDown,
	}
	for _, d := range []struct {
		text string
		to   *time.Duration
	}{{w.DownAfter, &p.DownAfter}, {w.CoolDown, &p.CoolDown}} {
		if d.text == "" {
			continue
		}
		var err error
		if *d.to, err = time.ParseDuration(d.text); err != nil {
			return Policy{}, fmt.Errorf("label %s: %w", Label, err)
		}
	}
	if p.Min < 1 || p.Max < p.Min || p.Queue < 0 || p.CPU < 0 || p.CPUs < 0 || p.DownAfter < 0 || p.CoolDown < 0 {
		return Policy{}, fmt.Errorf("label %s: %s is no policy: min is 1 or more, max is min or more, and nothing is negative", Label, label)
	}
	return p, nil
}

// Label is the policy as Parse reads it.
func (p Policy) Label() string {
	b, err := json.Marshal(wire{p.Min, p.Max, p.Queue, p.CPU, p.CPUs, p.Concurrency, p.DownAfter.String(), p.CoolDown.String()})
	if err != nil { // infinite numbers can't be written, and no file has them
		return ""
	}
	return string(b)
}

// Observation is what is seen of a component at one moment.
type Observation struct {
	Time      time.Time
	Instances int   // that there are, ready or not
	Depth     int64 // messages that are not finished, those in flight included; without those that wait for a retry
	InFlight  int64 // messages that instances have
	Handled   int64 // messages that were handled since the bus began
	// CPU is the load of an instance on average, in percent of a processor; below
	// 0 if it isn't known.
	CPU float64
}

// Decision is how many instances there are to be.
type Decision struct {
	From, To int
	Reason   string // why; empty if nothing changes
}

// Changes reports whether there is something to do.
func (d Decision) Changes() bool { return d.From != d.To }

const (
	tolerance = 0.1 // of what is wanted, within which all is well
	ease      = 0.5 // of what is wanted: what those who stay may get when others go
	busy      = 0.7 // the share of time that those who stay may work then
	agree     = 2   // observations that have to want more, one after the other
)

// Controller scales one component. It isn't for several goroutines.
type Controller struct {
	policy Policy

	before  Observation
	seen    bool      // there was one before
	changed time.Time // when the number changed last, or was first seen
	last    int       // instances in the observation before
	more    []want    // the last observations that wanted more, without a break
	needed  []sample  // since the last change, of DownAfter; their needs fall
	since   time.Time // of the first observation since the last change
	can     float64   // messages a second that an instance is known to be able to handle; 0: not known
	full    int       // observations since the last change in which messages waited, without a break
}

type want struct {
	n      int
	reason string
}

type sample struct {
	at     time.Time
	n      int
	reason string
}

// New returns a controller.
func New(p Policy) *Controller {
	p.Concurrency = cmp.Or(p.Concurrency, DefaultConcurrency)
	if p.Queue == 0 && p.CPU == 0 {
		p.Queue = DefaultQueue
	}
	return &Controller{policy: p}
}

// Policy is what the controller goes by.
func (c *Controller) Policy() Policy { return c.policy }

// Observe decides. Observations come in order of their time; one that comes
// late, or twice, decides nothing.
func (c *Controller) Observe(o Observation) Decision {
	stay := Decision{From: o.Instances, To: o.Instances}
	if c.seen && !o.Time.After(c.before.Time) {
		return stay
	}
	rate := c.rate(o)
	if !c.seen || o.Instances != c.last {
		c.restart(o)
	}
	c.learn(o, rate)
	c.before, c.seen, c.last = o, true, o.Instances
	p := c.policy
	switch {
	case o.Instances < p.Min:
		return c.to(o, p.Min, fmt.Sprintf("there have to be %d at the least", p.Min))
	case o.Instances > p.Max:
		return c.to(o, p.Max, fmt.Sprintf("there may be %d at the most", p.Max))
	}
	if d := c.up(o); d.Changes() {
		return d
	}
	return c.down(o, rate)
}

// to is a decision to change.
func (c *Controller) to(o Observation, n int, reason string) Decision {
	c.restart(o)
	return Decision{From: o.Instances, To: n, Reason: reason}
}

// restart forgets what was seen with another number of instances.
func (c *Controller) restart(o Observation) {
	c.changed, c.since = o.Time, o.Time
	c.more, c.needed, c.full = nil, nil, 0
}

// rate is how many messages were handled in a second since the observation
// before; below 0 if that isn't known.
func (c *Controller) rate(o Observation) float64 {
	if seconds := o.Time.Sub(c.before.Time).Seconds(); c.seen && seconds > 0 && o.Handled >= c.before.Handled {
		return float64(o.Handled-c.before.Handled) / seconds
	}
	return -1
}

// waiting is how many messages no instance handles yet. Some buses count what
// an instance has fetched ahead as in flight: it waits all the same.
func (c *Controller) waiting(o Observation) float64 {
	working := min(o.InFlight, int64(o.Instances)*int64(c.policy.Concurrency))
	return float64(max(o.Depth-working, 0))
}

// learn notes what an instance can do: what it does while messages wait, and
// what it has been seen to do in any case.
func (c *Controller) learn(o Observation, rate float64) {
	if rate < 0 || o.Instances < 1 {
		return
	}
	each := rate / float64(o.Instances)
	if c.waiting(o) > 0 {
		c.full++
	} else {
		c.full = 0
	}
	switch {
	case c.full > agree && c.can > 0:
		c.can = (c.can + each) / 2
	case c.full > agree:
		c.can = each
	case c.can > 0 && each > c.can:
		c.can = each
	}
}

// up decides whether there are to be more.
func (c *Controller) up(o Observation) Decision {
	stay := Decision{From: o.Instances, To: o.Instances}
	w := c.wanted(o)
	if w.n <= o.Instances {
		c.more = nil
		return stay
	}
	c.more = append(c.more, w)
	if len(c.more) < agree {
		return stay
	}
	c.more = c.more[len(c.more)-agree:]
	least := c.more[0]
	for _, m := range c.more[1:] {
		if m.n <= least.n {
			least = m
		}
	}
	if n := min(least.n, c.policy.Max); n > o.Instances {
		return c.to(o, n, least.reason)
	}
	return stay
}

// wanted is how many instances would be enough.
func (c *Controller) wanted(o Observation) want {
	p := c.policy
	w := want{n: o.Instances}
	n := max(o.Instances, 1)
	if waiting := c.waiting(o); p.Queue > 0 && waiting > float64(n*p.Queue)*(1+tolerance) {
		w = want{atLeast(waiting / float64(p.Queue)), fmt.Sprintf("%.0f %s, %d per instance are wanted", waiting, plural(waiting), p.Queue)}
	}
	if load := c.load(o); p.CPU > 0 && load > p.CPU*(1+tolerance) {
		if m := atLeast(float64(n) * load / p.CPU); m > w.n {
			w = want{m, fmt.Sprintf("the load of an instance is %.0f %%, %.0f %% is wanted", load, p.CPU)}
		}
	}
	return w
}

// load is the one of an instance in the policy's terms; below 0 if it isn't
// known.
func (c *Controller) load(o Observation) float64 {
	if o.CPU < 0 || c.policy.CPUs <= 0 {
		return o.CPU
	}
	return o.CPU / c.policy.CPUs
}

// down decides whether there are to be fewer.
func (c *Controller) down(o Observation, rate float64) Decision {
	stay := Decision{From: o.Instances, To: o.Instances}
	p := c.policy
	now := sample{o.Time, c.needs(o, rate), ""}
	// What is needed less than now, and was before, can't be the greatest again.
	for len(c.needed) > 0 && c.needed[len(c.needed)-1].n <= now.n {
		c.needed = c.needed[:len(c.needed)-1]
	}
	c.needed = append(c.needed, now)
	for o.Time.Sub(c.needed[0].at) > p.DownAfter {
		c.needed = c.needed[1:]
	}
	if o.Time.Sub(c.since) < p.DownAfter || o.Time.Sub(c.changed) < p.CoolDown {
		return stay
	}
	if n := max(c.needed[0].n, p.Min); n < o.Instances {
		return c.to(o, n, fmt.Sprintf("for %s no more than %d %s needed", p.DownAfter, n, isOrAre(n)))
	}
	return stay
}

// needs is how few instances would do with ease.
func (c *Controller) needs(o Observation, rate float64) int {
	p := c.policy
	n := 0
	if p.Queue > 0 {
		n = max(n, atLeast(c.waiting(o)/(float64(p.Queue)*ease)))
	}
	working := min(o.InFlight, int64(o.Instances)*int64(p.Concurrency))
	n = max(n, atLeast(float64(working)/(float64(p.Concurrency)*busy)))
	if c.can > 0 && rate > 0 {
		n = max(n, atLeast(rate/(c.can*busy)))
	}
	if p.CPU > 0 {
		load := c.load(o)
		if load < 0 {
			return o.Instances // who doesn't know takes nothing away
		}
		n = max(n, atLeast(float64(o.Instances)*load/(p.CPU*busy)))
	}
	return n
}

// atLeast rounds up to a number of instances.
func atLeast(n float64) int { return int(math.Min(math.Ceil(n), math.MaxInt32)) }

func plural(n float64) string {
	if n == 1 {
		return "message waits"
	}
	return "messages wait"
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
