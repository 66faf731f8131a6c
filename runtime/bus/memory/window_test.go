package memory

import (
	"fmt"
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	w := newWindow(time.Minute)
	at := func(s int) time.Time { return w.start.Add(time.Duration(s) * time.Second) }
	w.add("a", at(0))
	w.add("b", at(1))
	w.remove("b")
	if w.has("b", at(2)) {
		t.Error("b is remembered")
	}
	w.add("b", at(30))
	w.add("c", at(61))
	w.add("c", at(62))
	for id, want := range map[string]bool{"a": false, "b": true, "c": true, "d": false} {
		if w.has(id, at(62)) != want {
			t.Errorf("%s: want %v", id, want)
		}
	}
	if w.has("b", at(91)) || !w.has("c", at(121)) || w.has("c", at(123)) {
		t.Error("b or c at their ends")
	}
}

// All ids are remembered for as long as they are to be, and room that is free
// again is used.
func TestWindowGrows(t *testing.T) {
	const n = 50_000
	w := newWindow(time.Minute)
	var buckets int
	for round := range 4 {
		now := w.start.Add(time.Duration(round) * 2 * time.Minute)
		for i := range n {
			w.add(fmt.Sprint(round, ".", i), now)
		}
		for i := range n {
			if !w.has(fmt.Sprint(round, ".", i), now) {
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
}

func TestWindowIsBounded(t *testing.T) {
	w := newWindow(time.Hour)
	for i := range 10 * windowBuckets {
		w.add(fmt.Sprint(i), w.start.Add(time.Duration(i)))
	}
	if len(w.buckets) != windowBuckets {
		t.Errorf("%d buckets", len(w.buckets))
	}
	for i := 10*windowBuckets - windowBuckets/8; i < 10*windowBuckets; i++ { // the newest
		if !w.has(fmt.Sprint(i), w.start.Add(time.Minute)) {
			t.Fatalf("%d is forgotten", i)
		}
	}
}
