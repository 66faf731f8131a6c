package memory

import (
	"context"
	"slices"
	"sync"

	"woodwork.dev/ww/runtime/bus"
)

// maxIdle is how many goroutines of a crew wait for more when there is nothing to
// do. More of them would only be stacks that the collector looks through: a system
// has hundreds of components, of which few work at a time.
const maxIdle = 1

// crew is the goroutines that call the handler of one consumer: as many as there
// is work for. The mutex of the bus guards it.
type crew struct {
	bus      *Bus
	queue    *queue
	consumer *bus.Consumer
	ctx      context.Context // ends the taking of messages
	handlers context.Context // of the handlers

	running sync.WaitGroup
	workers int
	idle    int
	work    sync.Cond // something is there for one of those who are idle
	over    bool      // nobody is hired any more
}

func newCrew(ctx, handlers context.Context, b *Bus, q *queue, c *bus.Consumer) *crew {
	return &crew{bus: b, queue: q, consumer: c, ctx: ctx, handlers: handlers, work: sync.Cond{L: &b.mu}}
}

// run handles messages until its context is done, and what is begun has ended.
func (c *crew) run() {
	b, q := c.bus, c.queue
	b.mu.Lock()
	q.crews = append(q.crews, c)
	for l := q.readyFirst; l != nil && c.hire(); l = l.next {
	}
	b.mu.Unlock()
	<-c.ctx.Done()
	b.mu.Lock()
	c.over = true
	q.dismiss(c)
	c.work.Broadcast()
	b.mu.Unlock()
	c.running.Wait()
}

// hire has one more goroutine work, if there may be one.
func (c *crew) hire() bool {
	if c.over || c.workers >= max(c.consumer.Concurrency, 1) {
		return false
	}
	c.workers++
	c.running.Go(func() { c.bus.work(c) })
	return true
}

// take waits for a message and returns it; nil where nobody has to wait for more,
// or the crew is to stop. waited is true if there was none at first.
func (c *crew) take() (it *item, waited bool) {
	q := c.queue
	for c.ctx.Err() == nil {
		if l := q.readyFirst; l != nil {
			q.readyFirst, l.next = l.next, nil
			q.inFlight++
			return l.first, waited
		}
		if c.idle >= maxIdle {
			break
		}
		waited = true
		c.idle++
		q.idle = append(q.idle, c)
		c.work.Wait() // who wakes it counts it
	}
	c.workers--
	if q.readyFirst != nil { // it was woken for that
		q.summon()
	}
	return nil, waited
}

// summon makes someone see that a lane became ready: who waits for that, or else
// one more. Where all work, the first who is through does.
func (q *queue) summon() {
	if len(q.idle) > 0 {
		c := q.idle[0]
		q.idle = append(q.idle[:0], q.idle[1:]...)
		c.idle--
		c.work.Signal()
		return
	}
	for i, c := range q.crews {
		if c.hire() {
			q.crews = append(append(q.crews[:i], q.crews[i+1:]...), c) // another one's turn
			return
		}
	}
}

// dismiss makes a crew get nothing any more.
func (q *queue) dismiss(c *crew) {
	this := func(of *crew) bool { return of == c }
	q.idle = slices.DeleteFunc(q.idle, this)
	q.crews = slices.DeleteFunc(q.crews, this)
	c.idle = 0
}
