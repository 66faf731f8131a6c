package memory

import (
	"hash/maphash"
	"time"
)

// window remembers ids for a while: not the ids themselves, which would be
// most of what the bus keeps, but 64 bits of each that nobody can aim at. That
// one is taken for another is as likely as a fault of the memory.
type window struct {
	span  time.Duration
	start time.Time
	seed  maphash.Seed
	until map[uint64]time.Duration // since start
	order []remembered             // oldest first
	old   int                      // of order that is forgotten
}

type remembered struct {
	id    uint64
	until time.Duration
}

// windowIDs bounds a window: a busy component's memory is to be bounded.
const windowIDs = 1 << 20

func newWindow(span time.Duration) window {
	return window{span: span, start: time.Now(), seed: maphash.MakeSeed(), until: map[uint64]time.Duration{}}
}

func (w *window) digest(id string) uint64 { return maphash.String(w.seed, id) }

func (w *window) has(id string, now time.Time) bool {
	until, ok := w.until[w.digest(id)]
	return ok && now.Sub(w.start) <= until
}

// add remembers an id from now on, and forgets old ones.
func (w *window) add(id string, now time.Time) {
	at := now.Sub(w.start)
	r := remembered{w.digest(id), at + w.span}
	w.until[r.id] = r.until
	w.order = append(w.order, r)
	for w.order[w.old].until < at || len(w.order)-w.old > windowIDs {
		if o := w.order[w.old]; w.until[o.id] == o.until { // else it was remembered again
			delete(w.until, o.id)
		}
		w.old++
	}
	if w.old > len(w.order)/2 {
		w.order = w.order[:copy(w.order, w.order[w.old:])]
		w.old = 0
	}
}

func (w *window) remove(id string) { delete(w.until, w.digest(id)) }
