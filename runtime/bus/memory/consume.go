package memory

import (
	"context"
	"errors"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// Consume implements bus.Bus.
func (b *Bus) Consume(ctx context.Context, c bus.Consumer, ready func()) error {
	if err := c.Validate(); err != nil {
		return err
	}
	ctx, q, leave, err := b.join(ctx, &c)
	if err != nil {
		return err
	}
	defer leave()
	hctx, cancel := c.HandlerContext(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		q.work.Broadcast()
	})()

	var workers sync.WaitGroup
	for range max(c.Concurrency, 1) {
		workers.Go(func() {
			for it := q.take(ctx); it != nil; it = q.take(ctx) {
				b.handle(hctx, &c, q, it)
			}
		})
	}
	if ready != nil {
		ready()
	}
	workers.Wait()
	return nil
}

// join registers a consumer; its context also ends when the bus is closed.
func (b *Bus) join(ctx context.Context, c *bus.Consumer) (context.Context, *queue, func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, nil, bus.ErrClosed
	}
	q := b.queue(c.Component)
	q.topics = append([]string(nil), c.Topics...)
	ctx, cancel := context.WithCancel(ctx)
	key := b.next
	b.next++
	b.consumers[key] = cancel
	b.running.Add(1)
	return ctx, q, func() {
		cancel()
		b.mu.Lock()
		delete(b.consumers, key)
		b.mu.Unlock()
		b.running.Done()
	}, nil
}

func (b *Bus) handle(ctx context.Context, c *bus.Consumer, q *queue, it *item) {
	m, err := bus.Decode(it.body)
	if err != nil { // it was encoded here: a bug, but no reason to lose it
		m, err = bus.Message{ID: it.id}, bus.Permanent(err)
	}
	m.RetryCount = it.retries
	if !b.begin(q, it, &m) {
		return
	}
	var outputs []envelope
	if err == nil {
		outputs, err = call(ctx, c, m)
	}
	b.settle(ctx, c, q, it, m, outputs, err)
}

func call(ctx context.Context, c *bus.Consumer, m bus.Message) ([]envelope, error) {
	outputs, err := c.Call(ctx, m)
	if err != nil {
		return nil, err
	}
	sealed, err := sealAll(outputs)
	if err != nil {
		return nil, bus.Permanent(err)
	}
	return sealed, nil
}

// begin reports whether the message is to be handled: not if it was before, or
// has waited too long.
func (b *Bus) begin(q *queue, it *item, m *bus.Message) bool {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if q.isFinished(it.id, now) {
		q.remove(it)
		b.shorter()
		return false
	}
	if err := m.Expired(now.Sub(it.queued)); err != nil {
		b.bury(q, it, *m, err, it.retries)
		return false
	}
	if it.first.IsZero() {
		it.first = now
	}
	if m.Mode == bus.AtMostOnce {
		q.finish(it.id, now, b.opts.DedupWindow)
	}
	return true
}

// settle decides what becomes of a message that was handled.
func (b *Bus) settle(ctx context.Context, c *bus.Consumer, q *queue, it *item, m bus.Message, outputs []envelope, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		q.finish(it.id, time.Now(), b.opts.DedupWindow)
		q.remove(it)
		b.route(outputs)
		b.shorter()
	case ctx.Err() != nil && m.Mode == bus.AtLeastOnce:
		q.release(it)
	case bus.IsPermanent(err) || m.LastAttempt():
		b.bury(q, it, m, err, it.retries+1)
	default:
		delay := b.opts.Backoff.Delay(it.retries + 1)
		b.opts.Log.Warn("message will be tried again", "component", c.Component, "message_id", m.ID,
			"session_id", m.SessionID, "error", err, "delay", delay, "stack", stack(err))
		q.retry(it, delay)
	}
}

// bury puts a message to the dead letters. With b.mu held.
func (b *Bus) bury(q *queue, it *item, m bus.Message, err error, attempts int) {
	now := time.Now()
	first := it.first
	if first.IsZero() {
		first = now
	}
	q.remove(it)
	q.bury(bus.DeadLetter{Message: m, Target: q.name, Error: err.Error(), Attempts: attempts,
		First: first.UTC(), Last: now.UTC()}, b.opts.DeadLimit)
	b.opts.Log.Error("message failed for good", "component", q.name, "message_id", m.ID,
		"session_id", m.SessionID, "attempts", attempts, "error", err, "stack", stack(err))
	b.shorter()
}

func stack(err error) string {
	var p *bus.PanicError
	if errors.As(err, &p) {
		return string(p.Stack)
	}
	return ""
}
