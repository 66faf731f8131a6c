package memory

import (
	"context"
	"slices"
	"strconv"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// Stats implements bus.Bus.
func (b *Bus) Stats(context.Context) (map[string]bus.Stats, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, bus.ErrClosed
	}
	now := time.Now()
	out := make(map[string]bus.Stats, len(b.queues))
	for name, q := range b.queues {
		out[name] = bus.Stats{
			Depth:     int64(q.depth),
			InFlight:  int64(q.inFlight),
			Delayed:   int64(q.delayed),
			Lag:       int64(q.depth - q.inFlight - q.delayed),
			Dead:      int64(len(q.dead)),
			Oldest:    q.oldest(now).Seconds(),
			Handled:   q.handled,
			Retried:   q.retried,
			Buried:    q.buried,
			Consumers: q.consumers,
			Limit:     int64(q.consumer.QueueLimit),
		}
	}
	return out, nil
}

// oldest is the age of the oldest message that isn't finished.
func (q *queue) oldest(now time.Time) (age time.Duration) {
	for _, l := range q.lanes {
		age = max(age, now.Sub(l.first.queued))
	}
	return age
}

// burial is a new dead letter, and its cause.
type burial struct {
	letter bus.DeadLetter
	cause  error
}

// bury puts a message that is on no queue to the dead letters, and tells who
// waits for its answer. d is the last delivery, whose error is nil where the
// handler wasn't called. With b.mu held.
func (b *Bus) bury(q *queue, it *item, d *delivery, now time.Time, cause error) burial {
	hop := b.trail.add(q, it, d, now, bus.Dead)
	hop.Error = cause.Error()
	attempts := it.retries
	if d.err != nil {
		attempts++
	}
	if it.first.IsZero() {
		it.first = now
	}
	m := it.message
	m.RetryCount = it.retries
	q.buried++
	letter := bus.DeadLetter{ID: strconv.FormatInt(q.buried, 10), Message: m, Target: q.name, Error: cause.Error(),
		Attempts: attempts, First: it.first.UTC(), Last: now.UTC()}
	q.dead = append(q.dead, letter)
	if reply, ok := bus.ErrorReply(&m, q.name, cause); ok {
		hop.Outputs = []string{reply.Target}
		b.route([]*item{{message: reply, queued: now}}) // an inbox diverts nothing
	}
	return burial{letter, cause}
}

func (b *Bus) logDead(all []burial) {
	for _, d := range all {
		b.opts.Log.Error("message failed for good", "component", d.letter.Target, d.letter.Message.Identity(), "attempts", d.letter.Attempts, "error", d.cause, bus.Stack(d.cause))
	}
}

// DeadLetters implements bus.Bus.
func (b *Bus) DeadLetters(_ context.Context, component string, limit int) ([]bus.DeadLetter, error) {
	if limit <= 0 {
		limit = 100
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, bus.ErrClosed
	}
	q := b.queues[component]
	if q == nil {
		return nil, nil
	}
	out := slices.Clone(q.dead[max(len(q.dead)-limit, 0):])
	slices.Reverse(out)
	return out, nil
}

// Requeue implements bus.Bus.
func (b *Bus) Requeue(_ context.Context, component string, ids ...string) (int, error) {
	now := time.Now()
	return b.exhume(component, ids, func(q *queue, d *bus.DeadLetter) {
		it := &item{message: d.Message, queued: now}
		it.message.RetryCount = 0
		q.push(it)
		b.finished.Remove(it.mark) // one that is delivered at most once was finished before it failed
	})
}

// Discard implements bus.Bus.
func (b *Bus) Discard(_ context.Context, component string, ids ...string) (int, error) {
	return b.exhume(component, ids, func(*queue, *bus.DeadLetter) {})
}

// exhume takes dead letters away, oldest first, and gives each to use.
func (b *Bus) exhume(component string, ids []string, use func(*queue, *bus.DeadLetter)) (int, error) {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, bus.ErrClosed
	}
	q := b.queues[component]
	if q == nil {
		return 0, nil
	}
	before := len(q.dead)
	q.dead = slices.DeleteFunc(q.dead, func(d bus.DeadLetter) bool {
		if len(ids) > 0 && !wanted[d.ID] {
			return false
		}
		use(q, &d)
		return true
	})
	q.letIn()
	return before - len(q.dead), nil
}

// Subscribers implements bus.Bus.
func (b *Bus) Subscribers(_ context.Context, topic string) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, bus.ErrClosed
	}
	var names []string
	for _, q := range b.receivers(&bus.Message{Pattern: bus.PublishSubscribe, Type: topic}) {
		names = append(names, q.name)
	}
	slices.Sort(names)
	return names, nil
}

// Dropped implements bus.Bus.
func (b *Bus) Dropped(context.Context) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, bus.ErrClosed
	}
	return b.dropped, nil
}
