package redis

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// consumer is one call of Consume.
type consumer struct {
	bus.Consumer
	bus      *Bus
	serial   int                   // no other of the bus has the same
	owner    string                // of leases: no other has the same, whatever it is called
	reader   redis.UniversalClient // blocks in reads
	lanes    *lanes
	window   *window
	finished *finished
	log      *slog.Logger
	clock    atomic.Int64 // the server's less this one's, in ms

	rebalance chan struct{} // replicas came or went, or a partition can go
	due       chan struct{} // a retry was put aside: look when it is due
	alone     sync.Mutex    // held for a message that may end the process

	last      <-chan struct{} // closed lastWords after the consumer was to end
	unsettled unsettled

	wake            any   // the stream that tells of replicas, as an argument
	args, positions []any // of the reader: room for the next read

	mu    sync.Mutex
	parts map[int]*part
}

// Consume implements bus.Bus.
func (b *Bus) Consume(ctx context.Context, c bus.Consumer, ready func()) error {
	if err := c.Validate(); err != nil {
		return err
	}
	ctx, serial, leave, err := b.join(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if c.Instance == "" {
		c.Instance = bus.NewID()
	}
	k := &consumer{
		Consumer:  c,
		bus:       b,
		serial:    serial,
		owner:     c.Instance + "." + bus.NewID(),
		reader:    b.dedicated(),
		window:    newWindow(max(c.Concurrency, 1)),
		finished:  newFinished(b.opts.DedupWindow),
		log:       b.opts.Log.With("component", c.Component, "instance", c.Instance),
		rebalance: make(chan struct{}, 1),
		due:       make(chan struct{}, 1),
		unsettled: unsettled{marks: map[pendingMark]int{}},
		wake:      b.keys.wake(c.Component),
		parts:     map[int]*part{},
	}
	hctx, cancel := c.HandlerContext(ctx)
	defer cancel()
	last, stopLast := bus.Outlive(ctx, lastWords, nil)
	defer stopLast()
	k.last = last.Done()
	k.lanes = newLanes(max(c.Concurrency, 1), func(e *entry) { k.handle(ctx, hctx, e) }, k.rewind)
	if err := k.subscribe(ctx); err != nil {
		_ = k.reader.Close() // nothing was read
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	k.run(ctx, ready)
	return nil
}

// run works until ctx is done and the running handlers are.
func (k *consumer) run(ctx context.Context, ready func()) {
	// The replica counts as alive until its last handler is done.
	alive, stopAlive := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { k.upkeep(alive) })
	helpers.Go(func() { k.move(ctx) })
	helpers.Go(func() { k.sweep(ctx) })
	helpers.Go(func() {
		<-ctx.Done()
		_ = k.reader.Close() // interrupts the read
	})
	if ready != nil {
		ready()
	}
	k.bus.reads.join(1)
	k.read(ctx)
	k.bus.reads.join(-1)
	k.lanes.stop()
	k.settled()
	stopAlive()
	helpers.Wait()
	k.leave(ctx)
}

// subscribe tells publishers of this component, and gets its partitions.
func (k *consumer) subscribe(ctx context.Context) error {
	return k.bus.retry(ctx, "consume "+k.Component, func(ctx context.Context) error {
		if err := k.enter(ctx); err != nil {
			return err
		}
		return k.beat(ctx)
	})
}

func (k *consumer) enter(ctx context.Context) error {
	s, err := json.Marshal(subscription{Topics: k.Topics, Limit: k.QueueLimit, Overflow: k.Overflow, TTL: k.TTL})
	if err != nil {
		return err
	}
	keys := k.bus.keys
	_, err = k.bus.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.SAdd(ctx, keys.queues(), k.Component)
		p.HSet(ctx, keys.subs(), k.Component, s)
		p.Incr(ctx, keys.version())
		return nil
	})
	return err
}

// move puts retries that are due back on the queue. Every replica does it.
func (k *consumer) move(ctx context.Context) {
	const afterFailure = 500 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.due:
		case <-timer.C:
		}
		wait := afterFailure
		_ = attempt(ctx, func(ctx context.Context) error { // the reader reports what is wrong
			ms, err := k.bus.run(ctx, k.bus.scripts.move, k.Component, 100).Int64()
			if err == nil {
				wait = time.Duration(ms) * time.Millisecond
			}
			return err
		})
		if wait < 0 { // nothing waits
			timer.Stop()
		} else {
			timer.Reset(wait)
		}
	}
}

// moveSoon makes move look.
func (k *consumer) moveSoon() {
	select {
	case k.due <- struct{}{}:
	default:
	}
}
