package nats

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// assignment says which replica has which part of a component's queue.
type assignment struct {
	Owners [partitions]string `json:"owners"`
}

// seen is what is known of another replica.
type seen struct {
	revision uint64
	at       time.Time // when it was last heard of, by our clock
	member   bool      // it has said that it is there, and not that it goes
}

// government keeps a replica's parts of the queue: it alone decides which are
// the replica's. Its fields are of one goroutine.
type government struct {
	k        *consumer
	id       string
	assigned assignment
	revision uint64 // of assigned
	others   map[string]seen
	unclean  map[int]bool // parts whose last replica died
	beaten   time.Time    // the last heartbeat
	failures int          // of heartbeats, since
	lenient  time.Time    // until then nobody counts as dead
}

type change struct {
	parts bool // else of a replica
	entry jetstream.KeyValueEntry
}

// govern works until ctx is done. first is closed when the replica has said
// that it is there and has what is free.
func (g *government) govern(ctx context.Context, first chan<- struct{}) {
	k, b := g.k, g.k.bus
	changes := make(chan change, 64)
	key := token(k.Component)
	for _, w := range []struct {
		kv      jetstream.KeyValue
		pattern string
		parts   bool
	}{{b.parts, key, true}, {b.replicas, key + ".*", false}} {
		k.helpers.Go(func() {
			b.watch(ctx, w.kv, w.pattern, func(e jetstream.KeyValueEntry) {
				select {
				case changes <- change{parts: w.parts, entry: e}:
				case <-ctx.Done():
				}
			})
		})
	}
	tick := time.NewTicker(b.opts.Lease / 4)
	defer tick.Stop()
	resumed := b.resumed.next()
	g.beat(ctx)
	g.refresh(ctx)
	for {
		idle := k.lanes.idle.next()
		g.balance(ctx)
		if first != nil && g.revision > 0 {
			close(first)
			first = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-k.leave:
			g.goodbye(ctx)
			return
		case c := <-changes:
			g.note(c)
			for len(changes) > 0 {
				g.note(<-changes)
			}
		case <-idle:
		case <-tick.C:
			g.beat(ctx)
			k.flushTotals(ctx, false)
		case <-resumed:
			// While we were away nobody could be heard.
			resumed = b.resumed.next()
			g.lenient = time.Now().Add(b.opts.Lease)
			k.lanes.extend(time.Time{})
			g.refresh(ctx)
			g.beat(ctx)
			k.again.send()
		}
	}
}

func (g *government) note(c change) {
	switch {
	case c.entry == nil:
	case c.parts:
		g.assign(c.entry)
	default:
		_, name, _ := strings.Cut(c.entry.Key(), ".")
		g.others[name] = g.heard(c.entry)
	}
}

func (g *government) heard(e jetstream.KeyValueEntry) seen {
	age := max(g.k.bus.now().Sub(e.Created()), 0)
	return seen{e.Revision(), time.Now().Add(-age), e.Operation() == jetstream.KeyValuePut}
}

// alive reports whether a replica was heard of within its lease.
func (g *government) alive(s seen) bool {
	return time.Since(s.at) <= g.k.bus.opts.Lease || time.Now().Before(g.lenient)
}

// assign takes over what the server has, and lets go of what is lost.
func (g *government) assign(e jetstream.KeyValueEntry) {
	if e.Revision() < g.revision {
		return
	}
	var a assignment
	if err := json.Unmarshal(e.Value(), &a); err != nil {
		g.k.log.Error("who has which part of the queue can't be read", "error", err)
		return
	}
	g.assigned, g.revision = a, e.Revision()
	for n, owner := range a.Owners {
		if owner != g.id && g.k.lanes.part(n) != nil {
			g.k.log.Warn("another replica has taken a part of the queue over", "part", n)
			g.k.lanes.drop(n)
			g.k.again.send()
		}
	}
}

