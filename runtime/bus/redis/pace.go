package redis

import (
	"sync"
	"time"
)

const (
	// readSpacing is, for each consumer of a process, how far apart its reads
	// and all others' are where they come without end; up to someSpacing. A read
	// costs the server as much as ten messages, and this side as well: many
	// consumers who each got one at a time would leave no time for anything else.
	// What comes meanwhile comes with one read. With few consumers nobody waits.
	readSpacing = 10 * time.Microsecond
	someSpacing = 200 * time.Microsecond
	// crowdSpacing is the same for hundreds, up to maxSpacing: the server looks
	// for the streams of a read among so many then that it takes twice as long.
	crowdSpacing = 400 * time.Nanosecond
	maxSpacing   = 400 * time.Microsecond
	// readBurst is how many may come at once after a rest.
	readBurst = 50
)

// pace gives out turns to read. The zero value is ready.
type pace struct {
	mu      sync.Mutex
	readers int
	next    time.Time
}

// join adds so many who read.
func (p *pace) join(readers int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readers += readers
}

// turn takes one, and returns how long it is until then.
func (p *pace) turn(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := time.Duration(p.readers)
	spacing := max(min(n*readSpacing, someSpacing), min(n*crowdSpacing, maxSpacing))
	if earliest := now.Add(-readBurst * spacing); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(spacing)
	return max(p.next.Sub(now), 0)
}
