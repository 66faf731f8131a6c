package memory

import (
	"hash/maphash"
	"time"
)

// window remembers ids for a while: not the ids themselves, which would be
// most of what the bus keeps, but 64 bits of each that nobody can aim at. That
// one is taken for another is as likely as a fault of the memory.
//
// It is a table of buckets that doubles when one is full, since every message
// looks into it twice, and a map of that size takes longer than all the rest.
type window struct {
	span    time.Duration
	start   time.Time
	seed    maphash.Seed
	buckets []bucket // as many as a power of two
}

// bucket has the ids beside each other: a look at those that aren't there ends
// with one line of the processor's cache.
type bucket struct {
	ids   [8]uint64
	until [8]time.Duration // since start; what is over is free
}

// windowBuckets bounds a window, at 32 MB. From then on the oldest id of a
// bucket makes room, though its time isn't over.
const windowBuckets = 1 << 18

func newWindow(span time.Duration) window {
	return window{span: span, start: time.Now(), seed: maphash.MakeSeed(), buckets: make([]bucket, 1)}
}

func (w *window) bucket(id uint64) *bucket { return &w.buckets[id&uint64(len(w.buckets)-1)] }

func (w *window) has(id string, now time.Time) bool {
	at, h := now.Sub(w.start), maphash.String(w.seed, id)
	b := w.bucket(h)
	for i := range b.ids {
		if b.ids[i] == h && b.until[i] > at {
			return true
		}
	}
	return false
}

// add remembers an id from now on.
func (w *window) add(id string, now time.Time) {
	at, h := now.Sub(w.start), maphash.String(w.seed, id)
	for !w.bucket(h).put(h, at, at+w.span, len(w.buckets) >= windowBuckets) {
		w.grow(at)
	}
}

// put takes the place of the id itself, of one whose time is over or, if it
// must, of the one whose time is over first. It reports whether it found one.
func (b *bucket) put(id uint64, at, until time.Duration, must bool) bool {
	place, ends := 0, b.until[0]
	for i := range b.ids {
		if b.ids[i] == id {
			place, ends = i, 0
			break
		}
		if b.until[i] < ends {
			place, ends = i, b.until[i]
		}
	}
	if ends > at && !must {
		return false
	}
	b.ids[place], b.until[place] = id, until
	return true
}

func (w *window) grow(at time.Duration) {
	old := w.buckets
	w.buckets = make([]bucket, 2*len(old))
	for _, b := range old {
		for i, id := range b.ids {
			if b.until[i] > at {
				w.bucket(id).put(id, at, b.until[i], true) // a bucket's ids have room in two
			}
		}
	}
}

func (w *window) remove(id string) {
	h := maphash.String(w.seed, id)
	b := w.bucket(h)
	for i := range b.ids {
		if b.ids[i] == h {
			b.until[i] = 0
		}
	}
}
