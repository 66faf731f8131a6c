package memory

import (
	"context"
	"slices"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// Consume implements bus.Bus.
func (b *Bus) Consume(ctx context.Context, c bus.Consumer, ready func()) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if c.Instance == "" {
		c.Instance = bus.NewID()
	}
	ctx, q, leave, err := b.join(ctx, c)
	if err != nil {
		return err
	}
	defer leave()
	hctx, cancel := c.HandlerContext(ctx)
	defer cancel()
	if ready != nil {
		ready()
	}
	(&crew{bus: b, queue: q, consumer: &c, ctx: ctx, handlers: hctx}).run()
	return nil
}

// join registers a consumer; its context also ends when the bus is closed.
func (b *Bus) join(ctx context.Context, c bus.Consumer) (context.Context, *queue, func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, nil, bus.ErrClosed
	}
	q := b.queue(c.Component)
	c.Topics = slices.Clone(c.Topics)
	c.Handler = nil
	q.consumer = c
	q.consumers++
	q.exorcise()
	clear(b.subscribers)
	q.letIn() // it may have raised the limit
	ctx, cancel := context.WithCancel(ctx)
	key := b.next
	b.next++
	b.consumers[key] = cancel
	b.running.Add(1)
	return ctx, q, func() {
		cancel()
		b.mu.Lock()
		delete(b.consumers, key)
		if q.consumers--; q.consumers == 0 && !b.closed {
			q.hauntAll(time.Now())
		}
		b.mu.Unlock()
		b.running.Done()
	}, nil
}

// delivery is one call of a handler.
type delivery struct {
	instance string
	message  bus.Message // as the handler gets it
	began    time.Time
	outputs  []*item
	err      error
}

func (d *delivery) call(ctx context.Context, c *bus.Consumer) {
	outputs, err := c.Call(ctx, d.message)
	if err == nil && len(outputs) > 0 {
		if d.outputs, err = seal(outputs, time.Now()); err != nil {
			err = bus.Permanent(err)
		}
	}
	d.err = err
}

// begin reports whether the message is to be handled: not if it was before, or
// has waited too long. logs is as for settle. With b.mu held.
func (b *Bus) begin(q *queue, it *item, d *delivery) (handle bool, logs func()) {
	if b.finished.Has(it.mark, b.clock(d.began)) {
		q.remove(it)
		return false, nil
	}
	if err := d.message.Expired(d.began.Sub(it.queued)); err != nil {
		q.remove(it)
		buried := b.bury(q, it, d, d.began, err)
		return false, func() { b.logDead([]burial{buried}) }
	}
	if it.first.IsZero() {
		it.first = d.began
	}
	if it.message.Mode == bus.AtMostOnce {
		q.finish(it, d.began)
	}
	return true, nil
}

// settle decides what becomes of a message that was handled. It returns what
// logs that, without the mutex, or nil. With b.mu held.
func (b *Bus) settle(ctx context.Context, q *queue, it *item, d *delivery, now time.Time) (logs func()) {
	switch {
	case d.err == nil:
		if it.message.Mode != bus.AtMostOnce {
			q.finish(it, now)
		}
		q.handled++
		b.trail.add(q, it, d, now, bus.Done)
		q.remove(it)
		if diverted := b.route(d.outputs); len(diverted) > 0 {
			return func() { b.logDead(diverted) }
		}
		return nil
	case ctx.Err() != nil && it.message.Mode == bus.AtLeastOnce:
		q.release(it)
		return nil
	case d.message.Final(d.err):
		q.remove(it)
		buried := b.bury(q, it, d, now, d.err)
		return func() { b.logDead([]burial{buried}) }
	}
	delay, postponed := d.message.Postponed(d.err, now.Sub(it.queued))
	b.trail.add(q, it, d, now, bus.Retry)
	if !postponed {
		it.retries++
		delay = b.opts.Backoff.Delay(it.retries)
	}
	q.retry(it, delay)
	m, err := d.message, d.err
	return func() {
		b.opts.Log.Warn("message will be tried again", "component", q.name, m.Identity(), "error", err, "delay", delay.String(), bus.Stack(err))
	}
}
