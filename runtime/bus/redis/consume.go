package redis

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// consumer is one call of Consume.
type consumer struct {
	bus.Consumer
	bus    *Bus
	reader *redis.Client // blocks in reads
	lanes  *lanes
	log    *slog.Logger
	due    chan struct{} // a retry was put aside: look when it is due

	mu   sync.Mutex
	held map[string]bool // entries given to this replica and not settled
}

// Consume implements bus.Bus.
func (b *Bus) Consume(ctx context.Context, c bus.Consumer, ready func()) error {
	if err := c.Validate(); err != nil {
		return err
	}
	ctx, leave, err := b.join(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if c.Instance == "" {
		c.Instance = bus.NewID()
	}
	k := &consumer{
		Consumer: c,
		bus:      b,
		reader:   b.dedicated(),
		lanes:    newLanes(max(c.Concurrency, 1)),
		log:      b.opts.Log.With("component", c.Component, "instance", c.Instance),
		due:      make(chan struct{}, 1),
		held:     map[string]bool{},
	}
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
	hctx, cancel := k.HandlerContext(ctx)
	defer cancel()
	// The replica counts as alive until its last handler is done.
	upkeep, stopUpkeep := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { k.beat(upkeep) })
	helpers.Go(func() { k.move(ctx) })
	helpers.Go(func() {
		<-ctx.Done()
		_ = k.reader.Close() // interrupts the read
	})
	if ready != nil {
		ready()
	}
	k.read(ctx, hctx)
	k.lanes.stop()
	stopUpkeep()
	helpers.Wait()
	k.leave(ctx)
}

// subscribe makes what this replica needs on the server. All of it may be
// there already.
func (k *consumer) subscribe(ctx context.Context) error {
	topics, err := json.Marshal(k.Topics)
	if err != nil {
		return err
	}
	keys := k.bus.keys
	return k.bus.retry(ctx, "consume "+k.Component, func(ctx context.Context) error {
		// From 0: what was published before anyone consumed is to be handled.
		err := k.bus.client.XGroupCreateMkStream(ctx, keys.stream(k.Component), group, "0").Err()
		if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
			return err
		}
		_, err = k.bus.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.SAdd(ctx, keys.queues(), k.Component)
			if len(k.Topics) > 0 {
				p.HSet(ctx, keys.subs(), k.Component, topics)
			} else {
				p.HDel(ctx, keys.subs(), k.Component)
			}
			p.Set(ctx, keys.alive(k.Component, k.Instance), "1", k.bus.opts.Lease)
			return nil
		})
		return err
	})
}

// beat keeps this replica from being taken for dead.
func (k *consumer) beat(ctx context.Context) {
	tick := time.NewTicker(k.bus.opts.Lease / 4)
	defer tick.Stop()
	key := k.bus.keys.alive(k.Component, k.Instance)
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := attempt(ctx, func(ctx context.Context) error {
			return k.bus.client.Set(ctx, key, "1", k.bus.opts.Lease).Err()
		})
		switch {
		case err == nil:
			failures = 0
		case ctx.Err() == nil:
			if failures++; failures == 1 {
				k.log.Warn("heartbeat failed; other replicas may take this one's messages over", "error", k.bus.explain(err))
			}
		}
	}
}

// move puts retries that are due back on the queue. Every replica does it.
func (k *consumer) move(ctx context.Context) {
	const longest = 500 * time.Millisecond // for what other replicas put aside
	keys := []string{k.bus.keys.stream(k.Component), k.bus.keys.delayed(k.Component)}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.due:
		case <-timer.C:
		}
		wait := longest
		_ = attempt(ctx, func(ctx context.Context) error { // the reader reports what is wrong
			ms, err := moveScript.Run(ctx, k.bus.client, keys, 100).Int64()
			if err == nil && ms >= 0 {
				wait = min(wait, time.Duration(ms)*time.Millisecond)
			}
			return err
		})
		timer.Reset(wait)
	}
}

// leave signs off, so that others take over at once what is left.
func (k *consumer) leave(ctx context.Context) {
	keys := []string{k.bus.keys.stream(k.Component), k.bus.keys.alive(k.Component, k.Instance)}
	args := []any{group, k.Instance}
	for _, id := range k.holding() {
		args = append(args, id)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := leaveScript.Run(ctx, k.bus.client, keys, args...).Err(); err != nil && !isNoGroup(err) {
		k.log.Warn("can't sign off; what this replica held is taken over when its lease ends", "error", k.bus.explain(err))
	}
}

func (k *consumer) holding() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]string, 0, len(k.held))
	for id := range k.held {
		out = append(out, id)
	}
	return out
}

// hold reports whether the entry is new to this replica.
func (k *consumer) hold(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[id] {
		return false
	}
	k.held[id] = true
	return true
}

func (k *consumer) release(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, id)
}

func isNoGroup(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.Contains(reply.Error(), "NOGROUP")
}
