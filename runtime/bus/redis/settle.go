package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// lastWords is how long a consumer that is to stop tries to tell the bus what
// its handlers have done.
const lastWords = 5 * time.Second

// handle handles one delivery and reports whether it is settled. Where it
// isn't, the message stays pending, for whoever comes next.
func (k *consumer) handle(ctx, hctx context.Context, e entry, m bus.Message, unreadable error) bool {
	switch {
	case ctx.Err() != nil:
		return false
	case unreadable != nil:
		return k.bury(ctx, e, m, unreadable, 1)
	case e.deliveries > int64(k.bus.opts.MaxDeliveries):
		err := fmt.Errorf("delivered %d times without an outcome: its handler seems to end the process", e.deliveries-1)
		return k.bury(ctx, e, m, err, m.RetryCount+int(e.deliveries)-1)
	}
	verdict, now, err := k.begin(ctx, e, m)
	if err != nil || verdict != "go" {
		if err != nil && ctx.Err() == nil {
			k.logMessage(m).Error("message can't be begun", "error", err)
		}
		return err == nil
	}
	if err := m.Expired(time.Duration(now-e.past.Queued) * time.Millisecond); err != nil {
		if e.past.Error != "" {
			err = fmt.Errorf("%w; the last error was: %s", err, e.past.Error)
		}
		return k.bury(ctx, e, m, err, m.RetryCount)
	}
	if e.past.First == 0 {
		e.past.First = now
	}
	if m.Mode == bus.AtMostOnce {
		return k.handleOnce(ctx, hctx, e, m)
	}
	outputs, err := k.call(hctx, m)
	switch {
	case err == nil:
		return k.finish(ctx, e, m, outputs)
	case hctx.Err() != nil:
		return false
	case bus.IsPermanent(err) || m.LastAttempt():
		return k.bury(ctx, e, m, err, m.RetryCount+1)
	}
	return k.retry(ctx, e, m, err)
}

// handleOnce acknowledges before the call: what fails or dies then isn't
// delivered again.
func (k *consumer) handleOnce(ctx, hctx context.Context, e entry, m bus.Message) bool {
	if !k.finish(ctx, e, m, nil) {
		return false
	}
	outputs, err := k.call(hctx, m)
	if err == nil && len(outputs) > 0 {
		err = k.settle(ctx, "send outputs", func(ctx context.Context) error {
			records, err := k.bus.route(ctx, outputs)
			if err != nil {
				return err
			}
			return k.bus.flush.send(ctx, k.bus.done, records)
		})
	}
	if err != nil {
		k.buryAcked(ctx, e, m, err)
	}
	return true
}

func (k *consumer) call(ctx context.Context, m bus.Message) ([]sealed, error) {
	outputs, err := k.Call(ctx, m)
	if err != nil {
		return nil, err
	}
	out, err := seal(outputs)
	if err != nil {
		return nil, bus.Permanent(err)
	}
	return out, nil
}

// settle tells the bus an outcome and goes on trying: a handler's work isn't
// thrown away because the bus is down. Doing it twice is harmless.
func (k *consumer) settle(ctx context.Context, what string, op func(context.Context) error) error {
	within, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(lastWords)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-within.Done():
		}
	})
	defer stop()
	return k.bus.retry(within, what, op)
}

func (k *consumer) outcome(ctx context.Context, m bus.Message, script *redis.Script, keys []string, args ...any) bool {
	err := k.settle(ctx, "settle message "+m.ID, func(ctx context.Context) error {
		n, err := script.Run(ctx, k.bus.client, keys, args...).Int()
		if isNoGroup(err) {
			return nil // the server lost the message with its group
		}
		if err == nil && n == 0 {
			k.logMessage(m).Debug("the outcome was known already, or another replica has taken the message over")
		}
		return err
	})
	if err != nil {
		k.logMessage(m).Error("the outcome of a message can't be recorded: it will be handled again", "error", err)
	}
	return err == nil
}

func (k *consumer) keysOf(m bus.Message) []string {
	return k.bus.keys.message(k.Component, m.SessionID, m.ID)
}

// args are the first four of every script about a message.
func args(e entry, m bus.Message, more ...any) []any {
	return append([]any{group, e.id, m.ID, m.SessionID}, more...)
}

