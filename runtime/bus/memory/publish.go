package memory

import (
	"context"
	"fmt"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// seal makes messages that nobody else holds.
func seal(ms []bus.Message, now time.Time) ([]*item, error) {
	out := make([]*item, len(ms))
	for i := range ms {
		it := &item{message: ms[i], queued: now, retries: ms[i].RetryCount}
		it.message.Prepare(now)
		if err := bus.Seal(&it.message); err != nil {
			return nil, err
		}
		out[i] = it
	}
	return out, nil
}

// Publish implements bus.Bus.
func (b *Bus) Publish(ctx context.Context, ms ...bus.Message) error {
	items, err := seal(ms, time.Now())
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	w, diverted, err := b.offer(bus.InHandler(ctx), items)
	if w != nil {
		diverted, err = b.await(ctx, w)
	}
	b.logDead(diverted)
	return err
}

// offer queues all items, or none and returns who waits. What handlers send
// always fits: they would wait for each other.
func (b *Bus) offer(inside bool, items []*item) (*waiter, []burial, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !inside {
		if err := b.refuses(); err != nil {
			return nil, nil, err
		}
		if q := b.find(items, (*queue).occupied); q != nil {
			return q.wait(items), nil, nil
		}
	}
	return nil, b.route(items), nil
}

// refuses says why nothing comes in from outside any more. With b.mu held.
func (b *Bus) refuses() error {
	switch {
	case b.closed:
		return bus.ErrClosed
	case b.stopped:
		return bus.ErrStopped
	}
	return nil
}

// find returns a queue of that kind that one of the items is for; nil if there is
// none. With b.mu held.
func (b *Bus) find(items []*item, kind func(*queue) bool) *queue {
	for _, it := range items {
		for _, q := range b.receivers(&it.message) {
			if kind(q) {
				return q
			}
		}
	}
	return nil
}

// receivers are the queues that get m: none for an inbox. With b.mu held.
func (b *Bus) receivers(m *bus.Message) []*queue {
	if m.Pattern == bus.PointToPoint {
		if bus.IsInbox(m.Target) {
			return nil
		}
		return b.queue(m.Target).itself[:]
	}
	out, ok := b.subscribers[m.Type]
	if !ok {
		for _, q := range b.queues {
			if bus.MatchAny(q.consumer.Topics, m.Type) {
				out = append(out, q)
			}
		}
		if len(b.subscribers) >= 10_000 { // topics without end
			clear(b.subscribers)
		}
		b.subscribers[m.Type] = out
	}
	return out
}

// route puts items where they go, and returns those that went to the dead
// letters instead. With b.mu held.
func (b *Bus) route(items []*item) (diverted []burial) {
	for _, it := range items {
		m := &it.message
		b.show(m)
		if m.Pattern == bus.PointToPoint && bus.IsInbox(m.Target) {
			b.inboxes.Deliver(*m)
			continue
		}
		queues := b.receivers(m)
		if len(queues) == 0 {
			b.dropped++
		}
		for i, q := range queues {
			one := it
			if i > 0 {
				one = &item{message: it.message, queued: it.queued, retries: it.retries}
			}
			if q.diverts() {
				diverted = append(diverted, b.bury(q, one, &delivery{began: one.queued}, one.queued, q.errFull()))
				continue
			}
			q.push(one)
		}
	}
	return diverted
}

// Request implements bus.Bus.
func (b *Bus) Request(ctx context.Context, m bus.Message) (bus.Replies, error) {
	name, _, replies, err := b.inboxes.Open(m.ReplyTo)
	if err != nil {
		return nil, err
	}
	m.ReplyTo = name
	if err := b.Publish(ctx, m); err != nil {
		replies.Close()
		return nil, err
	}
	return replies, nil
}
