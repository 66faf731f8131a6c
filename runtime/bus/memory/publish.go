package memory

import (
	"container/list"
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
	w, err := b.offer(ctx, items, nil)
	if err != nil || w == nil {
		return err
	}
	ctx, cancel := bus.WithDefaultDeadline(ctx) // it costs more than the rest: only who waits has one
	defer cancel()
	for w != nil && err == nil {
		select {
		case <-w.turn:
			w, err = b.offer(ctx, items, w)
		case <-ctx.Done():
			return b.giveUp(ctx, w)
		}
	}
	return err
}

// waiter is one who waits for room in a queue.
type waiter struct {
	queue *queue
	place *list.Element
	turn  chan struct{}
}

// wait takes a place among those who wait: the first one for who was let in
// and found that another had been faster.
func (q *queue) wait(from *waiter) *waiter {
	w := &waiter{queue: q, turn: make(chan struct{})}
	if from != nil && from.queue == q {
		w.place = q.room.PushFront(w.turn)
	} else {
		w.place = q.room.PushBack(w.turn)
	}
	return w
}

// offer queues all items, or none and returns who waits. from is who did
// before. What handlers send always fits: they would wait for each other.
func (b *Bus) offer(ctx context.Context, items []*item, from *waiter) (*waiter, error) {
	w, diverted, err := b.tryOffer(bus.InHandler(ctx), items, from)
	b.logDead(diverted)
	return w, err
}

func (b *Bus) tryOffer(inside bool, items []*item, from *waiter) (*waiter, []burial, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if from != nil { // what room it doesn't use is another's
		defer from.queue.letIn()
	}
	switch {
	case inside:
	case b.closed:
		return nil, nil, bus.ErrClosed
	case b.stopped:
		return nil, nil, bus.ErrStopped
	default:
		if q := b.full(items); q != nil {
			return q.wait(from), nil, nil
		}
	}
	if from != nil {
		now := time.Now()
		for _, it := range items {
			it.queued = now
		}
	}
	return nil, b.route(items), nil
}

func (b *Bus) giveUp(ctx context.Context, w *waiter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	w.queue.room.Remove(w.place) // nothing where it was let in meanwhile
	w.queue.letIn()
	return fmt.Errorf("publish: %w (gave up: %w)", w.queue.errFull(), ctx.Err())
}

// full returns a queue that has no room for one of the items. With b.mu held.
func (b *Bus) full(items []*item) *queue {
	for _, it := range items {
		for _, q := range b.receivers(&it.message) {
			if q.full() {
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
