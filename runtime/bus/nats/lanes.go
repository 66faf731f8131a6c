package nats

import (
	"context"
	"sync"
	"time"
)

const (
	// ahead is how many sessions a replica looks for that it could begin,
	// beyond what it can handle at the same time.
	ahead = 64
	// mostKnown bounds the messages of which a replica knows the place.
	mostKnown = 1 << 20
	// mostHeld bounds the bytes of those of which it holds more than that.
	mostHeld = 16 << 20
)

// item is a message in a part of the queue.
type item struct {
	seq    uint64
	part   *part
	lane   *lane
	id     string // for duplicates: its own, or another when it was put back
	queued time.Time
	past   mark
	body   []byte // nil where it is to be read again
	marked uint64 // the sequence of its mark, if it has one
}

// part is a part of the queue that belongs to this replica.
type part struct {
	n        int
	cursor   uint64 // what has been read
	suspect  uint64 // up to it, messages may have killed the replica before this one
	marks    map[uint64]found
	draining bool // begins nothing more, to be given away
	lost     bool // belongs to another replica
	inFlight int
}

// lane is the messages of one session, in order. The first is handled, or waits
// for its retry, or the lane is ready.
type lane struct {
	key   string
	part  *part
	items []*item
	timer *time.Timer // of the first one's retry
}

// lanes is what a replica knows of its parts of the queue.
type lanes struct {
	mu      sync.Mutex
	work    *sync.Cond // a lane became ready, or whether lanes may be taken changed
	hungry  signal     // more may be read
	idle    signal     // a part has nothing in flight
	valid   time.Time  // until then the parts are this replica's for sure
	parts   map[int]*part
	lanes   map[string]*lane
	ready   []*lane
	known   int
	held    int // bytes
	flying  int
	delayed int
	stopped bool
}

func newLanes() *lanes {
	l := &lanes{parts: map[int]*part{}, lanes: map[string]*lane{}}
	l.work = sync.NewCond(&l.mu)
	return l
}

// enough reports whether nothing more needs to be read for n workers.
func (l *lanes) enough(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ready) >= n+ahead || l.known >= mostKnown
}

// push adds what was read next.
func (l *lanes) push(it *item, session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := it.part
	if p.lost || p.draining || it.seq <= p.cursor {
		return
	}
	p.cursor = it.seq
	if f, ok := p.marks[it.seq]; ok {
		it.past, it.marked = f.mark, f.seq
		delete(p.marks, it.seq)
	}
	// A message without a session has a lane of its own; NUL keeps the two apart.
	key := session
	if key == "" {
		key = "\x00" + it.id
	}
	ln := l.lanes[key]
	if ln == nil || ln.part != p {
		ln = &lane{key: key, part: p}
		l.lanes[key] = ln
	}
	it.lane = ln
	ln.items = append(ln.items, it)
	l.known++
	if l.held+len(it.body) > mostHeld {
		it.body = nil
	}
	l.held += len(it.body)
	if len(ln.items) == 1 {
		l.begin(ln)
	}
}

// begin makes a lane ready, now or when its first message is due. With l.mu held.
func (l *lanes) begin(ln *lane) {
	if wait := time.Until(ln.items[0].past.Due); wait > 0 {
		l.park(ln, wait)
		return
	}
	l.ready = append(l.ready, ln)
	l.work.Signal()
}

// park makes a lane wait. With l.mu held.
func (l *lanes) park(ln *lane, wait time.Duration) {
	l.delayed++
	ln.timer = time.AfterFunc(wait, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if ln.timer == nil { // it was stopped too late
			return
		}
		ln.timer = nil
		l.delayed--
		if !ln.part.lost {
			l.ready = append(l.ready, ln)
			l.work.Signal()
		}
	})
}

// take waits for a message and returns it, or nil once ctx is done.
func (l *lanes) take(ctx context.Context) *item {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ctx.Err() == nil && !l.stopped {
		for len(l.ready) > 0 && time.Now().Before(l.valid) {
			ln := l.ready[0]
			l.ready[0] = nil
			l.ready = l.ready[1:]
			if len(l.ready) < ahead {
				l.hungry.send()
			}
			if ln.part.lost || ln.part.draining {
				continue
			}
			ln.part.inFlight++
			l.flying++
			return ln.items[0]
		}
		l.work.Wait()
	}
	// A signal that woke this one is for another.
	l.work.Signal()
	return nil
}

// remove takes a message that is settled away, and lets its session go on.
func (l *lanes) remove(it *item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.land(it) {
		return
	}
	ln := it.lane
	ln.items[0] = nil
	ln.items = ln.items[1:]
	l.known--
	l.held -= len(it.body)
	l.hungry.send()
	if len(ln.items) == 0 {
		if l.lanes[ln.key] == ln {
			delete(l.lanes, ln.key)
		}
		return
	}
	l.begin(ln)
}

// release gives a message back as if it had not been taken, or when it is due.
func (l *lanes) release(it *item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.land(it) {
		l.begin(it.lane)
	}
}

// land reports whether the message is still this replica's. With l.mu held.
func (l *lanes) land(it *item) bool {
	l.flying--
	if it.part.inFlight--; it.part.inFlight == 0 {
		l.idle.send()
	}
	return !it.part.lost
}

// give makes a part this replica's.
func (l *lanes) give(p *part) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parts[p.n] = p
}

// drop forgets a part; what is in flight of it is void.
func (l *lanes) drop(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.parts[n]
	if p == nil {
		return
	}
	p.lost = true
	delete(l.parts, n)
	for key, ln := range l.lanes {
		if ln.part != p {
			continue
		}
		delete(l.lanes, key)
		l.known -= len(ln.items)
		for _, it := range ln.items {
			l.held -= len(it.body)
		}
		if ln.timer != nil {
			ln.timer.Stop()
			ln.timer = nil
			l.delayed--
		}
	}
	l.hungry.send()
}

// extend lets messages be taken until then.
func (l *lanes) extend(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.valid = until
	l.work.Broadcast()
}

// sure waits until it is known whether the part is still this replica's.
func (l *lanes) sure(ctx context.Context, p *part) bool {
	defer context.AfterFunc(ctx, l.wake)()
	l.mu.Lock()
	defer l.mu.Unlock()
	for !p.lost && ctx.Err() == nil && !time.Now().Before(l.valid) {
		l.work.Wait()
	}
	return !p.lost && ctx.Err() == nil
}

func (l *lanes) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.work.Broadcast()
}

// stop ends all waiting.
func (l *lanes) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.work.Broadcast()
	for _, ln := range l.lanes {
		if ln.timer != nil {
			ln.timer.Stop()
			ln.timer = nil
			l.delayed--
		}
	}
}

func (l *lanes) stats(component string) workload {
	l.mu.Lock()
	defer l.mu.Unlock()
	return workload{Component: component, InFlight: int64(l.flying), Delayed: int64(l.delayed)}
}

// owned returns the numbers of the parts and the sequence up to which all of
// them have been read.
func (l *lanes) owned() (ns []int, cursor uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, p := range l.parts {
		if !p.draining {
			if len(ns) == 0 || p.cursor < cursor {
				cursor = p.cursor
			}
			ns = append(ns, n)
		}
	}
	return ns, cursor
}

func (l *lanes) part(n int) *part {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.parts[n]
}
