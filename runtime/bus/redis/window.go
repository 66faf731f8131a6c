package redis

import (
	"context"
	"sync"
	"time"
)

// window bounds what a replica holds in its memory, by number and by size.
type window struct {
	limit   int
	changed chan struct{} // it got smaller

	mu    sync.Mutex
	n     int
	bytes int
	mean  int // size of a message, of the recent ones
}

func newWindow(concurrency int) *window {
	return &window{limit: max(4*batchMessages, perLane*concurrency), changed: make(chan struct{}, 1), mean: 1024}
}

// wait returns how many messages may be read, at least one, or 0 once ctx is
// done.
func (w *window) wait(ctx context.Context) int {
	for ctx.Err() == nil {
		w.mu.Lock()
		free := min(w.limit-w.n, (readBytes-w.bytes)/w.mean)
		if w.n == 0 {
			free = max(free, 1) // the largest message has to fit
		}
		w.mu.Unlock()
		if free > 0 {
			return free
		}
		select {
		case <-w.changed:
		case <-ctx.Done():
		}
	}
	return 0
}

// add reports whether that much is held that one session must not have it all.
func (w *window) add(size int) (crowded bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	w.bytes += size
	if size > w.mean {
		w.mean = size
	} else {
		w.mean = max(w.mean-(w.mean-size)/16, 1)
	}
	return w.n > w.limit/2 || w.bytes > readBytes/2
}

func (w *window) remove(n, bytes int) {
	w.mu.Lock()
	w.n -= n
	w.bytes -= bytes
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// idle waits until nothing is held, but no longer than d. Who calls wait calls it,
// and nobody else.
func (w *window) idle(ctx context.Context, timer *time.Timer, d time.Duration) {
	timer.Reset(d)
	for {
		w.mu.Lock()
		n := w.n
		w.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-w.changed:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
