package memory

import (
	"container/list"
	"fmt"
	"hash/maphash"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// item is a message in a queue.
type item struct {
	message bus.Message // as it was published
	mark    uint64      // of its id
	queued  time.Time
	first   time.Time // when it was first tried
	retries int
	lane    *lane
	next    *item // in its lane
}

// lane is the messages of one session, in order.
type lane struct {
	key         uint64
	first, last *item
	timer       *time.Timer // of the first one's retry
	next        *lane       // among those that are ready
}

// queue is what one component has to handle. The mutex of its bus guards it.
type queue struct {
	bus     *Bus
	itself  [1]*queue // a list with this one
	name    string
	room    list.List // of *waiter: who waits to publish, first come first
	opening bool      // some of them are let in soon
	lanes   map[uint64]*lane

	// Lanes whose first message can be handled now, oldest first.
	readyFirst, readyLast *lane

	depth, inFlight, delayed int
	handled, retried, buried int64
	sessions, ids            maphash.Seed     // its own
	dead                     []bus.DeadLetter // oldest first
	consumers                int
	crews                    []*crew // of the consumers, whose turn it is first
	listed                   bool    // among those where there may be work
	nextListed               *queue
	consumer                 bus.Consumer // what the last one said of all messages
	ghost                    *time.Timer  // where there are no consumers: when the next message expires
	ghostDue                 time.Time
	ghostTurn                int // grows with every timer
}

func newQueue(b *Bus, name string) *queue {
	q := &queue{bus: b, name: name, lanes: map[uint64]*lane{},
		sessions: maphash.MakeSeed(), ids: maphash.MakeSeed()}
	q.itself[0] = q
	return q
}

// key says which lane a message is on. One without a session has its own, but
// for those with its id. Two sessions on one lane only wait for each other.
func (q *queue) key(it *item) uint64 {
	if it.message.SessionID == "" {
		return it.mark
	}
	return maphash.String(q.sessions, it.message.SessionID)
}

func (q *queue) push(it *item) {
	it.mark = maphash.String(q.ids, it.message.ID)
	key := q.key(it)
	l := q.lanes[key]
	if l == nil {
		l = &lane{key: key, first: it, last: it}
		q.lanes[key] = l
		q.wake(l)
	} else {
		l.last.next = it
		l.last = it
	}
	it.lane = l
	q.depth++
	q.bus.add(1)
	if q.consumers == 0 {
		q.haunt(it)
	}
}

// finish remembers that a message was handled.
func (q *queue) finish(it *item, now time.Time) {
	at := q.bus.clock(now)
	q.bus.finished.Add(it.mark, at, at)
}

// wake puts a lane behind those that are ready.
func (q *queue) wake(l *lane) {
	if q.readyFirst == nil {
		q.readyFirst = l
	} else {
		q.readyLast.next = l
	}
	q.readyLast = l
	q.list()
}

// remove takes a message that was taken away for good.
func (q *queue) remove(it *item) {
	q.inFlight--
	q.forget(it.lane)
	if it.lane.first != nil {
		q.wake(it.lane)
	}
	q.letIn()
}

// forget takes the first message off a lane.
func (q *queue) forget(l *lane) {
	q.depth--
	q.bus.add(-1)
	if l.first = l.first.next; l.first == nil {
		delete(q.lanes, l.key)
	}
}

// release gives a message back as if it had not been taken.
func (q *queue) release(it *item) {
	q.inFlight--
	l := it.lane
	if l.next = q.readyFirst; l.next == nil {
		q.readyLast = l
	}
	q.readyFirst = l
	q.list()
}

// retry makes the message's lane wait.
func (q *queue) retry(it *item, delay time.Duration) {
	q.inFlight--
	q.delayed++
	q.retried++
	l := it.lane
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		q.bus.mu.Lock()
		defer q.bus.mu.Unlock()
		if l.timer == timer { // else the message expired meanwhile
			l.timer = nil
			q.delayed--
			q.wake(l)
		}
	})
	l.timer = timer
}

func (q *queue) stopTimers() {
	for _, l := range q.lanes {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	q.exorcise()
}

// limit is how many messages bar those who publish from outside.
func (q *queue) limit() int {
	if q.consumer.QueueLimit > 0 {
		return q.consumer.QueueLimit
	}
	return q.bus.opts.QueueLimit
}

// diverts reports whether a message goes to the dead letters for want of room.
func (q *queue) diverts() bool {
	return q.consumer.Overflow == bus.Divert && q.consumer.QueueLimit > 0 && q.depth >= q.consumer.QueueLimit
}

// full reports whether there is no room for those who publish from outside.
func (q *queue) full() bool {
	return len(q.dead) >= q.bus.opts.DeadLimit || q.depth >= q.limit() && !q.diverts()
}

// occupied reports whether there is none, or others wait for what there is.
func (q *queue) occupied() bool { return q.room.Len() > 0 || q.full() }

// errFull says what someone waited for in vain.
func (q *queue) errFull() error {
	if n := len(q.dead); n >= q.bus.opts.DeadLimit {
		return fmt.Errorf("%w: %q has %d dead letters: requeue or discard them", bus.ErrFull, q.name, n)
	}
	return fmt.Errorf("%w: that of %q has its limit of %d messages", bus.ErrFull, q.name, q.limit())
}
