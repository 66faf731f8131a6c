package memory

import (
	"context"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// item is a message in a queue.
type item struct {
	id, session string
	body        []byte
	queued      time.Time
	first       time.Time // when it was first tried
	retries     int
	lane        *lane
}

// lane is the messages of one session, in order.
type lane struct {
	key   string
	items []*item
	timer *time.Timer // of the first one's retry
}

// queue is what one component has to handle. The mutex of its bus guards it.
type queue struct {
	name     string
	work     sync.Cond // a lane became ready
	topics   []string
	lanes    map[string]*lane
	ready    []*lane // whose first message can be handled now, oldest first
	depth    int
	inFlight int
	delayed  int
	dead     []bus.DeadLetter

	finished map[string]time.Time // when it is forgotten, by id
	order    []string             // ids in finished, oldest first
}

func newQueue(name string, mu *sync.Mutex) *queue {
	return &queue{name: name, work: sync.Cond{L: mu}, lanes: map[string]*lane{}, finished: map[string]time.Time{}}
}

func (q *queue) push(it *item) {
	// A message without a session has a lane of its own; NUL keeps the two apart.
	key := it.session
	if key == "" {
		key = "\x00" + it.id
	}
	l := q.lanes[key]
	if l == nil {
		l = &lane{key: key}
		q.lanes[key] = l
	}
	it.lane = l
	l.items = append(l.items, it)
	q.depth++
	if len(l.items) == 1 {
		q.wake(l)
	}
}

func (q *queue) wake(l *lane) {
	q.ready = append(q.ready, l)
	q.work.Signal()
}

// take waits for a message and returns it, or nil once ctx is done.
func (q *queue) take(ctx context.Context) *item {
	q.work.L.Lock()
	defer q.work.L.Unlock()
	for ctx.Err() == nil {
		if len(q.ready) > 0 {
			l := q.ready[0]
			q.ready[0] = nil
			q.ready = q.ready[1:]
			q.inFlight++
			return l.items[0]
		}
		q.work.Wait()
	}
	// A signal that woke this one is for another.
	q.work.Signal()
	return nil
}

// remove takes a handled message away for good.
func (q *queue) remove(it *item) {
	q.inFlight--
	q.depth--
	l := it.lane
	l.items[0] = nil
	l.items = l.items[1:]
	if len(l.items) == 0 {
		delete(q.lanes, l.key)
		return
	}
	q.wake(l)
}

// release gives a message back as if it had not been taken.
func (q *queue) release(it *item) {
	q.inFlight--
	q.ready = append([]*lane{it.lane}, q.ready...)
	q.work.Signal()
}

// retry makes the message's lane wait.
func (q *queue) retry(it *item, delay time.Duration) {
	q.inFlight--
	q.delayed++
	it.retries++
	l := it.lane
	l.timer = time.AfterFunc(delay, func() {
		q.work.L.Lock()
		defer q.work.L.Unlock()
		l.timer = nil
		q.delayed--
		q.wake(l)
	})
}

func (q *queue) stopTimers() {
	for _, l := range q.lanes {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
}

// finish remembers that an id was handled, and forgets old ones.
func (q *queue) finish(id string, now time.Time, window time.Duration) {
	if _, ok := q.finished[id]; !ok {
		q.order = append(q.order, id)
	}
	q.finished[id] = now.Add(window)
	for len(q.order) > 0 && now.After(q.finished[q.order[0]]) {
		delete(q.finished, q.order[0])
		q.order = q.order[1:]
	}
}

func (q *queue) isFinished(id string, now time.Time) bool {
	until, ok := q.finished[id]
	return ok && !now.After(until)
}

func (q *queue) bury(d bus.DeadLetter, limit int) {
	q.dead = append(q.dead, d)
	if n := len(q.dead) - limit; n > 0 {
		q.dead = append(q.dead[:0], q.dead[n:]...)
	}
}
