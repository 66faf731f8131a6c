package memory

import (
	"container/list"
	"context"
	"fmt"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// waiter is who waits until there is room for what it publishes. Who makes room
// queues that for it. The mutex of the bus guards it.
type waiter struct {
	items []*item
	queue *queue // that has no room; nil once there is nothing to wait for
	place *list.Element

	done     chan struct{} // has one when there is nothing to wait for
	timer    *time.Timer
	diverted []burial
	err      error
}

func newWaiter() any {
	w := &waiter{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	w.timer.Stop()
	return w
}

// wait returns someone who waits behind the others who do. With b.mu held.
func (q *queue) wait(items []*item) *waiter {
	w := q.bus.waiters.Get().(*waiter)
	w.items = items
	q.seat(w)
	return w
}

func (q *queue) seat(w *waiter) { w.queue, w.place = q, q.room.PushBack(w) }

// await waits until the items are queued, for as long as ctx allows or the
// default says. w is nobody's after that.
func (b *Bus) await(ctx context.Context, w *waiter) ([]burial, error) {
	if _, ok := ctx.Deadline(); !ok {
		w.timer.Reset(bus.DefaultPublishWait) // costs less than a context
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		b.giveUp(w, ctx.Err())
	case <-w.timer.C:
		b.giveUp(w, context.DeadlineExceeded)
	}
	w.timer.Stop()
	diverted, err := w.diverted, w.err
	*w = waiter{done: w.done, timer: w.timer}
	b.waiters.Put(w)
	return diverted, err
}

// giveUp has someone wait no more, if there still is something to wait for.
func (b *Bus) giveUp(w *waiter, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.queue == nil {
		<-w.done
		return
	}
	w.err = fmt.Errorf("publish: %w (gave up: %w)", w.queue.errFull(), why)
	w.queue.room.Remove(w.place)
}

const (
	// pause is how long those may wait on who wait for room while there is a little:
	// to wake each for one message costs more than the message does.
	pause = time.Millisecond
	// little is less than one in so many parts of a queue's limit.
	little = 4
)

// letIn queues what those publish who wait, first come first served, as far as
// there is room, and sends them away where waiting is in vain. With b.mu held,
// and the queue in order.
func (q *queue) letIn() {
	switch {
	case q.room.Len() == 0, q.full():
		return
	case little*(q.limit()-q.depth) >= q.limit():
		q.admit()
	case !q.opening:
		q.opening = true
		time.AfterFunc(pause, func() {
			q.bus.mu.Lock()
			defer q.bus.mu.Unlock()
			q.opening = false
			q.admit()
		})
	}
}

func (q *queue) admit() {
	for e := q.room.Front(); e != nil; e = q.room.Front() {
		b, w := q.bus, e.Value.(*waiter)
		err := b.refuses()
		if err == nil && q.full() {
			return
		}
		q.room.Remove(e)
		if err == nil {
			if other := b.find(w.items, (*queue).full); other != nil {
				other.seat(w)
				continue
			}
			now := time.Now()
			for _, it := range w.items {
				it.queued = now
			}
			w.diverted = b.route(w.items)
		}
		w.queue, w.err = nil, err
		w.done <- struct{}{}
	}
}
