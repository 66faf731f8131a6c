package nats

import (
	"context"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// finish is one message that was handled.
type finish struct {
	item   *item
	result chan<- error // with room for it
}

// atOnce is how many messages are finished with one write to the server.
const atOnce = 256

// finishWith records that a message was handled and deletes it, together with
// others that come at the same time.
func (k *consumer) finishWith(ctx context.Context, it *item) error {
	return k.settle(ctx, it, "finish message", func(ctx context.Context) error {
		result := make(chan error, 1)
		select {
		case k.finish <- finish{it, result}:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case err := <-result: // once taken, it is answered
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// finishOne is finishWith for one message alone, at once.
func (k *consumer) finishOne(ctx context.Context, it *item) error {
	return k.finishBatch(ctx, []finish{{item: it}})[0]
}

// finishAll works until nothing more is to be finished.
func (k *consumer) finishAll(ctx context.Context) {
	for first := range k.finish {
		batch := []finish{first}
	collect:
		for len(batch) < atOnce {
			select {
			case f, ok := <-k.finish:
				if !ok {
					break collect
				}
				batch = append(batch, f)
			default:
				break collect
			}
		}
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
		for i, err := range k.finishBatch(within, batch) {
			batch[i].result <- err
		}
		cancel()
	}
}

// finishBatch returns an error for each. Doing it again is harmless.
func (k *consumer) finishBatch(ctx context.Context, batch []finish) []error {
	ids := make([]string, len(batch))
	for i, f := range batch {
		ids[i] = f.item.id
	}
	errs := make([]error, len(batch))
	m := &nats.Msg{Subject: k.bus.names.done(k.Component), Data: []byte(strings.Join(ids, "\n"))}
	if _, err := k.bus.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0)); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	var all sync.WaitGroup
	now := k.bus.now()
	for i, f := range batch {
		k.finished.add(f.item.id, now, now)
		all.Go(func() { errs[i] = k.erase(ctx, f.item) })
	}
	all.Wait()
	return errs
}

// erase deletes a message and its mark.
func (k *consumer) erase(ctx context.Context, it *item) error {
	if err := erase(ctx, k.bus.queue, it.seq); err != nil {
		return err
	}
	if it.marked > 0 {
		return erase(ctx, k.bus.marks, it.marked)
	}
	return nil
}
