// Package memory is a bus within one process: for systems that run as one, and
// for tests. It behaves as the others do, but that nothing outlives it.
//
// A component's queue is a set of lanes, one for each session, of which only
// the first message is handled or waits for its retry: so the messages of a
// session keep their order across replicas and retries.
//
// A message is checked and its payload copied once, when it is published. From
// then on all who get it share that copy, and must not change it.
//
// Nothing is thrown away for want of room: a queue with its limit, or with too
// many dead letters, makes those wait who publish to it from outside.
package memory

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// Options of a bus; the zero value is good.
type Options struct {
	Backoff     bus.Backoff   // between the attempts of a message
	DedupWindow time.Duration // in which a finished id isn't handled again; 5 min if 0, less where a million come in that time
	QueueLimit  int           // as Consumer.QueueLimit, for components that don't say it; 10,000 if 0
	DeadLimit   int           // dead letters of a component at which Publish to it waits; 100,000 if 0
	Log         *slog.Logger
}

// Bus implements bus.Bus. Its zero value isn't usable: see New.
type Bus struct {
	opts    Options
	inboxes *bus.Inboxes
	running sync.WaitGroup // calls of Consume
	done    chan struct{}  // closed by Close
	start   time.Time
	waiters sync.Pool // who publishes faster than a queue is worked off needs one for each message

	mu          sync.Mutex
	queues      map[string]*queue
	finished    *bus.Window         // what each has handled, by its marks
	subscribers map[string][]*queue // by topic, as far as asked for
	gathered    map[string]*gathering
	consumers   map[int]context.CancelFunc
	next        int           // key in consumers
	depth       int           // of all queues
	empty       chan struct{} // where someone waits: closed when depth is 0
	watchers    []*watcher
	workers     workers
	trail       trail
	dropped     int64
	stopped     bool
	closed      bool
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
		o.DeadLimit = 100_000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bus{
		opts:        o,
		inboxes:     bus.NewInboxes(bus.NewID()),
		waiters:     sync.Pool{New: newWaiter},
		done:        make(chan struct{}),
		start:       time.Now(),
		queues:      map[string]*queue{},
		finished:    bus.NewWindow(o.DedupWindow),
		subscribers: map[string][]*queue{},
		gathered:    map[string]*gathering{},
		consumers:   map[int]context.CancelFunc{},
	}
	b.workers.work.L = &b.mu
	return b
}

// clock is a time as windows take it: that of the wall may go back.
func (b *Bus) clock(t time.Time) int64 { return 1 + t.Sub(b.start).Milliseconds() }

// queue returns a component's queue. With b.mu held.
func (b *Bus) queue(component string) *queue {
	q := b.queues[component]
	if q == nil {
		q = newQueue(b, component)
		b.queues[component] = q
	}
	return q
}

// StopAccepting implements bus.Bus.
func (b *Bus) StopAccepting() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	b.sendAway()
}

// sendAway lets all who wait for room see that it is in vain. With b.mu held.
func (b *Bus) sendAway() {
	for _, q := range b.queues {
		q.admit()
	}
}

// Drain implements bus.Bus.
func (b *Bus) Drain(ctx context.Context) (map[string]int64, error) {
	for {
		left, empty, err := b.left()
		if err != nil || len(left) == 0 {
			return left, err
		}
		select {
		case <-empty:
		case <-b.done:
		case <-ctx.Done():
			return left, nil
		}
	}
}

// left returns what is in the queues, and a channel to wait on for the end.
func (b *Bus) left() (left map[string]int64, empty <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, bus.ErrClosed
	}
	left = map[string]int64{}
	for name, q := range b.queues {
		if q.depth > 0 {
			left[name] = int64(q.depth)
		}
	}
	if b.empty == nil {
		b.empty = make(chan struct{})
	}
	return left, b.empty, nil
}

// add counts messages in and out. With b.mu held.
func (b *Bus) add(n int) {
	if b.depth += n; b.depth == 0 && b.empty != nil {
		close(b.empty)
		b.empty = nil
	}
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
	if !b.closed {
		b.closed = true
		close(b.done)
		b.sendAway()
	}
	for _, cancel := range b.consumers {
		cancel()
	}
	b.mu.Unlock()
	b.running.Wait()
	b.inboxes.Close()

	b.mu.Lock()
	defer b.mu.Unlock()
	b.dismiss()
	for _, q := range b.queues {
		q.stopTimers()
	}
	for _, g := range b.gathered {
		g.expire.Stop()
	}
	return nil
}
