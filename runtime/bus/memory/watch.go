package memory

import (
	"context"
	"slices"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// watcher is one call of Tail.
type watcher struct {
	bus.Watch
	seen chan bus.Message
}

// watcherRoom is how many messages a watcher may be behind.
const watcherRoom = 1_000

// Tail implements bus.Bus.
func (b *Bus) Tail(ctx context.Context, w bus.Watch, ready func(), each func(bus.Message)) error {
	for _, p := range w.Topics {
		if err := bus.CheckPattern(p); err != nil {
			return err
		}
	}
	me := &watcher{w, make(chan bus.Message, watcherRoom)}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return bus.ErrClosed
	}
	b.watchers = append(b.watchers, me)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.watchers = slices.DeleteFunc(b.watchers, func(o *watcher) bool { return o == me })
	}()
	if ready != nil {
		ready()
	}
	for {
		select {
		case m := <-me.seen:
			each(m)
		case <-b.done:
			return bus.ErrClosed
		case <-ctx.Done():
			return nil
		}
	}
}

// show tells those who watch of a message. With b.mu held.
func (b *Bus) show(m *bus.Message) {
	for _, w := range b.watchers {
		if w.wants(m) {
			select {
			case w.seen <- *m:
			default: // it is too slow: nobody waits for a watcher
			}
		}
	}
}

func (w *watcher) wants(m *bus.Message) bool {
	switch {
	case len(w.Components) == 0 && len(w.Topics) == 0:
		return true
	case m.Pattern == bus.PublishSubscribe:
		return bus.MatchAny(w.Topics, m.Type)
	}
	return slices.Contains(w.Components, m.Target)
}

// trail is the newest hops, in a ring.
type trail struct {
	hops []bus.Hop
	next int // where the next one goes
}

const trailHops = 10_000

// add keeps what a delivery leaves, and returns it to be completed. Pieces of
// streams leave nothing.
func (t *trail) add(q *queue, it *item, d *delivery, ended time.Time, outcome bus.Outcome) *bus.Hop {
	if it.message.Chunk() {
		return new(bus.Hop)
	}
	if len(t.hops) < trailHops {
		t.hops = append(t.hops, bus.Hop{})
	}
	m := &it.message
	hop := &t.hops[t.next]
	*hop = bus.Hop{Session: m.SessionID, Message: m.ID, Type: m.Type, Sender: m.Sender, Component: q.name,
		Instance: d.instance, Queued: it.queued, Began: d.began, Ended: ended, Attempt: it.retries + 1, Outcome: outcome}
	if d.err != nil {
		hop.Error = d.err.Error()
	}
	for _, o := range d.outputs {
		hop.Outputs = append(hop.Outputs, receiver(&o.message))
	}
	t.next = (t.next + 1) % trailHops
	return hop
}

func receiver(m *bus.Message) string {
	if m.Pattern == bus.PublishSubscribe {
		return m.Type
	}
	return m.Target
}

// Trace implements bus.Bus.
func (b *Bus) Trace(_ context.Context, session string) ([]bus.Hop, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, bus.ErrClosed
	}
	var out []bus.Hop
	for i := range b.trail.hops {
		h := b.trail.hops[(b.trail.next+i)%len(b.trail.hops)]
		if h.Session == session {
			h.Queued, h.Began, h.Ended = h.Queued.UTC(), h.Began.UTC(), h.Ended.UTC()
			out = append(out, h)
		}
	}
	return out, nil
}
