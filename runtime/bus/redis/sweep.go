package redis

import (
	"context"
	"fmt"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// sweep looks after the queues that nobody reads, for as long as this replica
// lives: what waits there too long goes to the dead letters, so that whoever
// sent it, perhaps to a component that doesn't exist, gets to know. One
// replica of a project does it at a time.
func (k *consumer) sweep(ctx context.Context) {
	tick := time.NewTicker(k.bus.opts.Lease)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_ = attempt(ctx, k.sweepOnce) // the reader reports what is wrong
	}
}

func (k *consumer) sweepOnce(ctx context.Context) error {
	const limit = 500
	every := k.bus.opts.Lease.Milliseconds() * 3 / 4
	rows, err := k.bus.run(ctx, k.bus.scripts.orphans, k.Instance, every, limit).Slice()
	if err != nil || len(rows) < 2 {
		return err
	}
	known, err := k.bus.loadRoutes(ctx)
	if err != nil {
		return err
	}
	now := millis(rows[0])
	for _, r := range rows[1:] {
		if err := k.expire(ctx, r, now, known.subs); err != nil {
			return err
		}
	}
	return nil
}

func (k *consumer) expire(ctx context.Context, row any, now int64, subs map[string]subscription) error {
	r, ok := row.([]any)
	if !ok || len(r) != 4 {
		return fmt.Errorf("orphans: unexpected row %v", row)
	}
	component, _ := r[0].(string)
	number, _ := r[1].(int64)
	id, body, past := fieldsOf(r[2:])
	e := &entry{}
	e.decode(&raw{id, parseID(id), []byte(body), []byte(past)})
	m := &e.message
	cause := e.unreadable
	if cause == nil {
		(&bus.Consumer{TTL: subs[component].TTL}).Refine(m)
		cause = m.Expired(time.Duration(now-e.past.Queued) * time.Millisecond)
		if cause == nil {
			return nil
		}
		cause = fmt.Errorf("%w; no replica of %q takes messages: check that the component exists and runs", cause, component)
	}
	inbox, reply := errorReply(m, component, cause)
	n, err := k.bus.run(ctx, k.bus.scripts.expire, component, number, id, e.body, cause.Error(), m.RetryCount,
		inbox, reply, m.ID, m.SessionID).Int()
	if err == nil && n == 1 {
		k.bus.opts.Log.Error("message failed for good", "component", component, m.Identity(), "error", cause)
	}
	return err
}

var _ bus.Operator = (*Bus)(nil)

// fieldsOf takes an entry apart; what isn't there is empty.
func fieldsOf(raw any) (id, m, h string) {
	pair, _ := raw.([]any)
	if len(pair) != 2 {
		return "", "", ""
	}
	id, _ = pair[0].(string)
	flat, _ := pair[1].([]any)
	for i := 0; i+1 < len(flat); i += 2 {
		switch flat[i] {
		case "m":
			m, _ = flat[i+1].(string)
		case "h":
			h, _ = flat[i+1].(string)
		}
	}
	return id, m, h
}
