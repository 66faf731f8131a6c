package nats

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// The janitor buries what has expired in the queues of components that nobody
// consumes. One process of those that consume anything is it at a time.

const janitorKey = "janitor"

// ghost is a component without a replica.
type ghost struct {
	cursor uint64             // what has been read
	due    map[uint64]expires // by sequence
}

type expires struct {
	at   time.Time
	part int
}

func replicaOf(key string) (component string, ok bool) {
	t, _, two := strings.Cut(key, ".")
	if !two {
		return "", false
	}
	component, err := untoken(t)
	return component, err == nil
}

// mind works until the bus is closed.
func (b *Bus) mind(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.helpers.Go(func() {
		<-b.done
		cancel()
	})
	tick := time.NewTicker(min(time.Second, b.opts.Lease))
	defer tick.Stop()
	ghosts := map[string]*ghost{}
	var office uint64 // the revision of our entry, if it is ours
	for {
		select {
		case <-ctx.Done():
			if office > 0 && b.nc.IsConnected() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
				defer cancel()
				_ = b.replicas.Delete(ctx, janitorKey, jetstream.LastRevision(office)) // else it expires
			}
			return
		case <-tick.C:
		}
		err := attempt(ctx, func(ctx context.Context) (err error) {
			if office, err = b.takeOffice(ctx, office); err != nil || office == 0 {
				return err
			}
			return b.sweep(ctx, ghosts)
		})
		switch {
		case err != nil && ctx.Err() == nil:
			b.opts.Log.Debug("the janitor can't work now", "error", err)
			office = 0
			clear(ghosts)
		case office == 0:
			clear(ghosts)
		}
	}
}

// takeOffice returns 0 where another process is the janitor. The entry of one
// that died expires.
func (b *Bus) takeOffice(ctx context.Context, office uint64) (uint64, error) {
	var err error
	if office > 0 {
		office, err = b.replicas.Update(ctx, janitorKey, []byte(b.instance), office)
	} else {
		office, err = b.replicas.Create(ctx, janitorKey, []byte(b.instance))
	}
	if conflict(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return office, nil
}

func (b *Bus) sweep(ctx context.Context, ghosts map[string]*ghost) error {
	depths, err := b.depths(ctx, "")
	if err != nil {
		return err
	}
	replicas, err := b.countReplicas(ctx)
	if err != nil {
		return err
	}
	for c := range ghosts {
		if depths[c] == 0 || replicas[c] > 0 {
			delete(ghosts, c)
		}
	}
	for c := range depths {
		if replicas[c] > 0 {
			continue
		}
		g := ghosts[c]
		if g == nil {
			g = &ghost{due: map[uint64]expires{}}
			ghosts[c] = g
		}
		if err := b.haunt(ctx, c, g); err != nil {
			return err
		}
	}
	return nil
}

// haunt buries what is due of one component.
func (b *Bus) haunt(ctx context.Context, component string, g *ghost) error {
	ttl := bus.Consumer{Component: component, TTL: b.settings.get(component).TTL}
	err := b.readAll(ctx, b.queue, b.names.queues(component), g.cursor+1, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		g.cursor = meta.Sequence.Stream
		_, part, err := b.names.queued(m.Subject())
		message, err2 := bus.Decode(m.Data())
		if err != nil || err2 != nil {
			return nil // whoever consumes it buries it
		}
		ttl.Refine(&message)
		if d := message.TTL(); d > 0 {
			g.due[g.cursor] = expires{meta.Timestamp.Add(d), part}
		}
		return nil
	})
	if err != nil {
		return err
	}
	parts := map[int][]uint64{}
	for seq, e := range g.due {
		if b.now().After(e.at) {
			parts[e.part] = append(parts[e.part], seq)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	// As a replica that only buries, so that none that comes meanwhile handles
	// the same.
	k := &consumer{Consumer: bus.Consumer{Component: component, TTL: ttl.TTL, Instance: "janitor"}, bus: b,
		log: b.opts.Log.With("component", component), lanes: newLanes()}
	until := time.Now().Add(b.opts.Lease / 2) // others respect that for a lease
	k.lanes.extend(until.Add(attemptTimeout))
	take, err := b.borrow(ctx, component, parts)
	if err != nil {
		return err
	}
	for n := range take.before {
		for _, seq := range parts[n] {
			if time.Now().After(until) {
				break // the rest comes with the next tick
			}
			if err := k.exorcise(ctx, n, seq); err != nil {
				return errors.Join(err, take.back(ctx))
			}
			delete(g.due, seq)
		}
	}
	k.flushTotals(ctx, true)
	return take.back(ctx)
}

// exorcise buries one message that has expired.
func (k *consumer) exorcise(ctx context.Context, n int, seq uint64) error {
	m, err := k.bus.queue.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	message, err := bus.Decode(m.Data)
	if err != nil {
		return nil
	}
	k.Refine(&message)
	now := k.bus.now()
	it := &item{seq: seq, part: &part{n: n}, queued: m.Time}
	it.lane = &lane{part: it.part, items: []*item{it}}
	if err := message.Expired(now.Sub(m.Time)); err != nil {
		k.bury(ctx, it, message, m.Data, err, message.RetryCount, now)
	}
	return nil
}

// loan is parts of a queue that the janitor has for a moment.
type loan struct {
	bus    *Bus
	key    string
	id     string
	before map[int]string // whose they were, by number
}

// borrow takes those parts whose replica doesn't live.
func (b *Bus) borrow(ctx context.Context, component string, want map[int][]uint64) (*loan, error) {
	l := &loan{bus: b, key: token(component), id: "janitor-" + b.instance}
	return l, l.change(ctx, func(a *assignment) error {
		l.before = map[int]string{}
		for n := range want {
			owner := a.Owners[n]
			if owner != "" {
				e, err := b.replicas.Get(ctx, l.key+"."+owner)
				if err == nil && b.now().Sub(e.Created()) <= b.opts.Lease {
					continue
				}
				if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
					return err
				}
			}
			l.before[n], a.Owners[n] = owner, l.id
		}
		return nil
	})
}

// back gives the parts back to whose they were: whoever takes them over has to
// know that their replica died.
func (l *loan) back(ctx context.Context) error {
	return l.change(ctx, func(a *assignment) error {
		for n, owner := range a.Owners {
			if owner == l.id {
				a.Owners[n] = l.before[n]
			}
		}
		return nil
	})
}

func (l *loan) change(ctx context.Context, edit func(*assignment) error) error {
	for {
		var a assignment
		var rev uint64
		e, err := l.bus.parts.Get(ctx, l.key)
		switch {
		case err == nil:
			rev = e.Revision()
			if err := json.Unmarshal(e.Value(), &a); err != nil {
				return bus.Permanent(err)
			}
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return err
		}
		if err := edit(&a); err != nil {
			return err
		}
		value, err := json.Marshal(a)
		if err != nil {
			return bus.Permanent(err)
		}
		if _, err = l.bus.parts.Update(ctx, l.key, value, rev); !conflict(err) {
			return err
		}
	}
}
