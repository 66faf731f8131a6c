package scale_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/scale"
)

// world plays observations to a controller, one a second, and does as it says.
type world struct {
	t       *testing.T
	c       *scale.Controller
	seconds int
	n       int
	handled int64
	said    []string // what was decided
}

func newWorld(t *testing.T, p scale.Policy, n int) *world {
	if p.DownAfter == 0 {
		p.DownAfter, p.CoolDown = 10*time.Second, 5*time.Second
	}
	return &world{t: t, c: scale.New(p), n: n}
}

// see has the same seen for so many seconds.
func (w *world) see(seconds int, depth, inFlight, rate int64, cpu float64) {
	for range seconds {
		w.seconds++
		w.handled += rate
		d := w.c.Observe(scale.Observation{
			Time: time.Unix(int64(w.seconds), 0), Instances: w.n, Depth: depth, InFlight: inFlight, Handled: w.handled, CPU: cpu,
		})
		if d.Changes() {
			w.said = append(w.said, d.Reason)
			w.n = d.To
		}
	}
}

func (w *world) want(n int, reason string) {
	w.t.Helper()
	if w.n != n {
		w.t.Errorf("after %d s there are %d instances, want %d: %q", w.seconds, w.n, n, w.said)
	}
	last := ""
	if len(w.said) > 0 {
		last = w.said[len(w.said)-1]
	}
	if !strings.Contains(last, reason) {
		w.t.Errorf("the reason is %q, want %q", last, reason)
	}
	w.said = nil
}

func TestDepth(t *testing.T) {
	w := newWorld(t, scale.Policy{Min: 1, Max: 5, Queue: 10, Concurrency: 1}, 1)
	w.see(1, 28, 1, 0, -1)
	w.want(1, "") // one look may be a moment's noise
	w.see(1, 0, 0, 0, -1)
	w.see(1, 28, 1, 0, -1)
	w.want(1, "")
	w.see(1, 31, 1, 0, -1)
	w.want(3, "30 messages wait, 10 per instance are wanted")
	w.see(5, 33, 3, 0, -1) // 30 wait: that is what is wanted
	w.want(3, "")
	w.see(5, 36, 3, 0, -1) // and 33 nearly
	w.want(3, "")
	w.see(2, 1000, 3, 0, -1)
	w.want(5, "997 messages wait")
	w.see(30, 1000, 5, 0, -1)
	w.want(5, "")
}

// TestAhead: what an instance has fetched and doesn't handle yet waits.
func TestAhead(t *testing.T) {
	w := newWorld(t, scale.Policy{Min: 1, Max: 5, Queue: 10, Concurrency: 4}, 1)
	w.see(3, 44, 44, 0, -1)
	w.want(4, "40 messages wait")
}

func TestOneMessageWaits(t *testing.T) {
	w := newWorld(t, scale.Policy{Min: 1, Max: 5, Queue: 1, Concurrency: 1}, 1)
	w.see(3, 2, 1, 0, -1)
	w.want(1, "")
	w = newWorld(t, scale.Policy{Min: 1, Max: 5, CPU: 50, CPUs: 0.5}, 2)
	w.see(3, 0, 0, 0, 25)
	w.want(2, "")
	w.see(3, 0, 0, 0, 40)
	w.want(4, "the load of an instance is 80 %, 50 % is wanted")
}

// TestDown: fewer only when all of the time has needed fewer, and only as many
// fewer as the peak of that time leaves.
func TestDown(t *testing.T) {
	w := newWorld(t, scale.Policy{Min: 1, Max: 8, Queue: 10, Concurrency: 10}, 6)
	w.see(8, 0, 0, 0, -1)
	w.see(1, 0, 20, 0, -1)
	w.see(2, 0, 0, 0, -1)
	w.want(3, "for 10s no more than 3 are needed") // 20 in flight are three instances' work
	w.see(10, 0, 0, 0, -1)
	w.want(3, "")
	w.see(1, 0, 0, 0, -1)
	w.want(1, "for 10s no more than 1 is needed")
}

// TestCoolDown: it may be longer than what has to be seen.
func TestCoolDown(t *testing.T) {
	w := newWorld(t, scale.Policy{Min: 1, Max: 8, Queue: 10, DownAfter: 3 * time.Second, CoolDown: 20 * time.Second}, 2)
	w.see(20, 0, 0, 0, -1)
	w.want(2, "")
	w.see(1, 0, 0, 0, -1)
	w.want(1, "is needed")
}

// TestRate: an empty queue isn't a reason for fewer, where it is so many that
// keep it empty.
func TestRate(t *testing.T) {
	w := newWorld(t, scale.Policy{Min: 1, Max: 4, Queue: 10, Concurrency: 10}, 1)
	w.see(10, 10, 5, 100, -1) // messages wait: an instance can handle 100 a second
	w.see(3, 50, 10, 100, -1)
	w.want(4, "40 messages wait")
	w.see(60, 1, 1, 200, -1) // nothing waits, and all of it is handled in no time
	w.want(3, "no more than 3 are needed")
	w.see(60, 0, 0, 60, -1)
	w.want(1, "is needed")
}

