package nats

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// Bus implements bus.Bus. See Open.
type Bus struct {
	opts  Options
	names names
	where address
	nc    *nats.Conn
	js    jetstream.JetStream
	store
	skew     time.Duration // of the server's clock against ours
	ensuring sync.Mutex

	instance string // names this process's inbox
	inboxes  *bus.Inboxes
	settings settings
	rooms    rooms
	resumed  signal // the connection is back

	reconnected chan struct{} // for resume

	running sync.WaitGroup // calls of Consume
	helpers sync.WaitGroup // what works until done
	done    chan struct{}  // closed when nothing may be sent any more

	mu        sync.Mutex
	consumers map[*consumer]context.CancelFunc
	listening map[string]bool // inboxes
	minding   bool            // the janitor works
	stopped   bool
	closed    bool
}

var _ bus.Bus = (*Bus)(nil)

func newBus(o Options, n names, where address) *Bus {
	instance := bus.NewID()
	return &Bus{
		opts:     o,
		names:    n,
		where:    where,
		instance: instance,
		inboxes:  bus.NewInboxes(instance),
		settings: settings{of: map[string]setting{}},
		rooms:    rooms{of: map[string]room{}},
		done:     make(chan struct{}),

		reconnected: make(chan struct{}, 1),

		consumers: map[*consumer]context.CancelFunc{},
		listening: map[string]bool{},
	}
}

// signal wakes all who wait.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// next is closed by the next send.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// now is the server's time.
func (b *Bus) now() time.Time { return time.Now().Add(b.skew) }

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

// ask is retry for what may be asked until the bus is closed.
func (b *Bus) ask(ctx context.Context, what string, op func(context.Context) error) error {
	if b.isClosed() {
		return bus.ErrClosed
	}
	ctx, cancel := bus.WithDefaultDeadline(ctx)
	defer cancel()
	return b.retry(ctx, what, op)
}

// pause waits longer with each failure in a row.
func pause(ctx context.Context, failures int) {
	t := time.NewTimer(bus.Backoff{Min: 20 * time.Millisecond, Max: time.Second}.Delay(failures))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Subscribers implements bus.Operator.
func (b *Bus) Subscribers(ctx context.Context, topic string) ([]string, error) {
	if err := b.ask(ctx, "subscriptions", b.upToDate); err != nil {
		return nil, err
	}
	names := b.settings.subscribers(topic)
	slices.Sort(names)
	return names, nil
}

// Dropped implements bus.Bus.
func (b *Bus) Dropped(ctx context.Context) (n int64, err error) {
	err = b.ask(ctx, "dropped messages", func(ctx context.Context) error {
		info, err := b.store.dropped.Info(ctx)
		if err == nil {
			n = int64(info.State.LastSeq)
		}
		return err
	})
	return n, err
}

// Healthy implements bus.Bus.
func (b *Bus) Healthy(ctx context.Context) error {
	if b.isClosed() {
		return bus.ErrClosed
	}
	if !b.nc.IsConnected() {
		return b.explain(errors.Join(nats.ErrDisconnected, b.nc.LastError()))
	}
	err := attempt(ctx, func(ctx context.Context) error {
		_, err := b.store.queue.Info(ctx)
		return err
	})
	if err != nil {
		return b.explain(err)
	}
	return nil
}

// join registers a call of Consume; its context also ends with Close.
func (b *Bus) join(ctx context.Context, k *consumer) (context.Context, func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, bus.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	b.consumers[k] = cancel
	b.running.Add(1)
	if !b.minding {
		b.minding = true
		outlive := context.WithoutCancel(ctx)
		b.helpers.Go(func() { b.answerStats() })
		b.helpers.Go(func() { b.mind(outlive) })
	}
	return ctx, func() {
		cancel()
		b.mu.Lock()
		delete(b.consumers, k)
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
	if first {
		b.disconnect()
	}
	return nil
}

// disconnect sends what is still to be sent, for a moment, and closes.
func (b *Bus) disconnect() {
	if b.nc == nil {
		return
	}
	if b.nc.IsConnected() {
		_ = b.nc.FlushTimeout(time.Second) // what has to arrive was waited for
	}
	b.nc.Close()
}
