package nats

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// listen begins to take a process's answers with the first request: this one's,
// or those of one that has asked before. They come as they are published; the
// stream has those that came while the connection was lost, or nobody listened.
func (b *Bus) listen(ctx context.Context, instance string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return bus.ErrClosed
	}
	if b.listening[instance] {
		return nil
	}
	resumed := b.resumed.next()
	sub, err := b.nc.Subscribe(b.names.subject("in", token(instance), "*"), func(m *nats.Msg) { b.answer(m.Data) })
	if err != nil {
		return b.explain(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return b.explain(err)
	}
	b.listening[instance] = true
	outlive := context.WithoutCancel(ctx)
	b.helpers.Go(func() {
		b.keepInbox(outlive, instance, resumed)
		_ = sub.Unsubscribe() // the connection is closed soon
	})
	return nil
}

func (b *Bus) answer(body []byte) {
	m, err := bus.Decode(body)
	if err != nil {
		b.opts.Log.Warn("an answer can't be read", "error", err)
		return
	}
	if !b.inboxes.Deliver(m) {
		b.opts.Log.Debug("nobody waits for an answer any more", "message_id", m.ID)
	}
}

// keepInbox reads after each loss of the connection what may have been missed,
// and deletes what was delivered, until the bus is closed. The inbox of another
// process is read from the beginning, and kept for whoever asks again, until it
// expires.
func (b *Bus) keepInbox(ctx context.Context, instance string, resumed <-chan struct{}) {
	own := instance == b.instance
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.helpers.Go(func() {
		<-b.done
		cancel()
	})
	mine := b.names.answers(instance)
	if !own {
		now := make(chan struct{})
		close(now)
		resumed = now
	}
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	var last uint64 // all up to it have been delivered by the next tick
	for {
		select {
		case <-resumed:
			resumed = b.resumed.next()
			err := b.retry(ctx, "read answers", func(ctx context.Context) error {
				return b.readAll(ctx, b.inbox, mine, 1, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
					b.answer(m.Data())
					return nil
				})
			})
			if err != nil && ctx.Err() == nil {
				b.opts.Log.Warn("answers may be missed", "error", err)
			}
		case <-tick.C:
			if !own {
				continue
			}
			_ = attempt(ctx, func(ctx context.Context) error { // else they expire
				if last > 0 {
					if err := b.inbox.Purge(ctx, jetstream.WithPurgeSubject(mine), jetstream.WithPurgeSequence(last+1)); err != nil {
						return err
					}
					last = 0
				}
				m, err := b.inbox.GetLastMsgForSubject(ctx, mine)
				if err == nil {
					last = m.Sequence
				}
				return err
			})
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if own && b.nc.IsConnected() {
				_ = b.inbox.Purge(ctx, jetstream.WithPurgeSubject(mine)) // else they expire
			}
			return
		}
	}
}
