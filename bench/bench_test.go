// Package bench measures the buses: against what their server can do at the
// most, against a peer, and against themselves as systems grow. Ratios come
// from rounds that alternate within one run, since figures of one machine
// swing; what is beyond its limit fails. It is a module of its own, so that
// the peers are no dependencies of the project.
package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"woodwork.dev/ww/runtime/bus/bustest"
)

const (
	patience = 60 * time.Second // with one round
	rounds   = 5
)

// payload is 1 KiB of JSON.
func payload() []byte { return []byte(`"` + strings.Repeat("x", 1022) + `"`) }

// system takes n messages from publishers to an acknowledged end, and returns
// how long that takes. What comes before and after isn't counted.
type system func(t *testing.T, n int) time.Duration

// table is what is printed in the end.
type table struct{ rows []string }

func (tb *table) add(format string, args ...any) {
	tb.rows = append(tb.rows, fmt.Sprintf(format, args...))
}

func (tb *table) print(t *testing.T) {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nwhat\tfigures\tratio\tlimit\t")
	for _, r := range tb.rows {
		fmt.Fprintln(w, r)
	}
	_ = w.Flush() // a strings.Builder takes all
	t.Log(out.String())
}

// verdict says whether a figure keeps its limit, and fails the test if not.
func verdict(t *testing.T, name string, ok bool) string {
	t.Helper()
	if ok {
		return "ok"
	}
	t.Errorf("%s is beyond its limit", name)
	return "FAIL"
}

func median[T int | float64 | time.Duration](all []T) T {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[len(all)/2]
}

func rate(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

// atLeast compares the rates of two systems, round by round.
func (tb *table) atLeast(t *testing.T, name string, limit float64, ours system, n int, peer system, peerN int) {
	var ratios, ourRates, peerRates []float64
	for range rounds {
		a, b := rate(n, ours(t, n)), rate(peerN, peer(t, peerN))
		ratios, ourRates, peerRates = append(ratios, a/b), append(ourRates, a), append(peerRates, b)
	}
	r := median(ratios)
	tb.add("%s\t%.0f/s to %.0f/s\t%.2f\t>= %.1f\t%s", name, median(ourRates), median(peerRates), r, limit,
		verdict(t, name, r >= limit))
}

// atMost compares the time per message of a large system to that of a small one.
func (tb *table) atMost(t *testing.T, name string, limit float64, n int, large, small system) {
	var ratios, largeTimes, smallTimes []float64
	for range rounds - 2 { // a difference that matters shows at once
		a, b := large(t, n), small(t, n)
		ratios = append(ratios, a.Seconds()/b.Seconds())
		largeTimes = append(largeTimes, float64(a.Nanoseconds())/float64(n)/1000)
		smallTimes = append(smallTimes, float64(b.Nanoseconds())/float64(n)/1000)
	}
	r := median(ratios)
	tb.add("%s\t%.1f µs to %.1f µs\t%.2f\t< %.1f, either way\t%s", name, median(largeTimes), median(smallTimes), r, limit,
		verdict(t, name, r < limit && r > 1/limit))
}

// latency compares round trips; without a limit it only tells.
func (tb *table) latency(t *testing.T, name string, limited bool, ours, bare trips) {
	const n = 2000
	var ratios50, ratios99 []float64
	var a50s, b50s, a99s, b99s []time.Duration
	for range rounds {
		a50, a99 := percentiles(ours(t, n))
		b50, b99 := percentiles(bare(t, n))
		ratios50, ratios99 = append(ratios50, a50.Seconds()/b50.Seconds()), append(ratios99, a99.Seconds()/b99.Seconds())
		a50s, b50s, a99s, b99s = append(a50s, a50), append(b50s, b50), append(a99s, a99), append(b99s, b99)
	}
	for _, row := range []struct {
		name       string
		ours, bare []time.Duration
		ratios     []float64
		limit      float64
	}{{name + ", p50", a50s, b50s, ratios50, 1.5}, {name + ", p99", a99s, b99s, ratios99, 4}} {
		r, limit, judged := median(row.ratios), "none", "told"
		if limited {
			limit, judged = fmt.Sprintf("<= %.1f", row.limit), verdict(t, row.name, r <= row.limit)
		}
		tb.add("%s\t%s to %s\t%.2f\t%s\t%s", row.name, median(row.ours).Round(time.Microsecond), median(row.bare).Round(time.Microsecond),
			r, limit, judged)
	}
}

func percentiles(all []time.Duration) (p50, p99 time.Duration) {
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100]
}

func TestBenchMemory(t *testing.T) {
	const n, limit = 400_000, 500_000
	var tb table
	defer tb.print(t)
	var rates []float64
	for range rounds {
		rates = append(rates, rate(n, memoryBus(load{})(t, n)))
	}
	r := slices.Max(rates) // whatever else the machine does only takes away
	tb.add("memory, 64 publishers\t%.0f/s\t\t>= %d/s\t%s", r, limit, verdict(t, "memory", r >= limit))
	tb.atMost(t, "memory, 1,000 components to 10", 2, n/2, memoryBus(load{components: 1_000}), memoryBus(load{components: 10}))
	tb.atMost(t, "memory, 100,000 sessions to 1", 2, n/2, memoryBus(load{sessions: 100_000}), memoryBus(load{sessions: 1}))
}

func TestBenchRedis(t *testing.T) {
	for _, fsync := range []struct {
		name   string
		n      int // messages that take a second or so
		growth bool
	}{{"always", 30_000, false}, {"everysec", 60_000, true}} {
		t.Run(fsync.name, func(t *testing.T) {
			// A rewrite of the file in the middle of a round would be noise.
			server := bustest.NewRedis(t, "--appendonly", "yes", "--appendfsync", fsync.name, "--auto-aof-rewrite-percentage", "0")
			var tb table
			defer tb.print(t)
			name := "redis, " + fsync.name + ", "
			ours := redisBus(server, load{})
			tb.atLeast(t, name+"to batches", 0.8, ours, fsync.n, batches(server, 1), fsync.n)
			tb.atLeast(t, name+"to watermill", 6, ours, fsync.n, watermillBus(server), fsync.n/10)
			tb.atLeast(t, name+"8 to 8, to batches", 0.7, redisBus(server, load{processes: 8}), fsync.n, batches(server, 8), fsync.n)
			// The limits are the default's, which the bus's container has. Without a disk
			// in between, what is done once in one step on the server shows: a bare trip
			// can lose a message, and do it twice.
			tb.latency(t, name+"request", fsync.name == "always", redisTrips(server), bareTrips(server))
			if fsync.growth {
				// A thousand consumers who take turns need 0.2 s for their last ones, so
				// the rounds are long: what gets through is compared, not the end of it.
				tb.atMost(t, name+"1,000 components to 10", 2, 2*fsync.n,
					redisBus(server, load{components: 1_000}), redisBus(server, load{components: 10}))
				tb.atMost(t, name+"100,000 sessions to 1", 2, 2*fsync.n,
					redisBus(server, load{sessions: 100_000}), redisBus(server, load{sessions: 1}))
			}
		})
	}
}
