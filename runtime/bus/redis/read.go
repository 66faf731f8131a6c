package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// entry is one delivery of a message.
type entry struct {
	id         string
	body       []byte
	past       history
	deliveries int64
}

// history is what happened to a message before its present place, in ms of the
// server's clock.
type history struct {
	Queued int64  `json:"q"`           // when it was published
	First  int64  `json:"f,omitempty"` // when it was first tried
	Error  string `json:"e,omitempty"` // of the last attempt
}

func newEntry(id string, fields map[string]string, deliveries int64) entry {
	e := entry{id: id, body: []byte(fields["m"]), deliveries: deliveries}
	// A history that can't be read counts as none.
	if json.Unmarshal([]byte(fields["h"]), &e.past) != nil || e.past.Queued == 0 {
		ms, _, _ := strings.Cut(id, "-")
		e.past.Queued, _ = strconv.ParseInt(ms, 10, 64) // ids are the server's
	}
	return e
}

// read hands messages to the lanes until ctx is done. It alone reads, so that
// it knows what to leave in the queue for other replicas: it takes no more than
// what can be handled now.
func (k *consumer) read(ctx, hctx context.Context) {
	var (
		reapEvery = k.bus.opts.Lease / 2
		nextReap  time.Time
		own       = true // there may be entries that were given to us and never came
		failures  int
	)
	for {
		free := k.lanes.wait(ctx)
		if free == 0 {
			return
		}
		var entries []entry
		var err error
		switch {
		case own:
			entries, err = k.claim(ctx, k.Instance, free)
			own = len(entries) > 0
		case !time.Now().Before(nextReap):
			entries, err = k.reap(ctx, free)
			if len(entries) == 0 {
				nextReap = time.Now().Add(reapEvery)
			}
		default:
			entries, err = k.fetch(ctx, free, min(time.Second, reapEvery))
		}
		if err != nil {
			own = true
			failures++
			k.trouble(ctx, err, failures)
			continue
		}
		if failures > 0 {
			k.log.Info("the bus is back", "failures", failures)
			failures = 0
		}
		for _, e := range entries {
			k.dispatch(ctx, hctx, e)
		}
	}
}

func (k *consumer) trouble(ctx context.Context, err error, failures int) {
	if ctx.Err() != nil {
		return
	}
	if isNoGroup(err) {
		k.log.Error("the queue's group is gone: the bus has lost data; it is made anew")
		if err := k.subscribe(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("can't make the queue's group", "error", err)
		}
		return
	}
	if failures == 1 {
		k.log.Warn("the bus can't be read; trying again", "error", k.bus.explain(err))
	}
	pause(ctx, failures)
}

// fetch waits for new messages.
func (k *consumer) fetch(ctx context.Context, count int, block time.Duration) ([]entry, error) {
	ctx, cancel := context.WithTimeout(ctx, block+attemptTimeout)
	defer cancel()
	streams, err := k.reader.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: group, Consumer: k.Instance, Streams: []string{k.bus.keys.stream(k.Component), ">"},
		Count: int64(count), Block: max(block, time.Millisecond),
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, s := range streams {
		for _, m := range s.Messages {
			fields := map[string]string{}
			for name, v := range m.Values {
				fields[name], _ = v.(string)
			}
			out = append(out, newEntry(m.ID, fields, 1))
		}
	}
	return out, nil
}

// reap takes over messages of replicas that are dead.
func (k *consumer) reap(ctx context.Context, free int) ([]entry, error) {
	var replicas []redis.XInfoConsumer
	err := attempt(ctx, func(ctx context.Context) (err error) {
		replicas, err = k.bus.client.XInfoConsumers(ctx, k.bus.keys.stream(k.Component), group).Result()
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, r := range replicas {
		if r.Name == k.Instance || len(out) >= free {
			continue
		}
		got, err := k.claim(ctx, r.Name, free-len(out))
		if err != nil {
			return out, err
		}
		if len(got) > 0 {
			k.log.Info("took messages of a dead replica over", "from", r.Name, "messages", len(got))
		}
		out = append(out, got...)
	}
	return out, nil
}

// claim makes pending entries of a dead replica, or those of this one that it
// doesn't know of, this one's.
func (k *consumer) claim(ctx context.Context, from string, count int) ([]entry, error) {
	keys := []string{k.bus.keys.stream(k.Component), k.bus.keys.alive(k.Component, from)}
	args := []any{group, from, k.Instance, count}
	if from == k.Instance {
		for _, id := range k.holding() {
			args = append(args, id)
		}
	}
	var rows []any
	err := attempt(ctx, func(ctx context.Context) (err error) {
		rows, err = claimScript.Run(ctx, k.bus.client, keys, args...).Slice()
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]entry, 0, len(rows))
	for _, r := range rows {
		e, err := claimed(r)
		if err != nil {
			return out, err
		}
		out = append(out, e)
	}
	return out, nil
}

// claimed reads {entry, deliveries, {field, value, …}}.
func claimed(row any) (entry, error) {
	r, ok := row.([]any)
	if !ok || len(r) != 3 {
		return entry{}, fmt.Errorf("claim: unexpected row %v", row)
	}
	id, _ := r[0].(string)
	deliveries, _ := r[1].(int64)
	flat, _ := r[2].([]any)
	fields := map[string]string{}
	for i := 0; i+1 < len(flat); i += 2 {
		name, _ := flat[i].(string)
		fields[name], _ = flat[i+1].(string)
	}
	return newEntry(id, fields, deliveries), nil
}

// dispatch puts an entry on the lane of its session. Where it has none, copies
// of one message still come one after another.
func (k *consumer) dispatch(ctx, hctx context.Context, e entry) {
	if !k.hold(e.id) {
		return
	}
	m, err := bus.Decode(e.body)
	lane := "s" + m.SessionID
	if m.SessionID == "" {
		lane = "m" + m.ID + e.unreadable(err)
	}
	k.lanes.add(lane, func() {
		if k.handle(ctx, hctx, e, m, err) {
			k.release(e.id)
		}
	})
}

func (e *entry) unreadable(err error) string {
	if err != nil {
		return e.id
	}
	return ""
}