func (k *consumer) begin(ctx context.Context, e entry, m bus.Message) (verdict string, now int64, err error) {
	past, err := json.Marshal(e.past)
	if err != nil {
		return "", 0, err
	}
	err = k.bus.retry(ctx, "begin message "+m.ID, func(ctx context.Context) error {
		row, err := beginScript.Run(ctx, k.bus.client, k.keysOf(m), args(e, m, k.Instance, past)...).Slice()
		if isNoGroup(err) {
			verdict = "gone"
			return nil
		}
		if err != nil {
			return err
		}
		if len(row) != 2 {
			return bus.Permanent(fmt.Errorf("unexpected reply %v", row))
		}
		verdict, _ = row[0].(string)
		now, _ = row[1].(int64)
		return nil
	})
	if err == nil && verdict != "go" {
		k.logMessage(m).Debug("message isn't handled now", "reason", verdict)
	}
	return verdict, now, err
}

func (k *consumer) finish(ctx context.Context, e entry, m bus.Message, outputs []sealed) bool {
	var records []record
	if len(outputs) > 0 {
		err := k.settle(ctx, "route outputs of message "+m.ID, func(ctx context.Context) (err error) {
			records, err = k.bus.route(ctx, outputs)
			return err
		})
		if err != nil {
			k.logMessage(m).Error("outputs can't be sent: the message will be handled again", "error", err)
			return false
		}
	}
	keys := append(k.keysOf(m), k.bus.keys.queues(), k.bus.keys.dropped())
	var pairs []any
	dropped := 0
	for _, r := range records {
		if r.stream == "" {
			dropped++
			continue
		}
		keys = append(keys, r.stream)
		pairs = append(pairs, r.component, r.body)
	}
	window := max(int64(k.bus.opts.DedupWindow/time.Second), 1)
	all := args(e, m, window, int64(inboxTTL/time.Second), dropped)
	return k.outcome(ctx, m, finishScript, keys, append(all, pairs...)...)
}

func (k *consumer) retry(ctx context.Context, e entry, m bus.Message, cause error) bool {
	m.RetryCount++
	e.past.Error = cause.Error()
	body, err := bus.Encode(&m)
	if err != nil {
		return k.bury(ctx, e, m, errors.Join(cause, err), m.RetryCount)
	}
	past, err := json.Marshal(e.past)
	if err != nil {
		return k.bury(ctx, e, m, errors.Join(cause, err), m.RetryCount)
	}
	delay := k.bus.opts.Backoff.Delay(m.RetryCount)
	k.logMessage(m).Warn("message will be tried again", "error", cause, "delay", delay, "stack", stack(cause))
	ok := k.outcome(ctx, m, retryScript, k.keysOf(m), args(e, m, delay.Milliseconds(), past, body)...)
	select {
	case k.due <- struct{}{}:
	default:
	}
	return ok
}

func (k *consumer) bury(ctx context.Context, e entry, m bus.Message, cause error, attempts int) bool {
	k.logMessage(m).Error("message failed for good", "attempts", attempts, "error", cause, "stack", stack(cause))
	return k.outcome(ctx, m, deadScript, k.keysOf(m), args(e, m, k.Component, cause.Error(), attempts, e.past.First)...)
}

// buryAcked is bury for a message that isn't on its queue any more.
func (k *consumer) buryAcked(ctx context.Context, e entry, m bus.Message, cause error) {
	k.logMessage(m).Error("message failed for good", "attempts", 1, "error", cause, "stack", stack(cause))
	err := k.settle(ctx, "dead letter", func(ctx context.Context) error {
		now, err := k.bus.client.Time(ctx).Result()
		if err != nil {
			return err
		}
		return k.bus.client.XAdd(ctx, &redis.XAddArgs{Stream: k.bus.keys.dead(k.Component), Values: []any{
			"m", e.body, "target", k.Component, "error", cause.Error(), "attempts", 1,
			"first", e.past.First, "last", now.UnixMilli()}}).Err()
	})
	if err != nil {
		k.logMessage(m).Error("a dead letter can't be recorded", "error", err)
	}
}

func (k *consumer) logMessage(m bus.Message) *slog.Logger {
	return k.log.With("message_id", m.ID, "session_id", m.SessionID)
}

func stack(err error) string {
	var p *bus.PanicError
	if errors.As(err, &p) {
		return string(p.Stack)
	}
	return ""
}
