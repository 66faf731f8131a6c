package scale_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/scale"
)

// The simulated system: so many components that get so many messages a second in
// sum, looked at once a second for so long.
const (
	components = 1000
	inSum      = 100_000.0
	hour       = 3600
	coolDown   = 30
	downAfter  = 60
)

// load is how many messages come to one component in second t, of mean.
type load struct {
	name string
	at   func(mean float64, t int) float64
}

const stepAt = 1500

var loads = []load{
	{"steady", func(mean float64, _ int) float64 { return mean }},
	{"step", func(mean float64, t int) float64 {
		if t < stepAt || t >= 3000 {
			return mean / 4
		}
		return mean * 2
	}},
	{"ramp", func(mean float64, t int) float64 {
		return mean * 2 * math.Min(float64(t%1800), float64(1800-t%1800)) / 900
	}},
	{"bursts", func(mean float64, t int) float64 {
		if t%300 < 20 {
			return mean * 3
		}
		return mean * 0.9
	}},
}

// simulated is one component with its queue.
type simulated struct {
	load
	mean     float64 // messages a second
	each     float64 // messages a second that one instance handles
	slow     int     // seconds that an instance takes to get ready
	byCPU    bool
	policy   scale.Policy
	control  *scale.Controller
	ready    []int // when each instance is
	queue    float64
	handled  float64
	depth    float64 // as observed
	inFlight float64
	cpu      float64

	changes []change
	enough  int // second after the step in which there were enough; -1 while there aren't
}

type change struct{ at, from, to int }

func newSimulated(i int, rnd *rand.Rand) *simulated {
	s := &simulated{load: loads[i%len(loads)], each: 20 + 20*rnd.Float64(), slow: 1 + rnd.IntN(6), enough: -1}
	s.mean = inSum / components * (0.52 + rnd.Float64())
	s.policy = scale.Policy{
		Min: 1, Max: 16, Queue: 10 + rnd.IntN(90), Concurrency: 1 + rnd.IntN(16),
		DownAfter: downAfter * time.Second, CoolDown: coolDown * time.Second,
	}
	if i%8 >= 4 { // half of each kind
		s.byCPU = true
		s.policy.CPU = 80
	}
	s.control = scale.New(s.policy)
	s.ready = make([]int, 1)
	return s
}

// second lets one second pass: messages come, and are handled.
func (s *simulated) second(t int, rnd *rand.Rand) {
	come := s.at(s.mean, t)
	come = math.Max(0, come+math.Sqrt(come)*rnd.NormFloat64()+0.05*come*rnd.NormFloat64())
	able := 0
	for _, at := range s.ready {
		if at <= t {
			able++
		}
	}
	most := float64(able) * s.each * (1 + 0.05*rnd.NormFloat64())
	done := math.Max(0, math.Min(s.queue+come, most))
	s.queue += come - done
	s.handled += done
	share := 0.0
	if able > 0 {
		share = math.Min(1, done/(float64(able)*s.each))
	}
	// What is on its way through the instances now: it varies.
	s.inFlight = math.Round(share * float64(able*s.policy.Concurrency) * (0.8 + 0.4*rnd.Float64()))
	if s.queue > 0 {
		s.inFlight = float64(able * s.policy.Concurrency)
	}
	s.depth = s.queue + s.inFlight
	s.cpu = 100 * share * float64(able) / float64(len(s.ready))
}

func (s *simulated) observe(t int) scale.Decision {
	o := scale.Observation{
		Time: time.Unix(int64(t), 0), Instances: len(s.ready), Depth: int64(s.depth), InFlight: int64(s.inFlight),
		Handled: int64(s.handled), CPU: -1,
	}
	if s.byCPU {
		o.CPU = s.cpu
	}
	return s.control.Observe(o)
}

func (s *simulated) follow(t int, d scale.Decision) {
	if !d.Changes() {
		return
	}
	s.changes = append(s.changes, change{t, d.From, d.To})
	for len(s.ready) < d.To {
		s.ready = append(s.ready, t+s.slow)
	}
	s.ready = s.ready[:d.To]
}

// TestSimulation: components under all sorts of load, each with noise, for an
// hour of virtual time.
func TestSimulation(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	all := make([]*simulated, components)
	for i := range all {
		all[i] = newSimulated(i, rnd)
	}
	total := 0.0
	for second := 1; second <= hour; second++ {
		for _, s := range all {
			s.second(second, rnd)
			d := s.observe(second)
			if d.To < s.policy.Min || d.To > s.policy.Max {
				t.Fatalf("%s at %d s: %+v is outside of %d to %d", s.name, second, d, s.policy.Min, s.policy.Max)
			}
			if d.Changes() == (d.Reason == "") {
				t.Fatalf("%s at %d s: %+v", s.name, second, d)
			}
			s.follow(second, d)
			if s.name == "step" && second >= stepAt && s.enough < 0 && float64(len(s.ready))*s.each >= 2*s.mean {
				s.enough = second - stepAt
			}
		}
	}
	for i, s := range all {
		total += s.handled
		s.checkPace(t, i)
		switch s.name {
		case "steady":
			if n := s.after(600); n > 2 {
				t.Errorf("%d: %d changes in 50 minutes of steady load: %v", i, n, s.changes)
			}
		case "step":
			if needed := 2 * s.mean / s.each; needed <= float64(s.policy.Max) && (s.enough < 0 || s.enough > 15) {
				t.Errorf("%d: enough instances (%.1f) after %d s: %v", i, needed, s.enough, s.changes)
			}
		case "bursts":
			// Up and down once for each of them, in as many steps as it takes.
			if n := s.turns(); n > 2*hour/300 {
				t.Errorf("%d: %d turns: %v", i, n, s.changes)
			}
		case "ramp":
			if n := s.turns(); n > 2*hour/1800+4 {
				t.Errorf("%d: %d turns: %v", i, n, s.changes)
			}
		}
		// Nothing stays behind: at the end all loads are far below the most.
		if s.name != "steady" && s.name != "bursts" && s.queue > s.mean*2 {
			t.Errorf("%d (%s): %.0f messages are left", i, s.name, s.queue)
		}
	}
	if total < inSum*hour {
		t.Errorf("%.0f messages were handled, which is less than %.0f a second", total, inSum)
	}
	t.Logf("%.0f messages a second; changes by kind of load: %v", total/hour, changesByLoad(all))
}

func changesByLoad(all []*simulated) map[string]int {
	sum := map[string]int{}
	for _, s := range all {
		sum[s.name] += len(s.changes)
	}
	return sum
}

// turns counts how often it went the other way.
func (s *simulated) turns() int {
	n := 0
	for k := 1; k < len(s.changes); k++ {
		if (s.changes[k].to > s.changes[k].from) != (s.changes[k-1].to > s.changes[k-1].from) {
			n++
		}
	}
	return n
}

// after counts the changes after a second.
func (s *simulated) after(second int) int {
	n := 0
	for _, c := range s.changes {
		if c.at > second {
			n++
		}
	}
	return n
}

// checkPace: no instance is taken away within the cool-down after a change.
func (s *simulated) checkPace(t *testing.T, i int) {
	t.Helper()
	for k, c := range s.changes {
		if k > 0 && c.to < c.from && c.at-s.changes[k-1].at < max(coolDown, downAfter) {
			t.Errorf("%d (%s): fewer %d s after the last change: %v", i, s.name, c.at-s.changes[k-1].at, s.changes)
		}
	}
}
