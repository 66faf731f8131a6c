package bus

import (
	"hash/maphash"
	"strconv"
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	w := NewWindow(time.Minute)
	at := func(s int64) int64 { return 1_000_000 + s*1000 }
	const a, b, c, d, e, f = 1, 2, 3, 4, 0, 6
	w.Add(a, at(0), at(0))
	w.Add(b, at(1), at(1))
	w.Remove(b)
	if w.Has(b, at(2)) {
		t.Error("b is remembered")
	}
	w.Add(b, at(30), at(30))
	w.Add(c, at(62), at(62))
	w.Add(c, at(61), at(62)) // told twice, the older one later
	w.Add(e, at(10), at(62)) // learned late
	w.Add(f, at(1), at(62))  // too late
	for id, want := range map[uint64]bool{a: false, b: true, c: true, d: false, e: true, f: false} {
		if w.Has(id, at(62)) != want {
			t.Errorf("%d: want %v", id, want)
		}
	}
	if w.Has(b, at(91)) || !w.Has(c, at(121)) || w.Has(c, at(123)) || w.Has(e, at(71)) {
		t.Error("b, c or e at their ends")
	}
	if len(w.buckets) != 1 {
		t.Errorf("%d buckets", len(w.buckets))
	}
}

// hashed are ids that are spread as those of a bus are.
func hashed() func(n int) uint64 {
	seed := maphash.MakeSeed()
	return func(n int) uint64 { return maphash.String(seed, strconv.Itoa(n)) }
}

// All ids are remembered for as long as they are to be, and room that is free
// again is used.
func TestWindowGrows(t *testing.T) {
	const n = 50_000
	id := hashed()
	w := NewWindow(time.Minute)
	var buckets int
	for round := range 4 {
		now := 1 + int64(round)*120_000
		for i := range n {
			w.Add(id(round*n+i), now, now)
		}
		for i := range n {
			if !w.Has(id(round*n+i), now) {
				t.Fatalf("round %d: %d is forgotten", round, i)
			}
		}
		if round == 1 {
			buckets = len(w.buckets)
		}
	}
	if len(w.buckets) > 2*buckets {
		t.Errorf("%d buckets, %d before", len(w.buckets), buckets)
	}
	if slots := 8 * len(w.buckets); slots > 3*n {
		t.Errorf("%d places for %d ids", slots, n)
	}
}

func TestWindowIsBounded(t *testing.T) {
	id := hashed()
	w := NewWindow(time.Hour)
	const n = 10 * windowBuckets
	for i := range n {
		w.Add(id(i), int64(i+1), int64(i+1))
	}
	if len(w.buckets) != windowBuckets {
		t.Errorf("%d buckets", len(w.buckets))
	}
	for i := n - windowBuckets/8; i < n; i++ { // the newest
		if !w.Has(id(i), n) {
			t.Fatalf("%d is forgotten", i)
		}
	}
}
