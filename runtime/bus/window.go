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
// It is a table of buckets that doubles when an id finds no room in either of its
// two, since every message looks into it twice, and a map of that size takes longer
// than all the rest. With two to choose from most of it is in use before it doubles.
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

// places are those of an id's buckets. They go by the high bits of products, in
// which all bits of the id have a part, however it was made; so what is in one
// bucket is in two that are neighbours when there are twice as many.
func (w *Window) places(id uint64) (int, int) {
	unused := 65 - bits.Len(uint(len(w.buckets)))
	return int(id * 0x9e3779b97f4a7c15 >> unused), int(id * 0xc2b2ae3d27d4eb4f >> unused)
}

// Has reports whether an id was added, and its time isn't over.
func (w *Window) Has(id uint64, now int64) bool {
	one, two := w.places(id)
	return w.buckets[one].has(id, now) || w.buckets[two].has(id, now)
}

func (b *bucket) has(id uint64, now int64) bool {
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
	for {
		one, two := w.places(id)
		b, other := &w.buckets[one], &w.buckets[two]
		if b.renew(id, until) || other.renew(id, until) {
			return
		}
		place, free := b.room(now)
		if p, f := other.room(now); f > free {
			b, place, free = other, p, f
		}
		if free > 0 || len(w.buckets) >= windowBuckets {
			b.ids[place], b.until[place] = id, until
			return
		}
		w.grow(now)
	}
}

// renew reports whether the id is in the bucket.
func (b *bucket) renew(id uint64, until int64) bool {
	for i := range b.ids {
		if b.ids[i] == id {
			b.until[i] = max(b.until[i], until)
			return true
		}
	}
	return false
}

// room returns the place whose time is over first, and how many are free.
func (b *bucket) room(now int64) (place, free int) {
	for i, until := range b.until {
		if until <= now {
			free++
		}
		if until < b.until[place] {
			place = i
		}
	}
	return place, free
}

func (w *Window) grow(now int64) {
	old := w.buckets
	w.buckets = make([]bucket, 2*len(old))
	for at := range old {
		b := &old[at]
		var n [2]int // in the two that take its place
		for i, id := range b.ids {
			if b.until[i] <= now {
				continue
			}
			to, other := w.places(id)
			if to>>1 != at {
				to = other
			}
			half := &w.buckets[to]
			half.ids[n[to&1]], half.until[n[to&1]] = id, b.until[i]
			n[to&1]++
		}
	}
}

// Remove forgets an id.
func (w *Window) Remove(id uint64) {
	one, two := w.places(id)
	w.buckets[one].remove(id)
	w.buckets[two].remove(id)
}

func (b *bucket) remove(id uint64) {
	for i := range b.ids {
		if b.ids[i] == id {
			b.until[i] = 0
		}
	}
}
