package memory

import (
	"context"
	"fmt"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// envelope is a message in its wire form, so that sender and receiver share
// nothing and every backend refuses the same messages.
type envelope struct {
	message bus.Message // without its payload
	body    []byte
}

func seal(m bus.Message) (envelope, error) {
	body, err := bus.Encode(&m)
	m.Payload = nil
	return envelope{m, body}, err
}

func sealAll(ms []bus.Message) ([]envelope, error) {
	now := time.Now()
	out := make([]envelope, len(ms))
	for i, m := range ms {
		m.Prepare(now)
		var err error
		if out[i], err = seal(m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Publish implements bus.Bus.
func (b *Bus) Publish(ctx context.Context, ms ...bus.Message) error {
	envelopes, err := sealAll(ms)
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, bus.DefaultPublishWait)
		defer cancel()
	}
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		full, changed, err := b.tryPublish(ctx, envelopes)
		if err != nil || full == "" {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("publish: the queue of %q is full (%d messages): %w", full, b.opts.QueueLimit, ctx.Err())
		}
	}
}

// tryPublish queues all envelopes, or none and returns the name of the queue
// that is full. What handlers send always fits: they would wait for each other.
func (b *Bus) tryPublish(ctx context.Context, envelopes []envelope) (full string, changed <-chan struct{}, err error) {
	inside := bus.InHandler(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed && !inside:
		return "", nil, bus.ErrClosed
	case b.stopped && !inside:
		return "", nil, bus.ErrStopped
	}
	if !inside {
		for _, e := range envelopes {
			for _, name := range b.receivers(e) {
				if b.queue(name).depth >= b.opts.QueueLimit {
					return name, b.changed, nil
				}
			}
		}
	}
	b.route(envelopes)
	return "", nil, nil
}

// receivers are the components that get e. With b.mu held.
func (b *Bus) receivers(e envelope) []string {
	if e.message.Pattern == bus.PointToPoint {
		if bus.IsInbox(e.message.Target) {
			return nil
		}
		return []string{e.message.Target}
	}
	var out []string
	for name, q := range b.queues {
		if bus.MatchAny(q.topics, e.message.Type) {
			out = append(out, name)
		}
	}
	return out
}

// route puts the envelopes where they go. With b.mu held.
func (b *Bus) route(envelopes []envelope) {
	now := time.Now()
	for _, e := range envelopes {
		if bus.IsInbox(e.message.Target) && e.message.Pattern == bus.PointToPoint {
			if m, err := bus.Decode(e.body); err == nil { // it was encoded here
				b.inboxes.Deliver(m)
			}
			continue
		}
		names := b.receivers(e)
		if len(names) == 0 {
			b.dropped++
		}
		for _, name := range names {
			b.queue(name).push(&item{id: e.message.ID, session: e.message.SessionID,
				body: e.body, queued: now, retries: e.message.RetryCount})
		}
	}
}

// Request implements bus.Bus.
func (b *Bus) Request(ctx context.Context, m bus.Message) (bus.Replies, error) {
	name, replies, err := b.inboxes.Open()
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
