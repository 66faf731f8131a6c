package main

import (
	"context"
	"sync"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/scale"
)

// loads knows how much of a processor containers use, of those where that matters:
// an engine that measures has something to do.
type loads struct {
	engine *dockerx.Engine
	ctx    context.Context // of the measuring: it ends with whoever scales
	work   sync.WaitGroup

	mu    sync.Mutex
	of    map[string]float64 // percent of a processor, by container; below 0: not known yet
	ended map[string]context.CancelFunc
}

func watchLoads(ctx context.Context, e *dockerx.Engine) *loads {
	return &loads{engine: e, ctx: ctx, of: map[string]float64{}, ended: map[string]context.CancelFunc{}}
}

// keep measures those containers whose policy wants to know, and no others.
func (l *loads) keep(what map[string][]plan.Container, policies map[string]scale.Policy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := map[string]bool{}
	for name, cs := range what {
		for _, c := range cs {
			if policies[name].CPU > 0 {
				wanted[c.ID] = true
			}
		}
	}
	for id, end := range l.ended {
		if !wanted[id] {
			end()
		}
	}
	for id := range wanted {
		if l.ended[id] == nil {
			l.measure(id)
		}
	}
}

// measure begins with one container. With l.mu held.
func (l *loads) measure(id string) {
	ctx, end := context.WithCancel(l.ctx)
	l.ended[id], l.of[id] = end, -1
	l.work.Go(func() {
		defer func() {
			end()
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.of, id)
			delete(l.ended, id)
		}()
		first := true
		// One that can't be measured isn't known; it is tried again with the next look.
		_ = l.engine.Stats(ctx, id, true, func(u dockerx.Usage) {
			if first { // it has nothing to compare with
				first = false
				return
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.of[id] = u.CPU
		})
	})
}

// average is the load of containers as far as it is known; below 0 if it isn't at
// all.
func (l *loads) average(cs []plan.Container) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum, n := 0.0, 0
	for _, c := range cs {
		if load, ok := l.of[c.ID]; ok && load >= 0 {
			sum += load
			n++
		}
	}
	if n == 0 {
		return -1
	}
	return sum / float64(n)
}

func (l *loads) wait() { l.work.Wait() }
