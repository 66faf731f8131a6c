package nats

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// settling is how many messages beyond the concurrency of a consumer may be
// handled and not yet settled.
const settling = 64

// consumer is one call of Consume.
type consumer struct {
	bus.Consumer
	bus      *Bus
	lanes    *lanes
	finished *finished
	log      *slog.Logger
	helpers  sync.WaitGroup
	again    signal        // what to read has changed
	leave    chan struct{} // closed when all is settled
	finish   chan finish
	doneSeq  uint64 // of the government
	counts   counts
}

// Consume implements bus.Bus.
func (b *Bus) Consume(ctx context.Context, c bus.Consumer, ready func()) error {
	if err := c.Validate(); err != nil {
		return err
	}
	id := bus.NewID()
	if c.Instance == "" {
		c.Instance = id
	}
	k := &consumer{
		Consumer: c,
		bus:      b,
		lanes:    newLanes(),
		finished: newFinished(b.opts.DedupWindow),
		log:      b.opts.Log.With("component", c.Component, "instance", c.Instance),
		leave:    make(chan struct{}),
		finish:   make(chan finish),
	}
	ctx, leave, err := b.join(ctx, k)
	if err != nil {
		return err
	}
	defer leave()
	s := setting{Topics: c.Topics, Limit: c.QueueLimit, Overflow: c.Overflow, TTL: c.TTL}
	err = b.retry(ctx, "consume "+c.Component, func(ctx context.Context) error {
		return b.set(ctx, c.Component, s)
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	k.run(ctx, id, ready)
	return nil
}

// run works until ctx is done and the running handlers are.
func (k *consumer) run(ctx context.Context, id string, ready func()) {
	hctx, cancel := k.HandlerContext(ctx)
	defer cancel()
	// The replica counts as alive until its last handler is done.
	upkeep, stopUpkeep := context.WithCancel(context.WithoutCancel(ctx))
	defer stopUpkeep()
	g := &government{k: k, id: id, others: map[string]seen{}, unclean: map[int]bool{}}
	first := make(chan struct{})
	var governed, finisher sync.WaitGroup
	governed.Go(func() { g.govern(upkeep, first) })
	finisher.Go(func() { k.finishAll(ctx) })
	k.helpers.Go(func() { k.read(ctx) })
	defer context.AfterFunc(ctx, k.lanes.wake)()
	if ready != nil {
		select {
		case <-first:
			ready()
		case <-ctx.Done():
		}
	}
	k.work(ctx, hctx)
	k.lanes.stop()
	close(k.finish)
	finisher.Wait()
	k.flushTotals(upkeep, true)
	close(k.leave)
	governed.Wait()
	stopUpkeep()
	k.helpers.Wait()
}

// work handles messages. A worker goes on to the next message while the last
// one is settled; a session doesn't.
func (k *consumer) work(ctx, hctx context.Context) {
	var workers, settlers sync.WaitGroup
	room := make(chan struct{}, settling)
	for range max(k.Concurrency, 1) {
		workers.Go(func() {
			for it := k.lanes.take(ctx); it != nil; it = k.lanes.take(ctx) {
				settle := k.handle(ctx, hctx, it)
				room <- struct{}{}
				settlers.Go(func() {
					settle()
					<-room
				})
			}
		})
	}
	workers.Wait()
	settlers.Wait()
}

// read brings messages to the lanes until ctx is done.
func (k *consumer) read(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		again, resumed := k.again.next(), k.bus.resumed.next()
		ns, cursor := k.lanes.owned()
		if len(ns) == 0 {
			select {
			case <-again:
			case <-ctx.Done():
			}
			continue
		}
		within, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			select {
			case <-again:
			case <-resumed:
			case <-within.Done():
			}
			cancel()
		}()
		err := k.readFrom(within, ns, cursor)
		stale := within.Err() != nil
		cancel()
		<-done
		if err == nil || stale {
			failures = 0
			continue
		}
		if failures++; failures == 1 {
			k.log.Warn("the bus can't be read; trying again", "error", k.bus.explain(err))
		}
		if lost(err) {
			_ = attempt(ctx, k.bus.ensure) // the next read tells
		}
		pause(ctx, failures)
	}
}

var errGap = errors.New("deliveries were lost on the way")

// readFrom reads the parts from after the cursor on, until something is lost or
// ctx is done.
func (k *consumer) readFrom(ctx context.Context, ns []int, cursor uint64) error {
	b := k.bus
	conf := jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: 30 * time.Second,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: cursor + 1,
	}
	if len(ns) == partitions {
		conf.FilterSubject = b.names.queues(k.Component)
	} else {
		for _, n := range ns {
			conf.FilterSubjects = append(conf.FilterSubjects, b.names.queue(k.Component, n))
		}
	}
	var c jetstream.Consumer
	stream := b.names.stream("queue")
	err := attempt(ctx, func(ctx context.Context) (err error) {
		c, err = b.js.CreateConsumer(ctx, stream, conf)
		return err
	})
	if err != nil {
		return err
	}
	defer b.forget(ctx, stream, c)
	msgs, err := c.Messages(jetstream.PullMaxMessagesWithBytesLimit(256, 2*bus.MaxMessageBytes),
		jetstream.PullExpiry(30*time.Second), jetstream.PullHeartbeat(5*time.Second))
	if err != nil {
		return err
	}
	defer msgs.Stop()
	parts := map[int]*part{}
	for _, n := range ns {
		parts[n] = k.lanes.part(n)
	}
	for count := uint64(1); ; count++ {
		if err := k.hunger(ctx); err != nil {
			return nil
		}
		m, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != count {
			return errGap
		}
		if _, n, err := b.names.queued(m.Subject()); err == nil && slices.Contains(ns, n) && parts[n] != nil {
			k.arrive(parts[n], m, meta)
		}
	}
}

// hunger waits until more is to be read.
func (k *consumer) hunger(ctx context.Context) error {
	for {
		hungry := k.lanes.hungry.next()
		if !k.lanes.enough(max(k.Concurrency, 1)) {
			return nil
		}
		select {
		case <-hungry:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (k *consumer) arrive(p *part, m jetstream.Msg, meta *jetstream.MsgMetadata) {
	it := &item{seq: meta.Sequence.Stream, part: p, queued: meta.Timestamp, body: m.Data(), id: m.Headers().Get(jetstream.MsgIDHeader)}
	session := ""
	if message, err := bus.Decode(it.body); err == nil {
		session = message.SessionID
	}
	if it.id == "" { // not put here by us
		it.id = bus.NewID()
	}
	k.lanes.push(it, session)
}
