package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// Bus implements bus.Bus. See Open.
type Bus struct {
	opts    Options
	server  *server
	client  redis.UniversalClient
	keys    keyspace
	flush   *flusher
	settler *settler
	routes  atomic.Pointer[routes]
	reads   pace // of all consumers

	scripts scripts

	instance string // names this process's inbox
	inboxes  *bus.Inboxes

	running sync.WaitGroup // calls of Consume
	helpers sync.WaitGroup // flusher, inbox reader
	done    chan struct{}  // closed when nothing may be sent any more

	mu        sync.Mutex
	consumers map[int]context.CancelFunc
	next      int             // key in consumers
	listening map[string]bool // inboxes
	stopped   bool
	closed    bool
}

var _ bus.Bus = (*Bus)(nil)

func newBus(o Options, server *server, keys keyspace) *Bus {
	instance := bus.NewID()
	b := &Bus{
		opts:      o,
		server:    server,
		client:    server.open(0),
		keys:      keys,
		scripts:   newScripts(),
		instance:  instance,
		inboxes:   bus.NewInboxes(instance),
		done:      make(chan struct{}),
		consumers: map[int]context.CancelFunc{},
		listening: map[string]bool{},
	}
	b.flush = newFlusher(b)
	b.settler = newSettler(b)
	b.routes.Store(unknown)
	return b
}

// dedicated returns a client with one connection of its own, for reads that
// block: they would hold up others, and only closing it interrupts them.
func (b *Bus) dedicated() redis.UniversalClient {
	return b.server.open(1)
}

// StopAccepting implements bus.Bus.
func (b *Bus) StopAccepting() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
}

// accepting says why ctx's owner can't publish.
func (b *Bus) accepting(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case bus.InHandler(ctx):
		return nil
	case b.closed:
		return bus.ErrClosed
	case b.stopped:
		return bus.ErrStopped
	}
	return nil
}

func (b *Bus) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// read is retry for what only asks.
func (b *Bus) read(ctx context.Context, what string, op func(context.Context) error) error {
	if b.isClosed() {
		return bus.ErrClosed
	}
	ctx, cancel := bus.WithDefaultDeadline(ctx)
	defer cancel()
	return b.retry(ctx, what, op)
}

// Gather implements bus.Bus.
func (b *Bus) Gather(ctx context.Context, key, part string, value json.RawMessage, ttl time.Duration) (map[string]json.RawMessage, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("gather %q: ttl is %s: want more than 0", key, ttl)
	}
	var out map[string]json.RawMessage
	err := b.read(ctx, "gather "+key, func(ctx context.Context) error {
		flat, err := b.run(ctx, b.scripts.gather, key, part, []byte(value), max(ttl.Milliseconds(), 1)).StringSlice()
		if err != nil {
			return err
		}
		out = make(map[string]json.RawMessage, len(flat)/2)
		for i := 0; i+1 < len(flat); i += 2 {
			out[flat[i]] = json.RawMessage(flat[i+1])
		}
		return nil
	})
	return out, err
}

// Healthy implements bus.Bus.
func (b *Bus) Healthy(ctx context.Context) error {
	if b.isClosed() {
		return bus.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if err := b.client.Ping(ctx).Err(); err != nil {
		return b.explain(err)
	}
	return nil
}

// join registers a call of Consume; its context also ends with Close.
func (b *Bus) join(ctx context.Context) (_ context.Context, serial int, leave func(), _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, 0, nil, bus.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	key := b.next
	b.next++
	b.consumers[key] = cancel
	b.running.Add(1)
	return ctx, key, func() {
		cancel()
		b.mu.Lock()
		delete(b.consumers, key)
		b.mu.Unlock()
		b.running.Done()
	}, nil
}

// Close implements bus.Bus.
func (b *Bus) Close() error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	for _, cancel := range b.consumers {
		cancel()
	}
	b.mu.Unlock()
	b.running.Wait()
	if first {
		close(b.done)
	}
	b.helpers.Wait()
	b.inboxes.Close()
	if !first {
		return nil
	}
	return b.client.Close()
}
