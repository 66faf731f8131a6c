package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// sealed is a message in its wire form.
type sealed struct {
	message bus.Message // without its payload
	body    []byte
}

func seal(ms []bus.Message) ([]sealed, error) {
	now := time.Now()
	out := make([]sealed, len(ms))
	for i, m := range ms {
		m.Prepare(now)
		body, err := bus.Encode(&m)
		if err != nil {
			return nil, err
		}
		m.Payload = nil
		out[i] = sealed{m, body}
	}
	return out, nil
}

// Publish implements bus.Bus.
func (b *Bus) Publish(ctx context.Context, ms ...bus.Message) error {
	if err := b.accepting(ctx); err != nil {
		return err
	}
	messages, err := seal(ms)
	if err != nil || len(messages) == 0 {
		return err
	}
	ctx, cancel := withDefaultDeadline(ctx)
	defer cancel()
	// An attempt whose reply is lost may put a message on its queue twice: it
	// keeps its id, so that it is handled once.
	return b.retry(ctx, "publish", func(ctx context.Context) error {
		records, err := b.route(ctx, messages)
		if err != nil {
			return err
		}
		return b.flush.send(ctx, b.done, records)
	})
}

// route says where messages go. A topic's go to the queue of every component
// that subscribes to it now.
func (b *Bus) route(ctx context.Context, messages []sealed) ([]record, error) {
	var out []record
	var subs map[string][]string
	for _, m := range messages {
		target := m.message.Target
		switch {
		case m.message.Pattern == bus.PublishSubscribe:
			if subs == nil {
				var err error
				if subs, err = b.subscriptions(ctx); err != nil {
					return nil, err
				}
			}
			out = append(out, b.copies(m, subs)...)
		case bus.IsInbox(target):
			instance, _, _ := bus.ParseInbox(target) // it was validated
			out = append(out, record{stream: b.keys.inbox(instance), body: m.body})
		default:
			out = append(out, record{b.keys.stream(target), target, m.body})
		}
	}
	return out, nil
}

func (b *Bus) copies(m sealed, subs map[string][]string) []record {
	var out []record
	for component, patterns := range subs {
		if bus.MatchAny(patterns, m.message.Type) {
			out = append(out, record{b.keys.stream(component), component, m.body})
		}
	}
	if len(out) == 0 {
		return []record{{}}
	}
	return out
}

func (b *Bus) subscriptions(ctx context.Context) (map[string][]string, error) {
	all, err := b.client.HGetAll(ctx, b.keys.subs()).Result()
	if err != nil {
		return nil, err
	}
	out := make(map[string][]string, len(all))
	for component, text := range all {
		var patterns []string
		if err := json.Unmarshal([]byte(text), &patterns); err != nil {
			return nil, bus.Permanent(fmt.Errorf("topics of %s: %w", component, err))
		}
		out[component] = patterns
	}
	return out, nil
}

// Request implements bus.Bus.
func (b *Bus) Request(ctx context.Context, m bus.Message) (bus.Replies, error) {
	if err := b.listen(ctx); err != nil {
		return nil, err
	}
	name, replies, err := b.inboxes.Open()
	if err != nil {
		return nil, err
	}
	m.ReplyTo = name
	if err := b.Publish(ctx, m); err != nil {
		_ = replies.Close() // always nil
		return nil, err
	}
	return replies, nil
}
