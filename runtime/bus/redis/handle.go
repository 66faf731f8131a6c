package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// handle handles one entry. Where that has no outcome the message stays where
// it is, for whoever comes next.
func (k *consumer) handle(ctx, hctx context.Context, e *entry) {
	place := k.placeOf(e)
	if ctx.Err() != nil || place.lost {
		k.forget(e)
		return
	}
	k.Refine(&e.message)
	e.began = max(k.now(), e.past.Queued) // the clock is an estimate
	e.head = place.head != "" && place.head == e.message.ID
	if e.unreadable != nil {
		k.bury(e, e.unreadable, 1)
		return
	}
	if !e.past.Again && (k.pending(e) || k.finished.has(e.mark, e.began)) {
		k.logMessage(e.message).Debug("message was handled before")
		k.settle(k.drop(e))
		return
	}
	if place.head != "" && !e.head && !k.isNext(e) {
		return
	}
	if place.suspect {
		if place.again {
			k.alone.Lock()
			defer k.alone.Unlock()
			if ctx.Err() != nil { // it took its time
				k.forget(e)
				return
			}
		}
		if !k.strike(e) {
			return
		}
	}
	if err := e.message.Expired(time.Duration(e.began-e.past.Queued) * time.Millisecond); err != nil {
		if e.past.Error != "" {
			err = fmt.Errorf("%w; the last error was: %s", err, e.past.Error)
		}
		k.bury(e, err, e.message.RetryCount)
		return
	}
	if e.past.First == 0 {
		e.past.First = e.began
	}
	if e.message.Mode == bus.AtMostOnce {
		k.handleOnce(hctx, e)
		return
	}
	outputs, err := k.call(hctx, e.message)
	switch {
	case err == nil:
		k.settle(k.finish(e, outputs))
	case hctx.Err() != nil:
		k.forget(e)
	case e.message.Final(err):
		k.bury(e, err, e.message.RetryCount+1)
	default:
		k.retry(e, err)
	}
}

// place is how an entry stands when its turn comes.
type place struct {
	lost    bool
	head    string // id of the message that holds its session up
	suspect bool   // a replica may have died of it
	again   bool   // it was begun at two deaths
}

func (k *consumer) placeOf(e *entry) place {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := place{lost: e.part.lost}
	if e.message.SessionID != "" && len(e.part.heads) > 0 {
		p.head = e.part.heads[e.message.SessionID]
	}
	if e.part.suspect != (entryID{}) {
		p.suspect, p.again = !e.place.after(e.part.suspect), e.part.strikes[e.place] > 0
	}
	return p
}

// isNext reports whether the message's session has come to it, though another
// held it up. Else it waits on the server behind that one.
func (k *consumer) isNext(e *entry) bool {
	past, err := json.Marshal(e.past)
	if err != nil {
		past = nil
	}
	switch k.ask(e, "K", e.id(), e.message.ID, e.message.SessionID, past, e.body) {
	case "head":
		e.head = true
		return true
	case "go":
		return true
	}
	return false
}

// strike marks a suspect as begun. One that was begun too often is buried.
func (k *consumer) strike(e *entry) bool {
	answer := k.ask(e, "S", e.id())
	var n int
	if _, err := fmt.Sscan(answer, &n); err != nil {
		return false // lost
	}
	e.struck = true
	// The first time it was begun nobody wrote down.
	if n < k.bus.opts.MaxDeliveries {
		return true
	}
	err := fmt.Errorf("delivered %d times without an outcome: its handler seems to end the process", n)
	k.bury(e, err, e.message.RetryCount+n)
	return false
}

// handleOnce acknowledges before the call: what fails or dies then isn't
// delivered again.
func (k *consumer) handleOnce(hctx context.Context, e *entry) {
	acknowledged := k.finish(e, nil)
	acknowledged.early = true
	switch k.settleNow(acknowledged) {
	case "lost", "gone":
		return
	}
	defer k.forget(e)
	outputs, err := k.call(hctx, e.message)
	if err == nil && len(outputs) > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(hctx), lastWords)
		c := k.bus.flush.commit(len(outputs))
		for i := range outputs {
			c.messages[i] = outgoing{sealed: outputs[i], unlimited: true}
		}
		err = k.bus.send(ctx, c)
		cancel()
	}
	if err != nil {
		k.buryAcked(hctx, e, err)
	}
}

func (k *consumer) call(ctx context.Context, m bus.Message) ([]sealed, error) {
	outputs, err := k.Call(ctx, m)
	if err != nil || len(outputs) == 0 {
		return nil, err
	}
	out, err := seal(outputs)
	if err != nil {
		return nil, bus.Permanent(err)
	}
	return out, nil
}

