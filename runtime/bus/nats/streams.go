package nats

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// store is the streams and buckets of a project.
type store struct {
	queue, marks, done, dead, inbox, gathered, dropped, trail jetstream.Stream
	parts, replicas, settings, totals, registry               jetstream.KeyValue
}

// ensure makes what isn't there, and leaves what is as it is.
func (b *Bus) ensure(ctx context.Context) error {
	b.ensuring.Lock()
	defer b.ensuring.Unlock()
	n := b.names
	window := max(b.opts.DedupWindow, 5*time.Minute)
	file := func(kind string, c jetstream.StreamConfig) jetstream.StreamConfig {
		c.Name, c.AllowDirect = n.stream(kind), true
		return c
	}
	gather := file("gather", jetstream.StreamConfig{Subjects: []string{n.subject("gather", "*")}, MaxMsgsPerSubject: 1})
	if b.perMessageTTL() {
		gather.AllowMsgTTL = true
	} else {
		gather.MaxAge = 24 * time.Hour
	}
	var s store
	group, within := errgroup.WithContext(ctx)
	for _, want := range []struct {
		into *jetstream.Stream
		conf jetstream.StreamConfig
	}{
		{&s.queue, file("queue", jetstream.StreamConfig{Subjects: []string{n.subject("q", "*", "*")}, Duplicates: window})},
		{&s.marks, file("marks", jetstream.StreamConfig{Subjects: []string{n.subject("m", "*", "*", "*")}, MaxMsgsPerSubject: 1})},
		{&s.done, file("done", jetstream.StreamConfig{Subjects: []string{n.subject("done", "*")}, MaxAge: window, Duplicates: time.Minute})},
		{&s.dead, file("dead", jetstream.StreamConfig{Subjects: []string{n.subject("dead", "*")}, Duplicates: window})},
		{&s.inbox, file("inbox", jetstream.StreamConfig{Subjects: []string{n.subject("in", "*", "whole")}, MaxAge: inboxTTL, Duplicates: 5 * time.Minute})},
		{&s.gathered, gather},
		{&s.dropped, file("dropped", jetstream.StreamConfig{Subjects: []string{n.dropped()}, MaxMsgs: 1})},
		{&s.trail, file("trail", jetstream.StreamConfig{Subjects: []string{n.subject("trail", "*")}, MaxMsgs: hops,
			Storage: jetstream.MemoryStorage, Discard: jetstream.DiscardOld})},
	} {
		group.Go(func() (err error) {
			*want.into, err = b.js.Stream(within, want.conf.Name)
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				*want.into, err = b.js.CreateStream(within, want.conf)
				if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
					*want.into, err = b.js.Stream(within, want.conf.Name)
				}
			}
			return err
		})
	}
	for _, want := range []struct {
		into *jetstream.KeyValue
		conf jetstream.KeyValueConfig
	}{
		{&s.parts, jetstream.KeyValueConfig{Bucket: n.stream("parts")}},
		{&s.replicas, jetstream.KeyValueConfig{Bucket: n.stream("replicas"), TTL: 4 * b.opts.Lease, Storage: jetstream.MemoryStorage}},
		{&s.settings, jetstream.KeyValueConfig{Bucket: n.stream("settings")}},
		{&s.totals, jetstream.KeyValueConfig{Bucket: n.stream("totals")}},
		{&s.registry, jetstream.KeyValueConfig{Bucket: n.stream("registry"), TTL: registryTTL}},
	} {
		group.Go(func() (err error) {
			*want.into, err = b.js.KeyValue(within, want.conf.Bucket)
			if errors.Is(err, jetstream.ErrBucketNotFound) {
				*want.into, err = b.js.CreateKeyValue(within, want.conf)
				if errors.Is(err, jetstream.ErrBucketExists) {
					*want.into, err = b.js.KeyValue(within, want.conf.Bucket)
				}
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	// The handles stay good when what they name is made anew.
	if b.store.queue == nil {
		b.store = s
		return b.compareClocks(ctx)
	}
	return nil
}

// compareClocks finds out how far the server's clock is off, where it is off by
// more than can be told.
func (b *Bus) compareClocks(ctx context.Context) error {
	before := time.Now()
	info, err := b.queue.Info(ctx)
	if err != nil {
		return err
	}
	took := time.Since(before)
	b.skew = info.TimeStamp.Sub(before.Add(took / 2))
	if b.skew.Abs() < took+500*time.Millisecond {
		b.skew = 0
	}
	return nil
}

// perMessageTTL is for servers from 2.11 on.
func (b *Bus) perMessageTTL() bool { return atLeast(b.nc.ConnectedServerVersion(), "2.11") }

// readAll calls each for what is in a stream now under the subject, from the
// sequence on.
func (b *Bus) readAll(ctx context.Context, s jetstream.Stream, subject string, from uint64, each func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	name := s.CachedInfo().Config.Name
	c, err := b.js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
		FilterSubject: subject, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1), InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	defer b.forget(ctx, name, c)
	return fetchAll(ctx, c, each)
}

// forget deletes a consumer of ours. If that fails, the server does it.
func (b *Bus) forget(ctx context.Context, stream string, c jetstream.Consumer) {
	if !b.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = b.js.DeleteConsumer(ctx, stream, c.CachedInfo().Name)
}

// fetchAll calls each for all that was pending when the consumer was made.
func fetchAll(ctx context.Context, c jetstream.Consumer, each func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	left := c.CachedInfo().NumPending
	for left > 0 {
		batch, err := c.Fetch(int(min(left, 500)), jetstream.FetchContext(ctx))
		if err != nil {
			return err
		}
		got := 0
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if err := each(m, meta); err != nil {
				return err
			}
			got++
			left = min(left-1, meta.NumPending)
		}
		if err := batch.Error(); err != nil {
			return err
		}
		if got == 0 {
			return ctx.Err() // the rest was deleted meanwhile
		}
	}
	return nil
}
