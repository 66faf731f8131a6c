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

	mu      sync.Mutex
	waiting []T
	n       int       // messages in waiting
	target  int       // messages that are worth a round trip
	until   time.Time // when less are, too
	urgent  bool      // some of them can't wait
	away    int       // round trips under way
	allowed int       // that there may be
	stopped bool
	wake    chan struct{}
	running sync.WaitGroup
}

// short is a round trip during which the server is at work and not waiting for
// its disk: then this side can prepare the next one.
const short = time.Millisecond

func newBatcher[T any](share float64, limit time.Duration, size func(T) (messages, bytes int)) *batcher[T] {
	return &batcher[T]{share: share, limit: limit, size: size, target: 1, allowed: 1, wake: make(chan struct{}, 1)}
}

// add puts v into the next round trip; what is urgent makes it begin.
func (b *batcher[T]) add(v T, urgent bool) {
	messages, _ := b.size(v)
	b.mu.Lock()
	b.waiting = append(b.waiting, v)
	b.n += messages
	b.urgent = b.urgent || urgent
	look := b.away < b.allowed && (urgent || b.n == messages || b.n >= b.target)
	b.mu.Unlock()
	if look {
		b.signal()
	}
}

func (b *batcher[T]) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// stop makes run end when nothing waits any more.
func (b *batcher[T]) stop() {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	b.signal()
}

// run calls do for each batch until done is closed, or stop; it returns when
// the last call has.
func (b *batcher[T]) run(done <-chan struct{}, do func([]T)) {
	defer b.running.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-b.wake:
		case <-timer.C:
		case <-done:
			return
		}
		for {
			batch, messages, wait := b.take()
			if wait > 0 {
				timer.Reset(wait)
			}
			if len(batch) == 0 {
				break
			}
			b.running.Go(func() {
				began := time.Now()
				do(batch)
				b.back(messages, time.Since(began))
			})
		}
		if b.ended() {
			return
		}
	}
}

func (b *batcher[T]) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stopped && len(b.waiting) == 0 && b.away == 0
}

// back decides what the next round trip waits for.
func (b *batcher[T]) back(n int, took time.Duration) {
	b.mu.Lock()
	b.away--
	b.allowed = 1
	if b.two && took < short {
		b.allowed = 2
	}
	b.target, b.until = n, time.Time{}
	if n > 1 {
		b.until = time.Now().Add(min(time.Duration(float64(took)*b.share), b.limit))
		if b.all {
			b.target = batchMessages
		}
	}
	b.mu.Unlock()
	b.signal()
}

// take returns the next batch and how many messages it has, or how long it is
// not worth a round trip.
func (b *batcher[T]) take() (batch []T, messages int, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 || b.away >= b.allowed {
		return nil, 0, 0
	}
	if b.n < b.target && !b.urgent && !b.stopped {
		if wait = time.Until(b.until); wait > 0 {
			return nil, 0, wait
		}
	}
	i, size := 0, 0
	for i < len(b.waiting) && messages < batchMessages && size < batchBytes {
		n, bytes := b.size(b.waiting[i])
		messages, size = messages+n, size+bytes
		i++
	}
	batch = b.waiting[:i:i]
	b.waiting = b.waiting[i:]
	if len(b.waiting) == 0 {
		b.waiting, b.urgent = nil, false
	}
	b.n -= messages
	b.away++
	return batch, messages, 0
}
