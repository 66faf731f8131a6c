package nats

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// longestError is what the trail keeps of an error: it is in memory.
const longestError = 1 << 10

// trail keeps a hop that ends now. Nobody waits for it: it is there to be
// looked at. Pieces of streams leave none.
func (k *consumer) trail(it *item, m bus.Message, began time.Time, outcome bus.Outcome, cause error, outputs []sealed) {
	k.trailAt(it, m, began, k.bus.now(), outcome, cause, outputs)
}

func (k *consumer) trailAt(it *item, m bus.Message, began, ended time.Time, outcome bus.Outcome, cause error, outputs []sealed) {
	if m.Chunk() {
		return
	}
	h := bus.Hop{Session: m.SessionID, Message: m.ID, Type: m.Type, Sender: m.Sender, Component: k.Component,
		Instance: k.Instance, Queued: it.queued.UTC(), Began: began.UTC(), Ended: ended.UTC(),
		Attempt: m.RetryCount + 1, Outcome: outcome}
	if cause != nil {
		h.Error = cause.Error()
		if len(h.Error) > longestError {
			h.Error = h.Error[:longestError] + "…"
		}
	}
	for _, o := range outputs {
		h.Outputs = append(h.Outputs, receiver(&o.message))
	}
	if outcome == bus.Dead {
		if reply, ok := bus.ErrorReply(&m, k.Component, cause); ok {
			h.Outputs = append(h.Outputs, reply.Target)
		}
	}
	body, err := json.Marshal(h)
	if err == nil {
		err = k.bus.nc.Publish(k.bus.names.trail(m.SessionID), body)
	}
	if err != nil {
		k.logMessage(m).Debug("a hop isn't kept", "error", err)
	}
}

func receiver(m *bus.Message) string {
	if m.Pattern == bus.PublishSubscribe {
		return m.Type
	}
	return m.Target
}

// Trace implements bus.Bus.
func (b *Bus) Trace(ctx context.Context, session string) ([]bus.Hop, error) {
	var out []bus.Hop
	err := b.ask(ctx, "trace", func(ctx context.Context) error {
		out = nil
		return b.readAll(ctx, b.store.trail, b.names.trail(session), 1, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
			var h bus.Hop
			// Another session may have the same hash, another version another form.
			if json.Unmarshal(m.Data(), &h) == nil && h.Session == session {
				out = append(out, h)
			}
			return nil
		})
	})
	slices.SortStableFunc(out, func(a, b bus.Hop) int { return cmp.Or(a.Began.Compare(b.Began), a.Ended.Compare(b.Ended)) })
	return out, err
}

// show shows a message on a topic to whoever watches topics.
func (b *Bus) show(m sealed) {
	if err := b.nc.Publish(b.names.topics(), m.body); err != nil {
		b.opts.Log.Debug("a message on a topic isn't shown", "message_id", m.message.ID, "error", err)
	}
}

// remembered is how many ids Tail knows, to show a message once.
const remembered = 4096

// Tail implements bus.Bus.
func (b *Bus) Tail(ctx context.Context, w bus.Watch, ready func(), each func(bus.Message)) error {
	if b.isClosed() {
		return bus.ErrClosed
	}
	// What comes faster than each returns is left out.
	got := make(chan *nats.Msg, 4096)
	everything := len(w.Components) == 0 && len(w.Topics) == 0
	subjects := map[string]bool{}
	for _, c := range w.Components {
		subjects[b.names.queues(c)] = true
	}
	if len(w.Topics) > 0 || everything {
		subjects[b.names.topics()] = true
	}
	if everything {
		subjects[b.names.subject("q", ">")] = true
		subjects[b.names.subject("in", ">")] = true
	}
	for s := range subjects {
		sub, err := b.nc.ChanSubscribe(s, got)
		if err != nil {
			return b.explain(err)
		}
		defer func() { _ = sub.Unsubscribe() }() // it may have ended by itself
	}
	if err := b.ask(ctx, "tail", b.nc.FlushWithContext); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if ready != nil {
		ready()
	}
	shown := map[string]bool{}
	var order []string
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.done:
			return nil
		case raw := <-got:
			m, err := bus.Decode(raw.Data)
			if err != nil || shown[m.ID] {
				continue
			}
			onTopic := raw.Subject == b.names.topics()
			if onTopic && !everything && !bus.MatchAny(w.Topics, m.Type) {
				continue
			}
			if !onTopic && m.Pattern == bus.PublishSubscribe {
				continue // a copy of what is shown by its topic
			}
			shown[m.ID] = true
			if order = append(order, m.ID); len(order) > remembered {
				delete(shown, order[0])
				order = order[1:]
			}
			each(m)
		}
	}
}
