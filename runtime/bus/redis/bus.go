package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// Bus implements bus.Bus. See Open.
type Bus struct {
	opts   Options
	conf   *redis.Options
	client *redis.Client
	keys   keyspace
	flush  *flusher

	instance string // names this process's inbox
	inboxes  *bus.Inboxes

	running sync.WaitGroup // calls of Consume
	helpers sync.WaitGroup // flusher, inbox reader
	done    chan struct{}  // closed when nothing may be sent any more

	mu        sync.Mutex
	consumers map[int]context.CancelFunc
	next      int // key in consumers
	listening bool
	stopped   bool
	closed    bool
}

var _ bus.Bus = (*Bus)(nil)

func newBus(o Options, conf *redis.Options, keys keyspace) *Bus {
	instance := bus.NewID()
	client := redis.NewClient(conf)
	return &Bus{
		opts:      o,
		conf:      conf,
		client:    client,
		keys:      keys,
		flush:     newFlusher(client, keys),
		instance:  instance,
		inboxes:   bus.NewInboxes(instance),
		done:      make(chan struct{}),
		consumers: map[int]context.CancelFunc{},
	}
}

// dedicated returns a client with one connection of its own, for reads that
// block: they would hold up others, and only closing it interrupts them.
func (b *Bus) dedicated() *redis.Client {
	conf := *b.conf
	conf.PoolSize = 1
	return redis.NewClient(&conf)
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
	ctx, cancel := withDefaultDeadline(ctx)
	defer cancel()
	return b.retry(ctx, what, op)
}

func withDefaultDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, bus.DefaultPublishWait)
}

// Stats implements bus.Bus.
func (b *Bus) Stats(ctx context.Context) (map[string]bus.Stats, error) {
	out := map[string]bus.Stats{}
	err := b.read(ctx, "stats", func(ctx context.Context) error {
		rows, err := statsScript.Run(ctx, b.client, []string{b.keys.queues()}, string(b.keys), group).Slice()
		if err != nil {
			return err
		}
		for _, r := range rows {
			row, ok := r.([]any)
			if !ok || len(row) != 6 {
				return bus.Permanent(fmt.Errorf("unexpected row %v", r))
			}
			name, _ := row[0].(string)
			var n [5]int64
			for i := range n {
				n[i], _ = row[i+1].(int64)
			}
			out[name] = bus.Stats{Depth: n[0] + n[2] + n[3], InFlight: n[1], Delayed: n[2], Dead: n[4]}
		}
		return nil
	})
	return out, err
}

// Drain implements bus.Bus.
func (b *Bus) Drain(ctx context.Context) (map[string]int64, error) {
	wait := 5 * time.Millisecond
	for {
		stats, err := b.Stats(ctx)
		if ctx.Err() != nil { // the last look comes after the end of ctx
			stats, err = b.lastStats(ctx)
		}
		if err != nil {
			return nil, err
		}
		left := map[string]int64{}
		for name, s := range stats {
			if s.Depth > 0 {
				left[name] = s.Depth
			}
		}
		if len(left) == 0 || ctx.Err() != nil {
			return left, nil
		}
		wait = min(2*wait, 200*time.Millisecond)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

func (b *Bus) lastStats(ctx context.Context) (map[string]bus.Stats, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return b.Stats(ctx)
}

// DeadLetters implements bus.Bus.
func (b *Bus) DeadLetters(ctx context.Context, component string, limit int) ([]bus.DeadLetter, error) {
	if limit <= 0 {
		limit = 100
	}
	var out []bus.DeadLetter
	err := b.read(ctx, "dead letters of "+component, func(ctx context.Context) error {
		entries, err := b.client.XRevRangeN(ctx, b.keys.dead(component), "+", "-", int64(limit)).Result()
		if err != nil {
			return err
		}
		out = make([]bus.DeadLetter, len(entries))
		for i, e := range entries {
			out[i] = deadLetter(e)
		}
		return nil
	})
	return out, err
}

func deadLetter(e redis.XMessage) bus.DeadLetter {
	text := func(field string) string { s, _ := e.Values[field].(string); return s }
	millis := func(field string) time.Time {
		ms, _ := strconv.ParseInt(text(field), 10, 64)
		return time.UnixMilli(ms).UTC()
	}
	m, err := bus.Decode([]byte(text("m")))
	if err != nil { // that is why it is here: show it as it came
		quoted, _ := json.Marshal(text("m")) // a string always can be
		m = bus.Message{ID: e.ID, Target: text("target"), Payload: quoted}
	}
	attempts, _ := strconv.Atoi(text("attempts"))
	return bus.DeadLetter{Message: m, Target: text("target"), Error: text("error"), Attempts: attempts,
		First: millis("first"), Last: millis("last")}
}

// Dropped implements bus.Bus.
func (b *Bus) Dropped(ctx context.Context) (n int64, err error) {
	err = b.read(ctx, "dropped messages", func(ctx context.Context) error {
		n, err = b.client.Get(ctx, b.keys.dropped()).Int64()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	})
	return n, err
}

// Gather implements bus.Bus.
func (b *Bus) Gather(ctx context.Context, key, part string, value json.RawMessage, ttl time.Duration) (map[string]json.RawMessage, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("gather %q: ttl is %s: want more than 0", key, ttl)
	}
	var out map[string]json.RawMessage
	err := b.read(ctx, "gather "+key, func(ctx context.Context) error {
		flat, err := gatherScript.Run(ctx, b.client, []string{b.keys.of("gather", key)},
			part, []byte(value), max(ttl.Milliseconds(), 1)).StringSlice()
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
func (b *Bus) join(ctx context.Context) (context.Context, func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, bus.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	key := b.next
	b.next++
	b.consumers[key] = cancel
	b.running.Add(1)
	return ctx, func() {
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
