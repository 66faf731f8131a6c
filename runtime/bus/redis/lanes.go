package redis

import (
	"slices"
	"sync"
)

// perLane is how many messages of one session a replica holds where that would
// keep it from those of other sessions.
const perLane = 32

// freeLanes is how many lanes are kept for the next sessions.
const freeLanes = 1024

// lanes handles entries one after another for each key and, for all keys
// together, so many at the same time.
type lanes struct {
	limit   int
	handle  func(*entry)
	again   func(*part) // what was refused can come again
	running sync.WaitGroup

	mu      sync.Mutex
	lanes   map[laneKey]*lane
	ready   []*lane // that have work and no worker, the one that waits longest first
	free    []*lane // to be used again
	workers int
	busy    int
	stopped bool
}

// laneKey is what has an order: a session, or else the copies of a message. Of
// two that have one key in common, one waits for the other.
type laneKey struct {
	part *part
	of   mark
}

type lane struct {
	key     laneKey
	work    []*entry
	next    int   // the first in work that isn't done
	full    bool  // add refuses
	refused *part // where, since the last time that all was handled
}

func newLanes(limit int, handle func(*entry), again func(*part)) *lanes {
	return &lanes{limit: limit, handle: handle, again: again, lanes: map[laneKey]*lane{}}
}

// add has e handled after all that was added with the same key. Where the
// replica is crowded it refuses what would be too much for one key, and goes on
// refusing until nothing waits there: then it calls again.
func (l *lanes) add(key laneKey, e *entry, crowded bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.lanes[key]
	switch {
	case l.stopped:
		return true
	case at == nil:
		at = l.lane(key)
		l.lanes[key] = at
		l.ready = append(l.ready, at)
	case at.full || crowded && len(at.work)-at.next >= perLane:
		at.full, at.refused = true, e.part
		return false
	}
	if at.next > perLane && at.next > len(at.work)/2 {
		n := copy(at.work, at.work[at.next:])
		clear(at.work[n:])
		at.work, at.next = at.work[:n], 0
	}
	at.work = append(at.work, e)
	if l.workers < l.limit && l.workers < len(l.ready)+l.busy {
		l.workers++
		l.running.Go(l.run)
	}
	return true
}

func (l *lanes) lane(key laneKey) *lane {
	n := len(l.free)
	if n == 0 {
		return &lane{key: key}
	}
	at := l.free[n-1]
	l.free = l.free[:n-1]
	*at = lane{key: key, work: at.work[:0]}
	return at
}

func (l *lanes) run() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.ready) > 0 && !l.stopped {
		at := l.ready[0]
		l.ready[0] = nil
		l.ready = l.ready[1:]
		e := at.work[at.next]
		l.busy++
		l.mu.Unlock()
		l.handle(e)
		l.mu.Lock()
		l.busy--
		at.work[at.next] = nil
		if at.next++; at.next < len(at.work) {
			l.ready = append(l.ready, at)
			continue
		}
		l.end(at)
	}
	l.workers--
}

// end is called with l.mu held. The lane refuses until what was refused can
// come again, so that nothing newer gets in before.
func (l *lanes) end(at *lane) {
	for at.refused != nil {
		p := at.refused
		at.refused = nil
		l.mu.Unlock()
		l.again(p)
		l.mu.Lock()
	}
	delete(l.lanes, at.key)
	if len(l.free) < freeLanes && cap(at.work) <= perLane {
		l.free = append(l.free, at)
	}
}

// drop takes out what waits of a partition and hasn't begun, and returns it.
func (l *lanes) drop(p *part) []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var dropped []*entry
	idle := map[*lane]bool{}
	for _, at := range l.ready {
		idle[at] = true
	}
	for key, at := range l.lanes {
		first := at.next
		if !idle[at] {
			first++ // that one is being handled
		}
		if first >= len(at.work) || at.work[first].part != p {
			continue // a session is on one partition
		}
		dropped = append(dropped, at.work[first:]...)
		clear(at.work[first:])
		at.work = at.work[:first]
		if idle[at] {
			delete(l.lanes, key)
		}
	}
	l.ready = slices.DeleteFunc(l.ready, func(at *lane) bool { return at.next == len(at.work) })
	return dropped
}

// working returns how much is being worked on.
func (l *lanes) working() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy
}

// stop starts nothing more and waits for what runs.
func (l *lanes) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.running.Wait()
}
