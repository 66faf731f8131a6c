// Package memory is a bus within one process: for systems that run as one, and
// for tests. It behaves as the others do, but that nothing outlives it.
//
// A component's queue is a set of lanes, one for each session, of which only
// the first message is handled or waits for its retry: so the messages of a
// session keep their order across replicas and retries.
package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// Options of a bus; the zero value is good.
type Options struct {
	Backoff     bus.Backoff   // between the attempts of a message
	DedupWindow time.Duration // in which a finished id isn't handled again; 5 min if 0
	QueueLimit  int           // length of a queue at which Publish waits; 10,000 if 0
	DeadLimit   int           // dead letters kept for each component; 1,000 if 0
	Log         *slog.Logger
}

// Bus implements bus.Bus. Its zero value isn't usable: see New.
type Bus struct {
	opts    Options
	inboxes *bus.Inboxes
	running sync.WaitGroup // calls of Consume

	mu        sync.Mutex
	queues    map[string]*queue
	gathered  map[string]*gathering
	consumers map[int]context.CancelFunc
	next      int           // key in consumers
	changed   chan struct{} // closed when a queue gets shorter
	dropped   int64
	stopped   bool
	closed    bool
}

var _ bus.Bus = (*Bus)(nil)

// New returns an empty bus.
func New(o Options) *Bus {
	if o.DedupWindow <= 0 {
		o.DedupWindow = 5 * time.Minute
	}
	if o.QueueLimit <= 0 {
		o.QueueLimit = 10_000
	}
	if o.DeadLimit <= 0 {
		o.DeadLimit = 1_000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Bus{
		opts:      o,
		inboxes:   bus.NewInboxes(bus.NewID()),
		queues:    map[string]*queue{},
		gathered:  map[string]*gathering{},
		consumers: map[int]context.CancelFunc{},
		changed:   make(chan struct{}),
	}
}

// queue returns a component's queue. With b.mu held.
func (b *Bus) queue(component string) *queue {
	q := b.queues[component]
	if q == nil {
		q = newQueue(component, &b.mu)
		b.queues[component] = q
	}
	return q
}

// shorter wakes those who wait for room or for the end. With b.mu held.
func (b *Bus) shorter() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// StopAccepting implements bus.Bus.
func (b *Bus) StopAccepting() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
}

// Drain implements bus.Bus.
func (b *Bus) Drain(ctx context.Context) (map[string]int64, error) {
	for {
		b.mu.Lock()
		left := map[string]int64{}
		for name, q := range b.queues {
			if n := q.depth; n > 0 {
				left[name] = int64(n)
			}
		}
		changed := b.changed
		b.mu.Unlock()
		if len(left) == 0 {
			return left, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return left, nil
		}
	}
}

// Stats implements bus.Bus.
func (b *Bus) Stats(context.Context) (map[string]bus.Stats, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]bus.Stats, len(b.queues))
	for name, q := range b.queues {
		out[name] = bus.Stats{
			Depth:    int64(q.depth),
			InFlight: int64(q.inFlight),
			Delayed:  int64(q.delayed),
			Dead:     int64(len(q.dead)),
		}
	}
	return out, nil
}

// DeadLetters implements bus.Bus.
func (b *Bus) DeadLetters(_ context.Context, component string, limit int) ([]bus.DeadLetter, error) {
	if limit <= 0 {
		limit = 100
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []bus.DeadLetter
	if q := b.queues[component]; q != nil {
		for i := len(q.dead) - 1; i >= 0 && len(out) < limit; i-- {
			out = append(out, q.dead[i])
		}
	}
	return out, nil
}

// Dropped implements bus.Bus.
func (b *Bus) Dropped(context.Context) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped, nil
}

// Healthy implements bus.Bus.
func (b *Bus) Healthy(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return bus.ErrClosed
	}
	return nil
}

// Close implements bus.Bus.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.closed = true
	for _, cancel := range b.consumers {
		cancel()
	}
	b.mu.Unlock()
	b.running.Wait()
	b.inboxes.Close()

	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range b.queues {
		q.stopTimers()
	}
	for _, g := range b.gathered {
		g.expire.Stop()
	}
	return nil
}

// gathering is the parts of one key; it goes when its timer fires.
type gathering struct {
	parts  map[string]json.RawMessage
	expire *time.Timer
}

// Gather implements bus.Bus.
func (b *Bus) Gather(_ context.Context, key, part string, value json.RawMessage, ttl time.Duration) (map[string]json.RawMessage, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("gather %q: ttl is %s: want more than 0", key, ttl)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, bus.ErrClosed
	}
	g := b.gathered[key]
	if g == nil {
		g = &gathering{parts: map[string]json.RawMessage{}}
		b.gathered[key] = g
	} else {
		g.expire.Stop()
	}
	var timer *time.Timer
	timer = time.AfterFunc(ttl, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if g.expire == timer { // else it was renewed meanwhile
			delete(b.gathered, key)
		}
	})
	g.expire = timer
	if _, ok := g.parts[part]; !ok {
		g.parts[part] = append(json.RawMessage(nil), value...)
	}
	out := make(map[string]json.RawMessage, len(g.parts))
	for k, v := range g.parts {
		out[k] = append(json.RawMessage(nil), v...)
	}
	return out, nil
}
