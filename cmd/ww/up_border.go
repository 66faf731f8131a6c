package main

import (
	"context"
	"sync"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// crossing tells both sides of a system, that in containers and that in this
// process, what the other one has ready, and what has ended there.
type crossing struct {
	mu       sync.Mutex
	moments  map[moment]chan struct{} // closed when it has come
	left     map[string]int           // containers of a service that aren't ready yet
	stopping bool                     // the system ends in order
}

// moment is when a component is ready, or has ended.
type moment struct {
	component string
	ended     bool
}

func newCrossing() *crossing {
	return &crossing{moments: map[moment]chan struct{}{}, left: map[string]int{}}
}

func (b *crossing) at(m moment) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.moments[m] == nil {
		b.moments[m] = make(chan struct{})
	}
	return b.moments[m]
}

func (b *crossing) come(m moment) {
	c := b.at(m)
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c:
	default:
		close(c)
	}
}

func (b *crossing) has(m moment) bool {
	select {
	case <-b.at(m):
		return true
	default:
		return false
	}
}

func (b *crossing) wait(ctx context.Context, m moment) error {
	select {
	case <-b.at(m):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ready implements inproc.Elsewhere.
func (b *crossing) Ready(ctx context.Context, component string) error {
	return b.wait(ctx, moment{component, false})
}

// Ended implements inproc.Elsewhere. Where the system isn't ending in order,
// nobody waits.
func (b *crossing) Ended(ctx context.Context, component string) error {
	b.mu.Lock()
	stopping := b.stopping
	b.mu.Unlock()
	if !stopping {
		return nil
	}
	return b.wait(ctx, moment{component, true})
}

// stop says that the system ends in order from now on.
func (b *crossing) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopping = true
}

// planned notes for which containers a plan waits: the services without any are
// ready.
func (b *crossing) planned(p plan.Plan, services []string) {
	b.mu.Lock()
	for _, s := range p.Steps {
		if s.Op == plan.Ready || s.Op == plan.Completed {
			b.left[s.Service]++
		}
	}
	b.mu.Unlock()
	for _, name := range services {
		if b.left[name] == 0 {
			b.come(moment{name, false})
		}
	}
}

// container notes what is told of a container. What can be done without counts
// as ready when it has failed.
func (b *crossing) container(ev deploy.Progress) {
	s := ev.Step
	if s.Op != plan.Ready && s.Op != plan.Completed || ev.Status != deploy.Done && (ev.Status != deploy.Failed || !s.Optional) {
		return
	}
	b.mu.Lock()
	b.left[s.Service]--
	ready := b.left[s.Service] == 0
	b.mu.Unlock()
	if ready {
		b.come(moment{s.Service, false})
	}
}

// ending notes how many containers a plan stops, of services that it is to end:
// those of which none runs have ended.
func (b *crossing) ending(p plan.Plan, services []string) {
	b.mu.Lock()
	b.left = map[string]int{}
	for _, s := range p.Steps {
		if s.Op == plan.Stop {
			b.left[s.Service]++
		}
	}
	left := b.left
	b.mu.Unlock()
	for _, name := range services {
		if left[name] == 0 {
			b.come(moment{name, true})
		}
	}
}

// gone notes what is told of a container that ends.
func (b *crossing) gone(ev deploy.Progress) {
	if ev.Step.Op != plan.Stop || ev.Status != deploy.Done && ev.Status != deploy.Failed {
		return
	}
	b.mu.Lock()
	b.left[ev.Step.Service]--
	ended := b.left[ev.Step.Service] == 0
	b.mu.Unlock()
	if ended {
		b.come(moment{ev.Step.Service, true})
	}
}

// component notes what is told of a component in this process, or of its bus.
func (b *crossing) component(ev deploy.Progress) {
	switch {
	case ev.Step.Op == plan.Ready && ev.Status == deploy.Done:
		b.come(moment{ev.Step.Service, false})
	case ev.Step.Op == plan.Stop && (ev.Status == deploy.Done || ev.Status == deploy.Failed):
		b.come(moment{ev.Step.Service, true})
	}
}

// busIsReady reports whether anything could be accepted.
func (b *crossing) busIsReady() bool { return b.has(moment{model.BusService, false}) }
