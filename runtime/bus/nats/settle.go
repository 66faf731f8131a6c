package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// lastWords is how long a consumer that is to stop tries to tell the bus what
// its handlers have done.
const lastWords = 5 * time.Second

// handle handles one delivery and returns how to settle it. A message that
// isn't settled stays in its place.
func (k *consumer) handle(ctx, hctx context.Context, it *item) (settle func()) {
	back := func() { k.lanes.release(it) }
	if k.finished.has(it.id, k.bus.now()) {
		return func() { k.drop(ctx, it) }
	}
	body, gone, err := k.body(ctx, it)
	switch {
	case gone:
		return func() { k.lanes.remove(it) }
	case err != nil:
		return back // only the end of ctx
	}
	m, err := bus.Decode(body)
	if err != nil {
		return func() { k.bury(ctx, it, bus.Message{ID: it.id}, body, err, 1, k.bus.now()) }
	}
	m.RetryCount += it.past.Retries
	k.Refine(&m)
	began := k.bus.now()
	if err := m.Expired(began.Sub(it.queued)); err != nil {
		if it.past.Error != "" {
			err = fmt.Errorf("%w; the last error was: %s", err, it.past.Error)
		}
		return func() { k.bury(ctx, it, m, body, err, m.RetryCount, began) }
	}
	if it.past.First.IsZero() {
		it.past.First = began
	}
	if it.seq <= it.part.suspect {
		killed := max(it.past.Deliveries, min(1, k.bus.opts.MaxDeliveries-1))
		if killed >= k.bus.opts.MaxDeliveries {
			err := fmt.Errorf("delivered %d times without an outcome: its handler seems to end the process", killed)
			return func() { k.bury(ctx, it, m, body, err, m.RetryCount+killed, began) }
		}
		if !k.suspect(ctx, it, killed+1) {
			return back
		}
	}
	if m.Mode == bus.AtMostOnce {
		return k.handleOnce(ctx, hctx, it, m, body, began)
	}
	outputs, err := k.call(hctx, m)
	switch {
	case err == nil:
		return func() { k.done(ctx, it, m, outputs, began) }
	case hctx.Err() != nil:
		return func() {
			if it.past.Deliveries > 0 { // being stopped is no fault of the message
				k.suspect(ctx, it, it.past.Deliveries-1)
			}
			k.lanes.release(it)
		}
	case m.Final(err):
		return func() { k.bury(ctx, it, m, body, err, m.RetryCount+1, began) }
	}
	return func() { k.retry(ctx, it, m, err, began) }
}