// finish is the operation for a message that was handled.
func (k *consumer) finish(e *entry, outputs []sealed) *op {
	e.end = op{entry: e, done: true, outputs: outputs, outcome: bus.Done, ended: k.now()}
	if len(outputs) > 0 || e.struck || e.head {
		e.end.name, e.end.args = "O", []any{e.id(), e.message.ID, e.message.SessionID, flag(e.struck)}
	}
	return &e.end
}

// drop is the operation for a message that was handled before.
func (k *consumer) drop(e *entry) *op {
	e.end = op{entry: e, name: "X", args: []any{e.id(), e.message.ID, e.message.SessionID, flag(e.struck)}}
	return &e.end
}

// retry puts a message aside. It holds its session up from now on.
func (k *consumer) retry(e *entry, cause error) {
	m := e.message
	delay, postponed := m.Postponed(cause, time.Duration(k.now()-e.past.Queued)*time.Millisecond)
	if !postponed {
		m.RetryCount++
		delay = k.bus.opts.Backoff.Delay(m.RetryCount)
	}
	past := e.past
	past.Error = cause.Error()
	body, err := bus.Encode(&m)
	history, jsonErr := json.Marshal(past)
	if err = errors.Join(err, jsonErr); err != nil {
		k.bury(e, errors.Join(cause, err), e.message.RetryCount+1)
		return
	}
	k.logMessage(m).Warn("message will be tried again", "error", cause, "delay", delay.String(), bus.Stack(cause))
	if m.SessionID != "" {
		k.mu.Lock()
		e.part.heads[m.SessionID] = m.ID
		k.mu.Unlock()
	}
	e.end = op{entry: e, name: "R", outcome: bus.Retry, cause: cause, ended: k.now(),
		args: []any{e.id(), m.ID, m.SessionID, flag(e.struck), delay.Milliseconds(), history, body}}
	k.settle(&e.end)
}

// bury puts a message to the dead letters, and tells whoever waits for it.
func (k *consumer) bury(e *entry, cause error, attempts int) {
	k.logMessage(e.message).Error("message failed for good", "attempts", attempts, "error", cause, bus.Stack(cause))
	e.end = op{entry: e, name: "D", outcome: bus.Dead, cause: cause, ended: k.now(), outputs: k.reply(&e.message, cause),
		args: []any{e.id(), e.message.ID, e.message.SessionID, flag(e.struck), e.body, cause.Error(), attempts, e.past.First}}
	k.settle(&e.end)
}

func (k *consumer) reply(m *bus.Message, cause error) []sealed {
	reply, ok := bus.ErrorReply(m, k.Component, cause)
	if !ok {
		return nil
	}
	out, err := seal([]bus.Message{reply})
	if err != nil {
		k.logMessage(*m).Warn("whoever waits for the answer can't be told of the failure", "error", err)
		return nil
	}
	return out
}

// buryAcked is bury for a message that isn't on its queue any more.
func (k *consumer) buryAcked(hctx context.Context, e *entry, cause error) {
	k.logMessage(e.message).Error("message failed for good", "attempts", 1, "error", cause, bus.Stack(cause))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(hctx), lastWords)
	defer cancel()
	err := k.bus.retry(ctx, "dead letter", func(ctx context.Context) error {
		inbox, reply := errorReply(&e.message, k.Component, cause)
		return k.bus.run(ctx, k.bus.scripts.buryAcked, k.Component, e.body, cause.Error(), 1, e.past.First, inbox, reply).Err()
	})
	if err != nil {
		k.logMessage(e.message).Error("a dead letter can't be recorded", "error", err)
	}
}

func (k *consumer) logMessage(m bus.Message) *slog.Logger {
	return k.log.With(m.Identity())
}

// errFull is what a message beyond a limit goes to the dead letters with.
func errFull(limit int) error {
	return fmt.Errorf("%w: it has its limit of %d messages", bus.ErrFull, limit)
}

// errorReply returns what whoever waits for m is told, and the inbox where it
// does; both empty where nobody waits.
func errorReply(m *bus.Message, component string, cause error) (inbox string, body []byte) {
	reply, ok := bus.ErrorReply(m, component, cause)
	if !ok {
		return "", nil
	}
	instance, _, ok := bus.ParseInbox(reply.Target)
	if !ok {
		return "", nil
	}
	body, err := bus.Encode(&reply)
	if err != nil {
		return "", nil
	}
	return instance, body
}