func TestCPU(t *testing.T) {
	w := newWorld(t, scale.Policy{Min: 1, Max: 5, CPU: 80}, 2)
	w.see(5, 1000, 0, 0, 87) // messages have no say, and 87 is nearly 80
	w.want(2, "")
	w.see(2, 0, 0, 0, 120)
	w.want(3, "the load of an instance is 120 %, 80 % is wanted")
	w.see(60, 0, 0, 0, -1) // who doesn't know takes nothing away
	w.want(3, "")
	w.see(60, 0, 0, 0, 45)
	w.want(3, "")
	w.see(60, 0, 0, 0, 35)
	w.want(2, "are needed")
}

// TestLimits: what others have done is brought back into them.
func TestLimits(t *testing.T) {
	w := newWorld(t, scale.Policy{Min: 2, Max: 5}, 1)
	w.see(1, 0, 0, 0, -1)
	w.want(2, "there have to be 2 at the least")
	w.n = 9
	w.see(1, 0, 0, 0, -1)
	w.want(5, "there may be 5 at the most")
}

// TestChangedByOthers: what was seen with another number counts no more.
func TestChangedByOthers(t *testing.T) {
	w := newWorld(t, scale.Policy{Min: 1, Max: 5}, 1)
	w.see(11, 0, 0, 0, -1)
	w.n = 3
	w.see(10, 0, 0, 0, -1)
	w.want(3, "")
	w.see(1, 0, 0, 0, -1)
	w.want(1, "is needed")
}

// TestSameTime: an observation that isn't newer decides nothing.
func TestSameTime(t *testing.T) {
	c := scale.New(scale.Policy{Min: 1, Max: 5, Queue: 1, Concurrency: 1})
	o := scale.Observation{Time: time.Unix(1, 0), Instances: 1, Depth: 100, CPU: -1}
	for range 5 {
		if d := c.Observe(o); d.Changes() {
			t.Fatalf("%+v", d)
		}
	}
}

// TestAnything: whatever is seen, it stays within the limits, never takes away
// within the cool-down, and has a reason for what it does.
func TestAnything(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		p := scale.Policy{
			Min: 1 + rnd.IntN(4), Queue: rnd.IntN(20), CPU: float64(rnd.IntN(3)) * 50, Concurrency: rnd.IntN(10),
			DownAfter: time.Duration(rnd.IntN(20)) * time.Second, CoolDown: time.Duration(rnd.IntN(20)) * time.Second,
		}
		p.Max = p.Min + rnd.IntN(10)
		c := scale.New(p)
		n, now, changed := rnd.IntN(20), time.Unix(0, 0), time.Time{}
		for range 200 {
			now = now.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			o := scale.Observation{
				Time: now, Instances: n, Depth: rnd.Int64N(1 << rnd.IntN(40)), InFlight: rnd.Int64N(100), Handled: rnd.Int64N(1 << 40), CPU: rnd.Float64()*300 - 10,
			}
			inside := n >= p.Min && n <= p.Max
			d := c.Observe(o)
			if d.From != n || inside && (d.To < p.Min || d.To > p.Max) || d.Changes() == (d.Reason == "") {
				t.Fatalf("seed %d, %+v, %+v: %+v", seed, p, o, d)
			}
			if inside && d.To < n && !changed.IsZero() && now.Sub(changed) < p.CoolDown {
				t.Fatalf("seed %d, %+v: fewer %s after a change", seed, p, now.Sub(changed))
			}
			if d.Changes() {
				n, changed = d.To, now
			}
		}
	}
}

func TestParse(t *testing.T) {
	got, err := scale.Parse(`{"min":1,"max":5,"queue_depth":10,"cpu":80,"cpus":0.5,"concurrency":4,"down_after":"5s","cool_down":"3s"}`)
	want := scale.Policy{Min: 1, Max: 5, Queue: 10, CPU: 80, CPUs: 0.5, Concurrency: 4, DownAfter: 5 * time.Second, CoolDown: 3 * time.Second}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if again, err := scale.Parse(got.Label()); err != nil || again != got {
		t.Errorf("%s: %+v, %v", got.Label(), again, err)
	}
	for _, bad := range []string{``, `5`, `{"min":0,"max":5}`, `{"min":3,"max":2}`, `{"min":1,"max":2,"cpu":-1}`, `{"min":1,"max":2,"mox":3}`, `{"min":1,"max":2,"cool_down":"x"}`} {
		if p, err := scale.Parse(bad); err == nil || !strings.Contains(err.Error(), scale.Label) {
			t.Errorf("%s: %+v, %v", bad, p, err)
		}
	}
}
