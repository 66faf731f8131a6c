package memory

import (
	"slices"
	"time"
)

// What is in a queue that nobody consumes expires by a timer. It is set for
// the message that is due first, and there is none where there are consumers:
// they see what has expired when they take it.

// ghostPause is how long to wait at least before looking for expired messages
// again: a look goes through all of a queue.
const ghostPause = 10 * time.Millisecond

// due returns when a message has expired, if it ever does.
func (q *queue) due(it *item) (time.Time, bool) {
	m := it.message
	q.consumer.Refine(&m)
	ttl := m.TTL()
	return it.queued.Add(ttl + time.Millisecond), ttl > 0
}

// haunt sees to it that a message of a queue without consumers expires.
func (q *queue) haunt(it *item) {
	if due, ok := q.due(it); ok && (q.ghost == nil || due.Before(q.ghostDue)) {
		q.setGhost(due)
	}
}

// hauntAll does so for all messages, from a time on.
func (q *queue) hauntAll(from time.Time) {
	var first time.Time
	for _, l := range q.lanes {
		for it := l.first; it != nil; it = it.next {
			if due, ok := q.due(it); ok && (first.IsZero() || due.Before(first)) {
				first = due
			}
		}
	}
	switch {
	case first.IsZero():
	case first.Before(from):
		q.setGhost(from)
	default:
		q.setGhost(first)
	}
}

func (q *queue) setGhost(due time.Time) {
	q.exorcise()
	turn := q.ghostTurn
	q.ghost, q.ghostDue = time.AfterFunc(time.Until(due), func() { q.bus.logDead(q.expire(turn)) }), due
}

// exorcise ends the timer.
func (q *queue) exorcise() {
	q.ghostTurn++
	if q.ghost != nil {
		q.ghost.Stop()
		q.ghost = nil
	}
}

// expire buries what has expired, unless the timer was ended meanwhile.
func (q *queue) expire(turn int) (all []burial) {
	b := q.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if q.ghostTurn != turn {
		return nil
	}
	q.exorcise()
	now := time.Now()
	var expired []*item
	for _, l := range q.lanes {
		expired = append(expired, q.prune(l, now)...)
	}
	q.sweep()
	slices.SortFunc(expired, func(x, y *item) int { return x.queued.Compare(y.queued) })
	for _, it := range expired {
		m := it.message
		q.consumer.Refine(&m)
		all = append(all, b.bury(q, it, &delivery{began: now}, now, m.Expired(now.Sub(it.queued))))
	}
	q.letIn()
	q.hauntAll(now.Add(ghostPause))
	return all
}

// prune takes what has expired off a lane. None of its messages is in flight:
// there are no consumers.
func (q *queue) prune(l *lane, now time.Time) (expired []*item) {
	head := l.first
	at := &l.first
	l.last = nil
	for it := l.first; it != nil; it = it.next {
		if due, ok := q.due(it); ok && !now.Before(due) {
			expired = append(expired, it)
			q.depth--
			q.bus.add(-1)
			continue
		}
		*at = it
		at, l.last = &it.next, it
	}
	*at = nil
	if l.first == nil {
		delete(q.lanes, l.key)
	}
	if l.first != head && l.timer != nil { // what was to be tried again has gone
		l.timer.Stop()
		l.timer = nil
		q.delayed--
		if l.first != nil {
			q.wake(l)
		}
	}
	return expired
}

// sweep takes empty lanes from those that are ready.
func (q *queue) sweep() {
	l := q.readyFirst
	q.readyFirst, q.readyLast = nil, nil
	for l != nil {
		next := l.next
		l.next = nil
		if l.first != nil {
			q.wake(l)
		}
		l = next
	}
}
