package bus

import (
	"math/bits"
	"time"
)

// Window remembers which messages were handled, for a while: not their ids,
// which would be most of what a bus keeps, but 64 bits of each. That one is taken
// for another is as likely as a fault of the memory; whoever hashes decides
// whether somebody can aim at it.
//
// Times are milliseconds of any clock that is beyond 0. A Window isn't safe for
// concurrent use.
//
// It is a table of buckets that doubles when one is full, since every message
// looks into it twice, and a map of that size takes longer than all the rest.
type Window struct {
	span    int64
	buckets []bucket // as many as a power of two
}

// bucket has the ids beside each other: a look at those that aren't there ends
// with one line of the processor's cache.
type bucket struct {
	ids   [8]uint64
	until [8]int64 // what is over is free
}

// windowBuckets bounds a window, at 16 MB and a million ids. From then on the
// oldest id of a bucket makes room, though its time isn't over.
const windowBuckets = 1 << 17

// NewWindow returns a Window that remembers for a span.
func NewWindow(span time.Duration) *Window {
	return &Window{span: span.Milliseconds(), buckets: make([]bucket, 1)}
}

// place is that of an id's bucket. It goes by the high bits of a product, in which
// all bits of the id have a part, however it was made; so what is in one bucket is
// in two that are neighbours when there are twice as many.
func (w *Window) place(id uint64) uint64 {
	return id * 0x9e3779b97f4a7c15 >> (65 - bits.Len(uint(len(w.buckets))))
}

func (w *Window) bucket(id uint64) *bucket { return &w.buckets[w.place(id)] }

// Has reports whether an id was added, and its time isn't over.
func (w *Window) Has(id uint64, now int64) bool {
	b := w.bucket(id)
	for i := range b.ids {
		if b.ids[i] == id && b.until[i] > now {
			return true
		}
	}
	return false
}

// Add remembers an id from a time on that may be over.
func (w *Window) Add(id uint64, from, now int64) {
	until := from + w.span
	if until <= now {
		return
	}
	for !w.bucket(id).put(id, now, until, len(w.buckets) >= windowBuckets) {
		w.grow(now)
	}
}

// put takes the place of the id itself, of one whose time is over or, if it
// must, of the one whose time is over first. It reports whether it found one.
func (b *bucket) put(id uint64, now, until int64, must bool) bool {
	place, ends := 0, b.until[0]
	for i := range b.ids {
		if b.ids[i] == id {
			place, ends, until = i, 0, max(until, b.until[i])
			break
		}
		if b.until[i] < ends {
			place, ends = i, b.until[i]
		}
	}
	if ends > now && !must {
		return false
	}
	b.ids[place], b.until[place] = id, until
	return true
}

func (w *Window) grow(now int64) {
	old := w.buckets
	w.buckets = make([]bucket, 2*len(old))
	for at := range old {
		b := &old[at]
		halves, n := [2]*bucket{&w.buckets[2*at], &w.buckets[2*at+1]}, [2]int{}
		for i, id := range b.ids {
			if b.until[i] > now {
				half := w.place(id) & 1
				to := halves[half]
				to.ids[n[half]], to.until[n[half]] = id, b.until[i]
				n[half]++
			}
		}
	}
}

// Remove forgets an id.
func (w *Window) Remove(id uint64) {
	b := w.bucket(id)
	for i := range b.ids {
		if b.ids[i] == id {
			b.until[i] = 0
		}
	}
}
