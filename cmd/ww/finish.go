package main

import (
	"context"
	"slices"
	"sync"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// finish notices when the last container of a system has ended for good: none of
// them runs, and the engine starts none of them again.
type finish struct {
	driver  deploy.Driver
	project string
	wanted  func(service string) bool
	over    func() // is called once, then

	mu     sync.Mutex
	closed bool
	died   chan string // ids
	wg     sync.WaitGroup

	// Valid after close: whether all have ended, and those that failed.
	all    bool
	failed []plan.Container
}

// whenEnded looks on until ctx is done. Each death has to be told to see; close
// ends it.
func whenEnded(ctx context.Context, d deploy.Driver, project string, wanted func(string) bool, now []plan.Container, over func()) *finish {
	e := &finish{driver: d, project: project, wanted: wanted, over: over, died: make(chan string, 1000)}
	e.wg.Go(func() { e.run(ctx, now) })
	return e
}

func (e *finish) see(ev deploy.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	select {
	case e.died <- ev.Container:
	default: // so many at once: those that come next are looked at
	}
}

func (e *finish) close() {
	e.mu.Lock()
	e.closed = true
	close(e.died)
	e.mu.Unlock()
	e.wg.Wait()
}

func (e *finish) run(ctx context.Context, now []plan.Container) {
	alive, dead := map[string]bool{}, map[string]bool{}
	count := func(cs []plan.Container) {
		for _, c := range cs {
			if lives(c) && !dead[c.ID] && !c.OneOff && e.wanted(c.Service) {
				alive[c.ID] = true
			}
		}
	}
	count(now)
	for {
		if len(alive) == 0 {
			have, err := e.driver.Observe(ctx, e.project, nil)
			if err != nil {
				return // whoever follows gets to know
			}
			// Another command may have started more. What has just died may not
			// be in the engine's list as such yet.
			if count(have.Containers); len(alive) == 0 {
				e.all, e.failed = true, slices.DeleteFunc(have.Containers, func(c plan.Container) bool {
					return c.OneOff || !e.wanted(c.Service) || c.ExitCode == 0
				})
				e.over()
				return
			}
		}
		id, ok := <-e.died
		if !ok || ctx.Err() != nil {
			return
		}
		c, err := e.driver.Inspect(ctx, id)
		dead[id] = err != nil || !lives(c)
		if dead[id] {
			delete(alive, id)
		}
	}
}

func lives(c plan.Container) bool {
	return c.State == plan.Running || c.State == plan.Restarting || c.State == plan.Paused
}
