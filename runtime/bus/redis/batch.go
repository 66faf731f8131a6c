package redis

import (
	"sync"
	"time"
)

const (
	batchMessages = 256
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
	size  func(T) (messages, bytes int)

	mu      sync.Mutex
	waiting []T
	n       int  // messages in waiting
	target  int  // messages that are worth a round trip
	away    bool // one is under way
	urgent  bool // some of them can't wait
	stopped bool
	wake    chan struct{}
}

func newBatcher[T any](share float64, limit time.Duration, all bool, size func(T) (messages, bytes int)) *batcher[T] {
	return &batcher[T]{share: share, limit: limit, all: all, size: size, target: 1, wake: make(chan struct{}, 1)}
}

// add puts v into the next round trip; what is urgent makes it begin.
func (b *batcher[T]) add(v T, urgent bool) {
	messages, _ := b.size(v)
	b.mu.Lock()
	b.waiting = append(b.waiting, v)
	b.n += messages
	b.urgent = b.urgent || urgent
	enough := !b.away && (urgent || b.n >= b.target)
	b.mu.Unlock()
	if enough {
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

// run calls do for each batch until done is closed, or stop.
func (b *batcher[T]) run(done <-chan struct{}, do func([]T)) {
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
			batch, n := b.take()
			if len(batch) == 0 {
				break
			}
			began := time.Now()
			do(batch)
			if wait := b.worth(n, time.Since(began)); wait > 0 {
				timer.Reset(wait)
				break
			}
		}
		if b.ended() {
			return
		}
	}
}

func (b *batcher[T]) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stopped && len(b.waiting) == 0
}

// worth decides what the next round trip waits for, and returns how long.
func (b *batcher[T]) worth(n int, took time.Duration) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = false
	b.target = n
	if b.all && n > 1 {
		b.target = batchMessages
	}
	if n <= 1 || b.n >= b.target || b.urgent || b.stopped {
		b.target = 1
		return 0
	}
	return min(time.Duration(float64(took)*b.share), b.limit)
}

// take returns the next batch, and how many messages it has.
func (b *batcher[T]) take() (batch []T, messages int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, size := 0, 0
	for i < len(b.waiting) && messages < batchMessages && size < batchBytes {
		n, bytes := b.size(b.waiting[i])
		messages, size = messages+n, size+bytes
		i++
	}
	batch = b.waiting[:i:i]
	b.waiting = b.waiting[i:]
	if len(b.waiting) == 0 {
		b.waiting = nil
	}
	b.n -= messages
	b.target, b.away, b.urgent = 1, i > 0, len(b.waiting) > 0 && b.urgent
	return batch, messages
}
