package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// record is one thing that a publish puts on the server.
type record struct {
	subject   string
	id        string // Nats-Msg-Id; empty for what isn't kept
	header    nats.Header
	body      []byte
	component string // whose queue it is for, if any
	message   *bus.Message
}

// Publish implements bus.Bus.
func (b *Bus) Publish(ctx context.Context, ms ...bus.Message) error {
	if err := b.accepting(ctx); err != nil {
		return err
	}
	messages, err := b.seal(ms)
	if err != nil || len(messages) == 0 {
		return err
	}
	ctx, cancel := bus.WithDefaultDeadline(ctx)
	defer cancel()
	return b.put(ctx, messages, !bus.InHandler(ctx))
}

// sealed is a message in its wire form.
type sealed struct {
	message bus.Message
	body    []byte
}

func (b *Bus) seal(ms []bus.Message) ([]sealed, error) {
	now := time.Now()
	out := make([]sealed, len(ms))
	for i, m := range ms {
		m.Prepare(now)
		body, err := bus.Encode(&m)
		if err != nil {
			return nil, err
		}
		// Headers need some room.
		if most := b.nc.MaxPayload() - 4096; most > 0 && int64(len(body)) > most {
			return nil, fmt.Errorf("message %q: %w: %d bytes, the server takes %d: raise its max_payload, or send a reference to the data instead",
				m.ID, bus.ErrTooLarge, len(body), most)
		}
		out[i] = sealed{m, body}
	}
	return out, nil
}

// put brings messages to where they go. Trying it again is harmless: they keep
// their ids.
func (b *Bus) put(ctx context.Context, messages []sealed, outside bool) error {
	if err := b.retry(ctx, "publish", b.upToDate); err != nil {
		return err
	}
	records, diverted, err := b.makeRoom(ctx, b.route(messages), outside)
	if err != nil {
		return err
	}
	for i := range messages {
		if messages[i].message.Pattern == bus.PublishSubscribe {
			b.show(messages[i])
		}
	}
	if err := b.retry(ctx, "publish", func(ctx context.Context) error { return b.send(ctx, records) }); err != nil {
		return err
	}
	for component, n := range diverted {
		err := attempt(ctx, func(ctx context.Context) error { return b.addTotals(ctx, component, total{Buried: n}) })
		if err != nil {
			b.opts.Log.Warn("counters can't be kept", "component", component, "error", b.explain(err))
		}
	}
	return nil
}

// route says where messages go. A topic's go to the queue of every component
// that subscribes to it now.
func (b *Bus) route(messages []sealed) []record {
	var out []record
	for i := range messages {
		m, body := &messages[i].message, messages[i].body
		switch {
		case m.Pattern == bus.PublishSubscribe:
			receivers := b.settings.subscribers(m.Type)
			for _, component := range receivers {
				out = append(out, b.toQueue(component, m, body))
			}
			if len(receivers) == 0 {
				out = append(out, record{subject: b.names.dropped(), id: m.ID, message: m})
			}
		case bus.IsInbox(m.Target):
			out = append(out, b.toInbox(m, body))
		default:
			out = append(out, b.toQueue(m.Target, m, body))
		}
	}
	return out
}

func (b *Bus) toQueue(component string, m *bus.Message, body []byte) record {
	return record{subject: b.names.queue(component, partOf(m)), id: component + "/" + m.ID,
		body: body, component: component, message: m}
}

func (b *Bus) toInbox(m *bus.Message, body []byte) record {
	instance, _, _ := bus.ParseInbox(m.Target) // it was validated
	if m.Chunk() {
		return record{subject: b.names.chunks(instance), body: body}
	}
	return record{subject: b.names.answers(instance), id: m.Target + "/" + m.ID, body: body}
}

// send returns when the server has the records. After an error it may have some.
func (b *Bus) send(ctx context.Context, records []record) error {
	var futures []jetstream.PubAckFuture
	for _, r := range records {
		m := &nats.Msg{Subject: r.subject, Header: r.header, Data: r.body}
		switch {
		case r.id == "":
			if err := b.nc.PublishMsg(m); err != nil {
				return err
			}
		case len(records) == 1:
			_, err := b.js.PublishMsg(ctx, m, jetstream.WithMsgID(r.id), jetstream.WithRetryAttempts(0))
			return err
		default:
			f, err := b.js.PublishMsgAsync(m, jetstream.WithMsgID(r.id), jetstream.WithRetryAttempts(0), jetstream.WithStallWait(attemptTimeout))
			if err != nil {
				return err
			}
			futures = append(futures, f)
		}
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Request implements bus.Bus.
func (b *Bus) Request(ctx context.Context, m bus.Message) (bus.Replies, error) {
	if err := b.accepting(ctx); err != nil {
		return nil, err
	}
	name, instance, replies, err := b.inboxes.Open(m.ReplyTo)
	if err != nil {
		return nil, err
	}
	m.ReplyTo = name
	if err = b.listen(ctx, instance); err == nil {
		err = b.Publish(ctx, m)
	}
	if err != nil {
		_ = replies.Close() // always nil
		return nil, err
	}
	return replies, nil
}

// makeRoom waits until the queues have room, and diverts what is to be
// diverted. What handlers send always fits unless it is diverted: they would
// wait for each other.
func (b *Bus) makeRoom(ctx context.Context, records []record, outside bool) (out []record, diverted map[string]int64, err error) {
	diverted = map[string]int64{}
	for _, r := range records {
		s := b.settings.get(r.component)
		if r.component == "" || s.Limit == 0 || s.Overflow != bus.Divert && !outside {
			out = append(out, r)
			continue
		}
		room, err := b.awaitRoom(ctx, r.component, s)
		if err != nil {
			return nil, nil, err
		}
		if room {
			out = append(out, r)
			continue
		}
		diverted[r.component]++
		out = append(out, b.divert(r, full(r.component, s.Limit))...)
	}
	return out, diverted, nil
}

func full(component string, limit int) error {
	return fmt.Errorf("the queue of %q has its limit of %d messages: %w", component, limit, bus.ErrFull)
}

// awaitRoom takes a place in a queue; false where the message is to be diverted.
func (b *Bus) awaitRoom(ctx context.Context, component string, s setting) (bool, error) {
	for n := 1; ; n++ {
		var room bool
		look := func(ctx context.Context) (err error) {
			room, err = b.takeRoom(ctx, component, s.Limit)
			return err
		}
		err := b.retry(ctx, "publish", look)
		if err != nil && ctx.Err() != nil { // the last look comes after the end of ctx
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			if look(last) == nil && !room {
				err = nil
			}
			cancel()
		}
		switch {
		case err != nil:
			return false, err
		case room || s.Overflow == bus.Divert:
			return room, nil
		case ctx.Err() != nil:
			return false, fmt.Errorf("publish: %w: %w", full(component, s.Limit), ctx.Err())
		}
		pause(ctx, min(n, 4))
	}
}

// divert is what becomes of a message that has no room: a dead letter, and the
// answer to whoever waits for one.
func (b *Bus) divert(r record, why error) []record {
	b.opts.Log.Error("message failed for good", "component", r.component, r.message.Identity(), "attempts", 0, "error", why)
	out := []record{b.toDead(r.id, r.body, death{Target: r.component, Error: why.Error(), First: b.now(), Last: b.now()})}
	if reply, ok := bus.ErrorReply(r.message, r.component, why); ok {
		if body, err := bus.Encode(&reply); err == nil { // it is made of valid parts
			out = append(out, b.toInbox(&reply, body))
		}
	}
	return out
}
