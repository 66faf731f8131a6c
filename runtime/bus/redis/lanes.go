package redis

import (
	"context"
	"sync"
)

// spare is how many messages a replica may hold that wait behind another one
// of their session, beyond those being handled.
const spare = 64

// lanes runs work one after another for each key and bounds how many keys are
// worked on at the same time. One goroutine waits and adds.
type lanes struct {
	limit   int
	changed chan struct{} // a lane ended
	running sync.WaitGroup

	mu      sync.Mutex
	waiting map[string][]func() // by key of each lane at work: what comes next
	held    int
	stopped bool
}

func newLanes(limit int) *lanes {
	return &lanes{limit: limit, changed: make(chan struct{}, 1), waiting: map[string][]func(){}}
}

// wait returns how many pieces of work may be added, at least one, or 0 once
// ctx is done.
func (l *lanes) wait(ctx context.Context) int {
	for ctx.Err() == nil {
		if n := l.free(); n > 0 {
			return n
		}
		select {
		case <-l.changed:
		case <-ctx.Done():
		}
	}
	return 0
}

func (l *lanes) free() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(l.limit-len(l.waiting), l.limit+spare-l.held)
}

// add runs f after all that was added with the same key.
func (l *lanes) add(key string, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held++
	if next, ok := l.waiting[key]; ok {
		l.waiting[key] = append(next, f)
		return
	}
	l.waiting[key] = nil
	l.running.Go(func() {
		for f != nil {
			f()
			f = l.next(key)
		}
	})
}

func (l *lanes) next(key string) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held--
	defer func() {
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}()
	next := l.waiting[key]
	if len(next) == 0 || l.stopped {
		delete(l.waiting, key)
		return nil
	}
	l.waiting[key] = next[1:]
	return next[0]
}

// stop starts nothing more and waits for what runs.
func (l *lanes) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.running.Wait()
}
