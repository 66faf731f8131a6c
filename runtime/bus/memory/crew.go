package memory

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// crew is how one consumer's handler is called: as often at a time as it may be.
// The mutex of the bus guards it.
type crew struct {
	bus      *Bus
	queue    *queue
	consumer *bus.Consumer
	ctx      context.Context // ends the taking of messages
	handlers context.Context // of the handlers

	running  sync.WaitGroup // what is being handled
	inFlight int
}

// run has messages handled until its context is done, and what is begun has ended.
func (c *crew) run() {
	b, q := c.bus, c.queue
	b.mu.Lock()
	q.crews = append(q.crews, c)
	q.list()
	b.mu.Unlock()
	<-c.ctx.Done()
	b.mu.Lock()
	q.crews = slices.DeleteFunc(q.crews, func(of *crew) bool { return of == c })
	b.mu.Unlock()
	c.running.Wait()
}

func (c *crew) free() bool {
	return c.inFlight < max(c.consumer.Concurrency, 1) && c.ctx.Err() == nil
}

// turn returns the crew whose turn it is to handle a message; nil if all have
// enough to do. Its next turn is after the others'.
func (q *queue) turn() *crew {
	for i, c := range q.crews {
		if c.free() {
			q.crews = append(append(q.crews[:i], q.crews[i+1:]...), c)
			return c
		}
	}
	return nil
}

// workers are the goroutines that call the handlers of all consumers: as many as
// there is work for. A system has hundreds of components, of which few work at a
// time: a goroutine of its own for each would have to be woken for each message,
// and would be a stack that the collector looks through.
type workers struct {
	// awake is how many look for work, or will once they have the mutex. As long
	// as there are any, nobody has to be woken.
	awake atomic.Int32
	idle  int       // that wait for work
	work  sync.Cond // there is some, or never will be
	over  bool

	first, last *queue // those where there may be work, whose turn it is first
}

// maxIdle is how many goroutines wait for work: more than run at a time, so that
// they needn't be made anew whenever many handlers have waited for something.
var maxIdle = 4 * runtime.GOMAXPROCS(0)

// list has someone see that there may be work in a queue. With b.mu held.
func (q *queue) list() {
	w := &q.bus.workers
	if !q.listed && q.readyFirst != nil && slices.ContainsFunc(q.crews, (*crew).free) {
		q.listed = true
		if w.first == nil {
			w.first = q
		} else {
			w.last.nextListed = q
		}
		w.last = q
	}
	q.bus.summon()
}

// summon makes someone look for work, if there is any. With b.mu held.
func (b *Bus) summon() {
	w := &b.workers
	if w.first == nil || w.awake.Load() > 0 {
		return
	}
	w.awake.Add(1)
	if w.idle > 0 {
		w.idle--
		w.work.Signal()
		return
	}
	go b.serve()
}

// take waits for a message that a crew is to handle; nil where nobody has to wait
// for more. waited is true if there was none at first. With b.mu held.
func (b *Bus) take() (c *crew, it *item, waited bool) {
	w := &b.workers
	for {
		for w.first != nil {
			q := w.first
			w.first, q.nextListed, q.listed = q.nextListed, nil, false
			if q.readyFirst == nil {
				continue
			}
			if c = q.turn(); c == nil {
				continue
			}
			l := q.readyFirst
			q.readyFirst, l.next = l.next, nil
			q.inFlight++
			c.inFlight++
			c.running.Add(1)
			q.list() // behind the others
			return c, l.first, waited
		}
		w.awake.Add(-1)
		if w.idle >= maxIdle || w.over {
			return nil, nil, waited
		}
		w.idle++
		w.work.Wait() // who wakes it counts it
		waited = true
	}
}

// serve handles messages as long as there are some. It finishes one and takes the
// next with one lock of the mutex, for which all compete.
func (b *Bus) serve() {
	var now time.Time
	var c *crew
	defer func() {
		if c != nil { // its handler has ended this goroutine
			c.running.Done()
		}
	}()
	b.mu.Lock()
	for {
		var it *item
		var waited bool
		c, it, waited = b.take()
		if c == nil {
			b.mu.Unlock()
			return
		}
		if waited || now.IsZero() {
			now = time.Now()
		}
		q := c.queue
		d := delivery{instance: c.consumer.Instance, began: now, message: it.message}
		d.message.RetryCount = it.retries
		c.consumer.Refine(&d.message)
		handle, logs := b.begin(q, it, &d)
		if handle {
			b.without(func() { d.call(c.handlers, c.consumer) })
			now = time.Now()
			logs = b.settle(c.handlers, q, it, &d, now)
		}
		c.inFlight--
		q.list() // if only because the crew has a hand free
		if logs != nil {
			b.without(logs)
		}
		c.running.Done()
	}
}

// without does what may take long without the mutex, while others look for work.
func (b *Bus) without(do func()) {
	b.workers.awake.Add(-1)
	b.summon()
	b.mu.Unlock()
	do()
	b.workers.awake.Add(1)
	b.mu.Lock()
}

// dismiss lets go of those who wait for work. With b.mu held.
func (b *Bus) dismiss() {
	w := &b.workers
	w.over = true
	w.awake.Add(int32(w.idle))
	w.idle = 0
	w.work.Broadcast()
}