// refresh reads who has which part.
func (g *government) refresh(ctx context.Context) {
	err := attempt(ctx, func(ctx context.Context) error {
		e, err := g.k.bus.parts.Get(ctx, token(g.k.Component))
		if err == nil {
			g.assign(e)
		}
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			if g.revision > 0 {
				g.k.log.Error("who has which part of the queue is gone: the bus has lost data; it is made anew")
			}
			for n := range partitions {
				g.k.lanes.drop(n)
			}
			g.assigned, g.revision = assignment{}, 0
			return nil
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		g.k.log.Warn("the bus can't be read; trying again", "error", g.k.bus.explain(err))
	}
}

// beat says that this replica lives, and counts from before it said so.
func (g *government) beat(ctx context.Context) {
	b := g.k.bus
	began := time.Now()
	within, cancel := context.WithTimeout(ctx, max(b.opts.Lease/2, 100*time.Millisecond))
	defer cancel()
	err := g.say(within)
	if err != nil && lost(err) {
		if err = attempt(ctx, b.ensure); err == nil {
			began = time.Now()
			err = attempt(ctx, g.say)
		}
	}
	if err != nil {
		if g.failures++; g.failures == 1 && ctx.Err() == nil {
			g.k.log.Warn("heartbeat failed; other replicas may take this one's messages over", "error", b.explain(err))
		}
		return
	}
	g.failures = 0
	// After a silence, others may have taken over what was ours.
	if time.Since(g.beaten) > b.opts.Lease*3/4 {
		g.refresh(ctx)
	}
	g.beaten = began
	g.k.lanes.extend(began.Add(b.opts.Lease * 4 / 5))
}

func (g *government) say(ctx context.Context) error {
	b := g.k.bus
	m := &nats.Msg{Subject: "$KV." + b.replicas.Bucket() + "." + token(g.k.Component) + "." + g.id, Data: []byte(g.k.Instance)}
	_, err := b.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0)) // as Put does it, but that it says at once what is wrong
	return err
}

// dead reports whether a replica that has parts is gone.
func (g *government) dead(ctx context.Context, id string) bool {
	s, ok := g.others[id]
	if !ok { // count from now on
		g.others[id] = seen{at: time.Now()}
		return false
	}
	if !s.member && s.revision > 0 {
		return true // it said so
	}
	if g.alive(s) {
		return false
	}
	// We may be the one that is slow.
	e, err := g.k.bus.replicas.Get(ctx, token(g.k.Component)+"."+id)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return true
	case err != nil:
		return false
	case e.Revision() != s.revision:
		g.others[id] = g.heard(e)
		return !g.alive(g.others[id])
	}
	return true
}

// write makes next so, unless someone else was faster.
func (g *government) write(ctx context.Context, next assignment) bool {
	value, err := json.Marshal(next)
	if err != nil {
		return false // strings always can be
	}
	key := token(g.k.Component)
	var rev uint64
	err = attempt(ctx, func(ctx context.Context) error {
		if g.revision == 0 {
			rev, err = g.k.bus.parts.Create(ctx, key, value)
		} else {
			rev, err = g.k.bus.parts.Update(ctx, key, value, g.revision)
		}
		return err
	})
	if err != nil {
		if !conflict(err) && ctx.Err() == nil {
			g.k.log.Warn("parts of the queue can't be taken or given away", "error", g.k.bus.explain(err))
			pause(ctx, 1)
		}
		return false
	}
	for n, owner := range next.Owners {
		switch before := g.assigned.Owners[n]; {
		case owner == before:
		case before == g.id:
			g.k.lanes.drop(n)
			g.k.again.send()
		case owner == g.id && before != "":
			// One that has signed off and still had parts was cut short: that
			// isn't what kills a message's replica, but it may be.
			g.unclean[n] = true
		}
	}
	g.assigned, g.revision = next, rev
	return true
}

// enter begins to work on parts that are this replica's and weren't yet.
func (g *government) enter(ctx context.Context) {
	parts := map[int]*part{}
	took := 0
	for n, owner := range g.assigned.Owners {
		if owner == g.id && g.k.lanes.part(n) == nil {
			parts[n] = &part{n: n, marks: map[uint64]found{}}
			if g.unclean[n] {
				took++
			}
		}
	}
	if len(parts) == 0 {
		return
	}
	err := attempt(ctx, func(ctx context.Context) error {
		if took > 0 {
			info, err := g.k.bus.queue.Info(ctx)
			if err != nil {
				return err
			}
			for n, p := range parts {
				if g.unclean[n] {
					p.suspect = info.State.LastSeq
				}
			}
		}
		if err := g.k.readDone(ctx); err != nil {
			return err
		}
		return g.k.readMarks(ctx, parts)
	})
	if err != nil { // the next heartbeat comes here again
		if ctx.Err() == nil {
			g.k.log.Warn("parts of the queue can't be begun; trying again", "error", g.k.bus.explain(err))
		}
		return
	}
	if took > 0 {
		g.k.log.Info("took parts of the queue of a dead replica over", "parts", took)
	}
	for n, p := range parts {
		delete(g.unclean, n)
		g.k.lanes.give(p)
	}
	g.k.again.send()
}

// goodbye gives everything away, so that others take over at once.
func (g *government) goodbye(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		next := g.assigned
		for n, owner := range next.Owners {
			if owner == g.id {
				next.Owners[n] = ""
			}
		}
		if next == g.assigned || g.write(ctx, next) {
			break
		}
		g.refresh(ctx)
	}
	if err := g.k.bus.replicas.Delete(ctx, token(g.k.Component)+"."+g.id); err != nil {
		g.k.log.Warn("can't sign off; what this replica held is taken over when its lease ends", "error", g.k.bus.explain(err))
	}
}
