package nats

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// workload is what one replica does now.
type workload struct {
	Component string `json:"component"`
	InFlight  int64  `json:"in_flight"`
	Delayed   int64  `json:"delayed"`
	total            // what isn't in the bucket yet
}

// total is the counters of a component, or what is to be added to them.
type total struct {
	Handled int64 `json:"handled"`
	Retried int64 `json:"retried"`
	Buried  int64 `json:"buried"`
}

func (t *total) plus(o total) {
	t.Handled += o.Handled
	t.Retried += o.Retried
	t.Buried += o.Buried
}

// counts is what a replica has counted and not yet added to the totals.
type counts struct {
	mu      sync.Mutex
	since   total
	flushed time.Time
}

func (c *counts) add(handled, retried, buried int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since.plus(total{handled, retried, buried})
}

func (c *counts) get() total {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since
}

// flushTotals adds what was counted to the totals: from time to time, or now.
func (k *consumer) flushTotals(ctx context.Context, now bool) {
	c := &k.counts
	c.mu.Lock()
	since, due := c.since, now || time.Since(c.flushed) > 10*time.Second
	c.mu.Unlock()
	if since == (total{}) || !due {
		return
	}
	err := attempt(ctx, func(ctx context.Context) error { return k.bus.addTotals(ctx, k.Component, since) })
	if err != nil {
		if now {
			k.log.Warn("counters can't be kept", "error", k.bus.explain(err))
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since.plus(total{-since.Handled, -since.Retried, -since.Buried})
	c.flushed = time.Now()
}

func (b *Bus) addTotals(ctx context.Context, component string, more total) error {
	for key := token(component); ; {
		var t total
		var rev uint64
		e, err := b.totals.Get(ctx, key)
		switch {
		case err == nil:
			rev = e.Revision()
			if err := json.Unmarshal(e.Value(), &t); err != nil {
				return bus.Permanent(err)
			}
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return err
		}
		t.plus(more)
		value, err := json.Marshal(t)
		if err != nil {
			return bus.Permanent(err)
		}
		if _, err = b.totals.Update(ctx, key, value, rev); !conflict(err) {
			return err
		}
	}
}

// depths counts what is queued: of one component, or of all.
func (b *Bus) depths(ctx context.Context, component string) (map[string]int64, error) {
	subject := b.names.subject("q", ">")
	if component != "" {
		subject = b.names.queues(component)
	}
	return b.bySubject(ctx, b.queue, subject, func(s string) (string, error) {
		name, _, err := b.names.queued(s)
		return name, err
	})
}

func (b *Bus) bySubject(ctx context.Context, s jetstream.Stream, subject string, name func(string) (string, error)) (map[string]int64, error) {
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for s, n := range info.State.Subjects {
		if component, err := name(s); err == nil {
			out[component] += int64(n)
		}
	}
	return out, nil
}

// Drain implements bus.Bus.
func (b *Bus) Drain(ctx context.Context) (map[string]int64, error) {
	return bus.UntilEmpty(ctx, func(ctx context.Context) (left map[string]int64, err error) {
		err = b.ask(ctx, "drain", func(ctx context.Context) error {
			left, err = b.depths(ctx, "")
			return err
		})
		return left, err
	})
}

// Stats implements bus.Bus.
func (b *Bus) Stats(ctx context.Context) (map[string]bus.Stats, error) {
	var out map[string]bus.Stats
	err := b.ask(ctx, "stats", func(ctx context.Context) (err error) {
		out, err = b.look(ctx)
		return err
	})
	return out, err
}

func (b *Bus) look(ctx context.Context) (map[string]bus.Stats, error) {
	all := map[string]*bus.Stats{}
	of := func(component string) *bus.Stats {
		if all[component] == nil {
			all[component] = &bus.Stats{}
		}
		return all[component]
	}
	depths, err := b.depths(ctx, "")
	if err != nil {
		return nil, err
	}
	for c, n := range depths {
		s := of(c)
		s.Depth = n
		m, err := b.queue.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(b.names.queues(c)))
		switch {
		case err == nil:
			s.Oldest = max(b.now().Sub(m.Time).Seconds(), 0)
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, err
		}
	}
	dead, err := b.bySubject(ctx, b.dead, b.names.subject("dead", "*"), func(s string) (string, error) {
		return untoken(s[len(b.names.subject("dead", "")):])
	})
	if err != nil {
		return nil, err
	}
	for c, n := range dead {
		of(c).Dead = n
	}
	err = b.values(ctx, b.totals, func(e jetstream.KeyValueEntry) error {
		var t total
		c, err := untoken(e.Key())
		if err := errors.Join(err, json.Unmarshal(e.Value(), &t)); err != nil {
			return bus.Permanent(err)
		}
		s := of(c)
		s.Handled, s.Retried, s.Buried = t.Handled, t.Retried, t.Buried
		return nil
	})
	if err != nil {
		return nil, err
	}
	replicas, err := b.countReplicas(ctx)
	if err != nil {
		return nil, err
	}
	expect := 0
	for c, n := range replicas {
		of(c).Consumers = n
		expect += n
	}
	for _, w := range b.workloads(ctx, expect) {
		s := of(w.Component)
		s.InFlight += w.InFlight
		s.Delayed += w.Delayed
		s.Handled += w.Handled
		s.Retried += w.Retried
		s.Buried += w.Buried
	}
	b.settings.mu.Lock()
	for c, set := range b.settings.of {
		of(c).Limit = int64(set.Limit)
	}
	b.settings.mu.Unlock()
	out := make(map[string]bus.Stats, len(all))
	for c, s := range all {
		// The looks weren't at the same moment.
		s.InFlight = min(s.InFlight, s.Depth)
		s.Delayed = min(s.Delayed, s.Depth-s.InFlight)
		s.Lag = s.Depth - s.InFlight - s.Delayed
		out[c] = *s
	}
	return out, nil
}

// countReplicas counts those that have been heard of within their lease.
func (b *Bus) countReplicas(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	err := b.values(ctx, b.replicas, func(e jetstream.KeyValueEntry) error {
		if c, ok := replicaOf(e.Key()); ok && b.now().Sub(e.Created()) <= b.opts.Lease {
			out[c]++
		}
		return nil
	})
	return out, err
}

// answerStats tells whoever asks what this process's replicas do, until the bus
// is closed.
func (b *Bus) answerStats() {
	sub, err := b.nc.Subscribe(b.names.ask(), func(m *nats.Msg) {
		b.mu.Lock()
		var out []workload
		for k := range b.consumers {
			w := k.lanes.stats(k.Component)
			w.total = k.counts.get()
			out = append(out, w)
		}
		b.mu.Unlock()
		if body, err := json.Marshal(out); err == nil {
			_ = m.Respond(body) // who asks doesn't wait for all
		}
	})
	if err != nil {
		b.opts.Log.Warn("statistics will lack what this process does", "error", b.explain(err))
		return
	}
	<-b.done
	_ = sub.Unsubscribe() // the connection is closed soon
}

// workloads asks all replicas what they do; it doesn't wait long for those that
// say nothing.
func (b *Bus) workloads(ctx context.Context, expect int) []workload {
	if expect == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	inbox := b.nc.NewRespInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil
	}
	defer func() { _ = sub.Unsubscribe() }() // it may have ended by itself
	if err := b.nc.PublishRequest(b.names.ask(), inbox, nil); err != nil {
		return nil
	}
	var out []workload
	for len(out) < expect {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return out
		}
		var ws []workload
		if json.Unmarshal(m.Data, &ws) == nil { // another version's answer counts as none
			out = append(out, ws...)
		}
	}
	return out
}