// body returns the message as it came. gone is true where someone else has
// settled it.
func (k *consumer) body(ctx context.Context, it *item) (body []byte, gone bool, err error) {
	if it.body != nil {
		return it.body, false, nil
	}
	err = k.bus.retry(ctx, "read message", func(ctx context.Context) error {
		m, err := k.bus.queue.GetMsg(ctx, it.seq)
		if err == nil {
			body = m.Data
		}
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, true, nil
	}
	return body, false, err
}

// suspect keeps how often a message may have killed its replica.
func (k *consumer) suspect(ctx context.Context, it *item, deliveries int) bool {
	past := it.past
	past.Deliveries = deliveries
	err := k.settle(ctx, it, "begin message", func(ctx context.Context) error { return k.note(ctx, it, past) })
	if err != nil && ctx.Err() == nil {
		k.log.Error("message can't be begun", "error", err)
	}
	return err == nil
}

// handleOnce deletes before the call: what fails or dies then isn't delivered
// again.
func (k *consumer) handleOnce(ctx, hctx context.Context, it *item, m bus.Message, body []byte, began time.Time) func() {
	if err := k.settle(ctx, it, "settle message "+m.ID, func(ctx context.Context) error { return k.finishOne(ctx, it) }); err != nil {
		return func() { k.lanes.release(it) }
	}
	outputs, err := k.call(hctx, m)
	return func() {
		defer k.lanes.remove(it)
		if err == nil && len(outputs) > 0 {
			err = k.settle(ctx, it, "send outputs", func(ctx context.Context) error { return k.bus.put(ctx, outputs, false) })
		}
		if err == nil {
			k.counts.add(1, 0, 0)
			k.trail(it, m, began, bus.Done, nil, outputs)
			return
		}
		k.bury(ctx, nil, m, body, err, 1, began)
		k.trail(it, m, began, bus.Dead, err, nil)
	}
}

func (k *consumer) call(ctx context.Context, m bus.Message) ([]sealed, error) {
	outputs, err := k.Call(ctx, m)
	if err != nil {
		return nil, err
	}
	out, err := k.bus.seal(outputs)
	if err != nil {
		return nil, bus.Permanent(err)
	}
	return out, nil
}

var errLost = errors.New("another replica has taken the message over")

// settle tells the bus an outcome and goes on trying: a handler's work isn't
// thrown away because the bus is down. Doing it twice is harmless. It does
// nothing where the message is another replica's now.
func (k *consumer) settle(ctx context.Context, it *item, what string, op func(context.Context) error) error {
	within, cancel := bus.Outlive(ctx, lastWords, nil)
	defer cancel()
	if !k.lanes.sure(within, it.part) {
		return bus.Permanent(errLost)
	}
	return k.bus.retry(within, what, op)
}

// unsettled says why an outcome isn't recorded.
func (k *consumer) unsettled(it *item, m bus.Message, err error) {
	if errors.Is(err, errLost) {
		k.logMessage(m).Warn("the outcome of a message is void: another replica has taken it over")
	} else {
		k.logMessage(m).Error("the outcome of a message can't be recorded: it will be handled again", "error", err)
	}
	k.lanes.release(it)
}

// done sends the outputs of a message and deletes it.
func (k *consumer) done(ctx context.Context, it *item, m bus.Message, outputs []sealed, began time.Time) {
	ended := k.bus.now()
	if len(outputs) > 0 {
		err := k.settle(ctx, it, "send outputs of message "+m.ID, func(ctx context.Context) error { return k.bus.put(ctx, outputs, false) })
		if err != nil {
			k.unsettled(it, m, err)
			return
		}
	}
	if err := k.finishWith(ctx, it); err != nil {
		k.unsettled(it, m, err)
		return
	}
	k.counts.add(1, 0, 0)
	k.trailAt(it, m, began, ended, bus.Done, nil, outputs)
	k.lanes.remove(it)
}

// drop deletes a message that was handled before.
func (k *consumer) drop(ctx context.Context, it *item) {
	err := k.settle(ctx, it, "delete a duplicate", func(ctx context.Context) error { return k.erase(ctx, it) })
	if err != nil {
		k.lanes.release(it)
		return
	}
	k.lanes.remove(it)
}

func (k *consumer) retry(ctx context.Context, it *item, m bus.Message, cause error, began time.Time) {
	past := it.past
	delay, postponed := m.Postponed(cause, k.bus.now().Sub(it.queued))
	if !postponed {
		delay = k.bus.opts.Backoff.Delay(m.RetryCount + 1)
		past.Retries++
	}
	past.Deliveries = 0
	past.Error = cause.Error()
	past.Due = time.Now().Add(delay)
	k.logMessage(m).Warn("message will be tried again", "error", cause, "delay", delay.String(), bus.Stack(cause))
	err := k.settle(ctx, it, "retry message "+m.ID, func(ctx context.Context) error { return k.note(ctx, it, past) })
	if err != nil {
		k.unsettled(it, m, err)
		return
	}
	k.counts.add(0, 1, 0)
	k.trail(it, m, began, bus.Retry, cause, nil)
	k.lanes.release(it)
}

// bury puts a message to the dead letters, tells whoever waits for its answer,
// and deletes it; it is nil where that was done before.
func (k *consumer) bury(ctx context.Context, it *item, m bus.Message, body []byte, cause error, attempts int, began time.Time) {
	k.logMessage(m).Error("message failed for good", "attempts", attempts, "error", cause, bus.Stack(cause))
	now := k.bus.now()
	d := death{Target: k.Component, Error: cause.Error(), Attempts: attempts, First: now, Last: now, Retries: m.RetryCount}
	id := k.Component + "/" + m.ID
	where := it
	if it != nil {
		id = fmt.Sprint(k.Component, "/", it.seq)
		if !it.past.First.IsZero() {
			d.First = it.past.First
		}
	} else {
		where = &item{part: &part{}} // nobody else has it
	}
	records := []record{k.bus.toDead(id, body, d)}
	if reply, ok := bus.ErrorReply(&m, k.Component, cause); ok {
		if text, err := bus.Encode(&reply); err == nil { // it is made of valid parts
			records = append(records, k.bus.toInbox(&reply, text))
		}
	}
	err := k.settle(ctx, where, "bury message "+m.ID, func(ctx context.Context) error {
		if err := k.bus.send(ctx, records); err != nil || it == nil {
			return err
		}
		return k.erase(ctx, it)
	})
	switch {
	case err != nil && it != nil:
		k.unsettled(it, m, err)
	case err != nil:
		k.logMessage(m).Error("a dead letter can't be recorded", "error", err)
	default:
		k.counts.add(0, 0, 1)
		if it != nil {
			k.trail(it, m, began, bus.Dead, cause, nil)
			k.lanes.remove(it)
		}
	}
}

func (k *consumer) logMessage(m bus.Message) *slog.Logger {
	return k.log.With(m.Identity())
}
