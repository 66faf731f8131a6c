package inproc

import (
	"time"

	"woodwork.dev/ww/runtime/process"
)

// leastWindow is the shortest time over which a load is measured: the kernel
// counts in hundredths of a second.
const leastWindow = 200 * time.Millisecond

// meter turns processor time into the load of an instance.
type meter struct {
	at    time.Time
	spent map[*instance]time.Duration // until then
	last  float64
}

// load is that of an instance on average, in percent of one processor, since the
// look before; below 0 while it isn't known. Only those count that were there then
// as well: an instance that starts has a load of another kind.
func (m *meter) load(now time.Time, spent map[*instance]time.Duration) float64 {
	window := now.Sub(m.at)
	if m.spent != nil && window < leastWindow {
		return m.last
	}
	var sum time.Duration
	n := 0
	for i, d := range spent {
		if before, ok := m.spent[i]; ok && d >= before {
			sum += d - before
			n++
		}
	}
	m.last = -1
	if n > 0 {
		m.last = 100 * sum.Seconds() / window.Seconds() / float64(n)
	}
	m.at, m.spent = now, spent
	return m.last
}

// loadKnown reports whether it can be told what the component takes of the
// processor.
func (p *part) loadKnown() bool { return process.Known && (p.Isolated || p.Programs) }

// spends is the processor time of each instance that isn't to stop.
func (p *part) spends() map[*instance]time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[*instance]time.Duration{}
	for _, i := range p.staying() {
		i.mu.Lock()
		if u, ok := i.processes.Usage(); ok {
			out[i] = u.CPU
		}
		i.mu.Unlock()
	}
	return out
}
