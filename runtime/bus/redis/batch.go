package redis

import (
	"sync"
	"time"
)

const (
	batchMessages = 1024
	batchBytes    = 1 << 20
)

// batcher collects what several goroutines want done into round trips: what
// comes while one is under way goes with the next. Where others keep coming it
// waits for as many as the last time, but for no longer than a share of what a
// round trip takes: with a server that writes to its disk for each, that is
// what decides how much gets through. Whoever is alone never waits.
type batcher[T any] struct {
	share float64       // of a round trip that may be waited for company
	limit time.Duration // of that
	all   bool          // wait for a full batch, not for as many as the last time
	two   bool          // two round trips at a time where they are short
	size  func(T) (messages, bytes int)
	drop  func(T) // what comes when it is over; may be nil

	mu      sync.Mutex
	over    bool
	waiting []T
	spare   []T         // room for the next ones
	n       int         // messages in waiting
	target  int         // messages that are worth a round trip
	until   time.Time   // when less are, too
	urgent  bool        // some of them can't wait
	away    int         // round trips under way
	allowed int         // that there may be
	timer   *time.Timer // looks again
	work    chan trip[T]
}

// trip is a batch and how many messages it has.
type trip[T any] struct {
	batch    []T
	messages int
}

// short is a round trip that doesn't take much longer than what this side needs to
// prepare the next one: then they go on at the same time. Where a disk takes longer
// what counts is how much goes with each round trip.
const short = 4 * time.Millisecond

func newBatcher[T any](share float64, limit time.Duration, size func(T) (messages, bytes int)) *batcher[T] {
	b := &batcher[T]{share: share, limit: limit, size: size, target: 1, allowed: 1, work: make(chan trip[T], 2)}
	b.timer = time.AfterFunc(time.Hour, b.look)
	b.timer.Stop()
	return b
}

// add puts v into the next round trip; what is urgent makes it begin.
func (b *batcher[T]) add(v T, urgent bool) {
	messages, _ := b.size(v)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		if b.drop != nil {
			b.drop(v)
		}
		return
	}
	b.waiting = append(b.waiting, v)
	b.n += messages
	b.urgent = b.urgent || urgent
	if urgent || b.n == messages || b.n >= b.target {
		b.start()
	}
}

// hurry makes what waits go with the next round trip.
func (b *batcher[T]) hurry() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.urgent = len(b.waiting) > 0
	b.start()
}

func (b *batcher[T]) look() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.start()
}

// start is called with b.mu held. The channel has room for all that may be away.
func (b *batcher[T]) start() {
	if t := b.take(); len(t.batch) > 0 {
		b.work <- t
	}
}

// run calls do for each batch until done is closed; it drops what waits then, and
// returns when the last call has. The goroutines for that are kept, as
// they have their stacks, and one that is through takes what is next itself.
func (b *batcher[T]) run(done <-chan struct{}, do func([]T)) {
	defer b.timer.Stop()
	var workers sync.WaitGroup
	for range cap(b.work) {
		workers.Go(func() {
			for {
				select {
				case t := <-b.work:
					for len(t.batch) > 0 {
						began := time.Now()
						do(t.batch)
						t = b.back(t, time.Since(began))
					}
				case <-done:
					return
				}
			}
		})
	}
	<-done
	b.end()
	workers.Wait()
}

// end drops what waits, and whatever comes from now on.
func (b *batcher[T]) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	left := b.waiting
	for len(b.work) > 0 {
		left = append(left, (<-b.work).batch...)
	}
	b.waiting, b.n = nil, 0
	if b.drop != nil {
		for _, v := range left {
			b.drop(v)
		}
	}
}

// back decides what the next round trip waits for, and returns it where it can
// begin.
func (b *batcher[T]) back(t trip[T], took time.Duration) trip[T] {
	clear(t.batch)
	b.mu.Lock()
	defer b.mu.Unlock()
	n := t.messages
	if cap(t.batch) > cap(b.spare) {
		b.spare = t.batch[:0]
	}
	b.away--
	b.allowed = 1
	if b.two && took < short {
		b.allowed = 2
	}
	b.target, b.until = n, time.Time{}
	if b.allowed == 1 {
		b.target += b.n // who has an answer comes again, beside those who wait
	}
	if n > 1 {
		b.until = time.Now().Add(min(time.Duration(float64(took)*b.share), b.limit))
		if b.all {
			b.target = batchMessages
		}
	}
	return b.take()
}

// take returns what the next round trip has; nothing where none may begin. It
// has the batcher look again when what waits is worth one. With b.mu held.
func (b *batcher[T]) take() (t trip[T]) {
	if len(b.waiting) == 0 || b.away >= b.allowed {
		return t
	}
	if b.n < b.target && !b.urgent {
		if wait := time.Until(b.until); wait > 0 {
			b.timer.Reset(wait)
			return t
		}
	}
	i, size := 0, 0
	for i < len(b.waiting) && t.messages < batchMessages && size < batchBytes {
		n, bytes := b.size(b.waiting[i])
		t.messages, size = t.messages+n, size+bytes
		i++
	}
	t.batch = b.waiting[:i:i]
	b.waiting = b.waiting[i:]
	if len(b.waiting) == 0 {
		b.waiting, b.spare, b.urgent = b.spare, nil, false
	}
	b.n -= t.messages
	b.away++
	return t
}
