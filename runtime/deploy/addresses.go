package deploy

import (
	"context"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/plan"
)

const (
	// gather is how long an address may be waited for that nothing else waits
	// for, while containers are still being started.
	gather = 2 * time.Second
	// last is how long after the last start it may be waited for.
	last = 5 * time.Millisecond
)

// addresses looks containers' addresses up in few calls: those of components
// that others wait for at once, all others together, when there is nothing left
// to start.
type addresses struct {
	ctx     context.Context
	driver  Driver
	project string
	awaited map[int]bool // steps that others need

	mu    sync.Mutex
	left  int // starts
	batch *batch
}

// batch is one lookup of several addresses.
type batch struct {
	ids   []string
	timer *time.Timer
	done  chan struct{}
	found map[string]string
	err   error
}

func newAddresses(ctx context.Context, d Driver, project string, p plan.Plan) *addresses {
	a := &addresses{ctx: ctx, driver: d, project: project, awaited: map[int]bool{}}
	for _, s := range p.Steps {
		for _, id := range s.Needs {
			a.awaited[id] = true
		}
		if s.Op == plan.Start {
			a.left++
		}
	}
	return a
}

// of gives the address of a step's container; empty if there is none.
func (a *addresses) of(ctx context.Context, s plan.Step, id string) (string, error) {
	if !a.driver.Near() {
		return "", nil
	}
	if a.awaited[s.ID] {
		found, err := a.driver.Addresses(ctx, a.project, id)
		return found[id], err
	}
	a.mu.Lock()
	b := a.batch
	if b == nil {
		b = &batch{done: make(chan struct{})}
		b.timer = time.AfterFunc(gather, func() { a.ask(b) })
		a.batch = b
	}
	b.ids = append(b.ids, id)
	if a.left == 0 {
		b.timer.Reset(last)
	}
	a.mu.Unlock()
	select {
	case <-b.done:
		return b.found[id], b.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// started is told of the end of every start.
func (a *addresses) started() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left--; a.left == 0 && a.batch != nil {
		a.batch.timer.Reset(last)
	}
}

func (a *addresses) ask(b *batch) {
	a.mu.Lock()
	first := a.batch == b
	if first {
		a.batch = nil
	}
	a.mu.Unlock()
	if first {
		b.found, b.err = a.driver.Addresses(a.ctx, a.project, b.ids...)
		close(b.done)
	}
}

// close ends what is still to be looked up.
func (a *addresses) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.batch != nil {
		a.batch.timer.Stop()
	}
}
