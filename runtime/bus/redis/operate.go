package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// Stats implements bus.Operator. InFlight is as old as a heartbeat of the
// replicas, a quarter of their lease.
func (b *Bus) Stats(ctx context.Context) (map[string]bus.Stats, error) {
	out := map[string]bus.Stats{}
	err := b.read(ctx, "stats", func(ctx context.Context) error {
		rows, err := b.run(ctx, b.scripts.stats).Slice()
		if err != nil {
			return err
		}
		if len(rows) < 2 {
			return bus.Permanent(fmt.Errorf("unexpected reply %v", rows))
		}
		routes := b.known()
		if routes.version != rows[1] {
			if routes, err = b.loadRoutes(ctx); err != nil {
				return err
			}
		}
		now := millis(rows[0])
		for _, r := range rows[2:] {
			row, ok := r.([]any)
			if !ok || len(row) != 11 {
				return bus.Permanent(fmt.Errorf("unexpected row %v", r))
			}
			name, _ := row[0].(string)
			var n [11]int64
			for i := range n {
				n[i], _ = row[i].(int64)
			}
			out[name] = statsOf(now, n, routes.subs[name].Limit)
		}
		return nil
	})
	return out, err
}

// statsOf reads a row of stats.lua.
func statsOf(now int64, n [11]int64, limit int) bus.Stats {
	queued, delayed, parked := n[1], n[2], n[3]
	s := bus.Stats{
		Depth: queued + delayed + parked, InFlight: min(n[5], queued), Delayed: delayed, Dead: n[4],
		Consumers: int(n[6]), Handled: n[8], Retried: n[9], Buried: n[10], Limit: int64(limit),
	}
	s.Lag = s.Depth - s.InFlight - s.Delayed
	if n[7] > 0 {
		s.Oldest = max(float64(now-n[7])/1000, 0)
	}
	return s
}

// Drain implements bus.Bus.
func (b *Bus) Drain(ctx context.Context) (map[string]int64, error) {
	return bus.UntilEmpty(ctx, func(ctx context.Context) (left map[string]int64, err error) {
		err = b.read(ctx, "drain", func(ctx context.Context) error {
			row, err := b.run(ctx, b.scripts.left).Slice()
			left = make(map[string]int64, len(row)/2)
			for i := 0; i+1 < len(row); i += 2 {
				name, _ := row[i].(string)
				left[name], _ = row[i+1].(int64)
			}
			return err
		})
		return left, err
	})
}

// DeadLetters implements bus.Operator.
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
	when := func(field string) time.Time { return time.UnixMilli(millis(text(field))).UTC() }
	m, err := bus.Decode([]byte(text("m")))
	if err != nil { // that is why it is here: show it as it came
		quoted, _ := json.Marshal(text("m")) // a string always can be
		m = bus.Message{ID: e.ID, Target: text("target"), Payload: quoted}
	}
	attempts, _ := strconv.Atoi(text("attempts"))
	return bus.DeadLetter{ID: e.ID, Message: m, Target: text("target"), Error: text("error"), Attempts: attempts,
		First: when("first"), Last: when("last")}
}

// Requeue implements bus.Operator.
func (b *Bus) Requeue(ctx context.Context, component string, ids ...string) (int, error) {
	return b.eachDead(ctx, "requeue", component, ids, func(ctx context.Context, e redis.XMessage) (bool, error) {
		text, _ := e.Values["m"].(string)
		m, err := bus.Decode([]byte(text))
		if err != nil {
			return false, fmt.Errorf("dead letter %s of %s: %w: it can only be removed", e.ID, component, err)
		}
		m.RetryCount = 0
		m.ReplyTo = "" // whoever waited was told
		body, err := bus.Encode(&m)
		if err != nil {
			return false, err
		}
		n, err := b.run(ctx, b.scripts.requeue, component, e.ID, partition(&m), body).Int()
		return n == 1, err
	})
}

// Discard implements bus.Operator.
func (b *Bus) Discard(ctx context.Context, component string, ids ...string) (int, error) {
	return b.eachDead(ctx, "discard", component, ids, func(ctx context.Context, e redis.XMessage) (bool, error) {
		n, err := b.client.XDel(ctx, b.keys.dead(component), e.ID).Result()
		return n == 1, err
	})
}

// eachDead calls do for dead letters, the oldest first, and counts for how many
// it did something.
func (b *Bus) eachDead(ctx context.Context, what, component string, ids []string, do func(context.Context, redis.XMessage) (bool, error)) (int, error) {
	n := 0
	visit := func(entries []redis.XMessage) error {
		for _, e := range entries {
			var done bool
			err := b.read(ctx, what+" dead letter of "+component, func(ctx context.Context) (err error) {
				done, err = do(ctx, e)
				return err
			})
			if err != nil {
				return err
			}
			if done {
				n++
			}
		}
		return nil
	}
	for _, id := range ids {
		if parseID(id).String() != id {
			continue // there is none with that id
		}
		page, err := b.deadPage(ctx, component, id, id)
		if err == nil {
			err = visit(page)
		}
		if err != nil {
			return n, err
		}
	}
	if len(ids) > 0 {
		return n, nil
	}
	// What dies meanwhile comes after the last one of now, and may be what was
	// just requeued: it isn't meant.
	last, err := b.lastDead(ctx, component)
	if err != nil || last == "" {
		return n, err
	}
	for from := "-"; ; {
		page, err := b.deadPage(ctx, component, from, last)
		if err == nil {
			err = visit(page)
		}
		if err != nil || len(page) == 0 {
			return n, err
		}
		from = "(" + page[len(page)-1].ID
	}
}

// lastDead is the id of the newest dead letter; "" where there is none.
func (b *Bus) lastDead(ctx context.Context, component string) (id string, err error) {
	err = b.read(ctx, "dead letters of "+component, func(ctx context.Context) error {
		newest, err := b.client.XRevRangeN(ctx, b.keys.dead(component), "+", "-", 1).Result()
		if err == nil && len(newest) > 0 {
			id = newest[0].ID
		}
		return err
	})
	return id, err
}

func (b *Bus) deadPage(ctx context.Context, component, from, to string) (page []redis.XMessage, err error) {
	err = b.read(ctx, "dead letters of "+component, func(ctx context.Context) (err error) {
		page, err = b.client.XRangeN(ctx, b.keys.dead(component), from, to, 100).Result()
		return err
	})
	return page, err
}

// Dropped implements bus.Operator.
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

// Subscribers implements bus.Operator.
func (b *Bus) Subscribers(ctx context.Context, topic string) (names []string, err error) {
	err = b.read(ctx, "subscriptions", func(ctx context.Context) error {
		r, err := b.loadRoutes(ctx)
		if err == nil {
			names = r.subscribers(topic)
		}
		return err
	})
	slices.Sort(names)
	return names, err
}
