package redis

import (
	"context"
	"runtime"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// listen starts the reader of a process's inbox with the first request: of this
// one, or of one that has asked before.
func (b *Bus) listen(ctx context.Context, instance string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return bus.ErrClosed
	}
	if b.listening[instance] {
		return nil
	}
	b.listening[instance] = true
	b.helpers.Go(func() {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		client := b.dedicated()
		b.helpers.Go(func() {
			<-b.done
			cancel()
			_ = client.Close() // interrupts the read
		})
		b.readInbox(ctx, client, instance)
	})
	return nil
}

// readInbox reads an inbox until ctx is done. What came to this process's own
// goes with it; another one is kept for whoever asks again, until it expires.
func (b *Bus) readInbox(ctx context.Context, client redis.UniversalClient, instance string) {
	own := instance == b.instance
	last, read, failures := "0", 0, 0
	for ctx.Err() == nil {
		entries, err := readFrom(ctx, client, b.keys.inbox(instance), last)
		if err != nil {
			if failures++; failures == 1 && ctx.Err() == nil {
				b.opts.Log.Warn("inbox can't be read; answers wait", "error", b.explain(err))
			}
			pause(ctx, failures)
			continue
		}
		failures = 0
		for _, e := range entries {
			last = e.place.String()
			b.answer(e)
		}
		runtime.Gosched() // who waited goes on before the server is asked for more
		// Not with each answer: it would hold up whatever is asked next.
		if read += len(entries); own && (read >= 100 || read > 0 && len(entries) == 0) {
			b.forget(ctx, last)
			read = 0
		}
	}
	if own {
		b.dropInbox(ctx)
	}
}

// readFrom reads one stream from after an entry on; it waits a while for more.
func readFrom(ctx context.Context, client redis.UniversalClient, stream, last string) ([]raw, error) {
	streams, err := xread(ctx, client, "xread", "count", 100, "block", readBlock.Milliseconds(), "streams", stream, last)
	if err != nil || len(streams) == 0 {
		return nil, err
	}
	return streams[0].list, nil
}

func (b *Bus) answer(e raw) {
	m, err := bus.Decode(e.m)
	if err != nil {
		b.opts.Log.Warn("an answer can't be read", "error", err)
		return
	}
	if !b.inboxes.Deliver(m) {
		b.opts.Log.Debug("nobody waits for an answer any more", "message_id", m.ID)
	}
}

// forget deletes what was read. If that fails, it goes when the inbox expires.
func (b *Bus) forget(ctx context.Context, last string) {
	if err := b.client.XTrimMinID(ctx, b.keys.inbox(b.instance), after(last)).Err(); err != nil && ctx.Err() == nil {
		b.opts.Log.Debug("read answers stay until they expire", "error", b.explain(err))
	}
}

// after is the least id that is greater.
func after(id string) string {
	next := parseID(id)
	next.seq++
	return next.String()
}

func (b *Bus) dropInbox(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = b.client.Del(ctx, b.keys.inbox(b.instance)).Err() // else it expires
}

// pause waits longer with each failure in a row.
func pause(ctx context.Context, failures int) {
	t := time.NewTimer(bus.Backoff{Min: 20 * time.Millisecond, Max: time.Second}.Delay(failures))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
