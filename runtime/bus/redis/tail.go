package redis

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// Tail implements bus.Operator. While someone watches, whoever sends leaves a
// copy for him.
func (b *Bus) Tail(ctx context.Context, w bus.Watch, ready func(), each func(bus.Message)) error {
	for _, p := range w.Topics {
		if err := bus.CheckPattern(p); err != nil {
			return err
		}
	}
	ctx, _, leave, err := b.join(ctx)
	if err != nil {
		return err
	}
	defer leave()
	client := b.dedicated()
	defer client.Close()
	defer context.AfterFunc(ctx, func() { _ = client.Close() })() // interrupts the read

	last, err := b.lastTail(ctx)
	if err == nil {
		err = b.watch(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	if ready != nil {
		ready()
	}
	b.follow(ctx, client, last, w, each)
	return nil
}

func (b *Bus) follow(ctx context.Context, client redis.UniversalClient, last string, w bus.Watch, each func(bus.Message)) {
	renewed, failures := time.Now(), 0
	for ctx.Err() == nil {
		if time.Since(renewed) > tailingFor/4 && b.watch(ctx) == nil {
			renewed = time.Now()
		}
		entries, err := readFrom(ctx, client, b.keys.tail(), last)
		if err != nil {
			if failures++; failures == 1 && ctx.Err() == nil {
				b.opts.Log.Warn("messages can't be watched", "error", b.explain(err))
			}
			pause(ctx, failures)
			continue
		}
		failures = 0
		for _, e := range entries {
			last = e.place.String()
			if m, err := bus.Decode(e.m); err == nil && shows(w, &m) {
				each(m)
			}
		}
	}
}

// lastTail is where watching begins.
func (b *Bus) lastTail(ctx context.Context) (id string, err error) {
	err = b.read(ctx, "tail", func(ctx context.Context) error {
		newest, err := b.client.XRevRangeN(ctx, b.keys.tail(), "+", "-", 1).Result()
		id = "0"
		if len(newest) > 0 {
			id = newest[0].ID
		}
		return err
	})
	return id, err
}

// watch tells those who send that someone watches.
func (b *Bus) watch(ctx context.Context) error {
	return b.read(ctx, "tail", func(ctx context.Context) error {
		old, err := b.client.SetArgs(ctx, b.keys.tailing(), "1", redis.SetArgs{Get: true, TTL: tailingFor}).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		if old == "" {
			return b.client.Incr(ctx, b.keys.version()).Err()
		}
		return nil
	})
}

func shows(w bus.Watch, m *bus.Message) bool {
	if len(w.Components)+len(w.Topics) == 0 {
		return true
	}
	if m.Pattern == bus.PublishSubscribe {
		return bus.MatchAny(w.Topics, m.Type)
	}
	return slices.Contains(w.Components, m.Target)
}
