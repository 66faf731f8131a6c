package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/registry"
)

// work is all that goes on while the component is up.
type work struct {
	stopAnnouncing context.CancelFunc
	stopWorking    context.CancelFunc
	announced      chan struct{} // closed when the registry's entry is withdrawn
	finished       chan struct{} // closed when no handler runs any more

	mu      sync.Mutex
	err     error
	failing chan struct{} // closed with the first error
}

// fail ends the host with err; the first one counts.
func (w *work) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
		close(w.failing)
	}
}

func (w *work) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// work starts everything; it goes on until stop. Readiness comes last.
func (h *host) work(ctx context.Context) *work {
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	announcing, stopAnnouncing := context.WithCancel(working)
	w := &work{
		stopWorking: stopWorking, stopAnnouncing: stopAnnouncing,
		announced: make(chan struct{}), finished: make(chan struct{}), failing: make(chan struct{}),
	}
	subscribed := make(chan struct{})
	var wg sync.WaitGroup
	h.state.enterPhase(subscribing, "")
	if h.instance.Handle == nil {
		close(subscribed)
	} else {
		wg.Go(func() { h.consume(working, w, sync.OnceFunc(func() { close(subscribed) })) })
	}
	if h.instance.Run != nil {
		wg.Go(func() {
			if err := h.instance.Run(working); err != nil && working.Err() == nil {
				w.fail(err)
			}
		})
	}
	wg.Go(func() { h.watchBus(working) })
	go func() {
		wg.Wait()
		close(w.finished)
	}()
	go func() {
		defer close(w.announced)
		select {
		case <-subscribed:
			h.announce(announcing)
		case <-announcing.Done():
		}
	}()
	return w
}

func (h *host) consume(ctx context.Context, w *work, subscribed func()) {
	err := h.bus.Consume(ctx, bus.Consumer{
		Component: h.Name, Instance: h.id, Topics: h.Config.Subscribe,
		Concurrency: h.Concurrency, Grace: h.Grace, Handler: h.handle,
	}, subscribed)
	switch {
	case err != nil:
		w.fail(fmt.Errorf("take messages from the bus: %w", err))
	case ctx.Err() == nil:
		w.fail(errors.New("the bus stopped handing out messages"))
	}
}

// announce enters the component in the registry, makes it ready, and keeps the
// entry until ctx is done.
func (h *host) announce(ctx context.Context) {
	h.state.enterPhase(announcing, "")
	err := h.persist(ctx, announcing, func(ctx context.Context) error {
		return h.registry.Announce(ctx, h.entry())
	})
	if err == nil {
		h.state.enterPhase(ready, "")
		if ctx.Err() == nil {
			h.log.Info("ready")
		}
	}
	kept := false
	err = registry.Keep(ctx, h.registry, func() registry.Entry {
		kept = true
		return h.entry()
	})
	if !kept { // then it has withdrawn nothing either
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterGrace)
		defer cancel()
		err = h.registry.Withdraw(last, h.Name, h.id)
	}
	if err != nil {
		h.log.Warn("the entry in the registry could not be withdrawn; it expires by itself", "error", err)
	}
}

func (h *host) entry() registry.Entry {
	busy := h.metrics.inFlight.Load()
	s := registry.Ready
	if busy > 0 {
		s = registry.Active
	}
	return registry.Entry{
		Name: h.Name, Kind: h.Config.Kind, Type: h.Config.Type, Instance: h.id, Address: h.address,
		State: s, Started: h.began, Load: min(1, float64(busy)/float64(h.Concurrency)),
	}
}

// watchBus keeps readiness in step with the bus.
func (h *host) watchBus(ctx context.Context) {
	tick := time.NewTicker(h.BusCheck)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		check, cancel := context.WithTimeout(ctx, max(h.BusCheck, time.Second))
		err := h.bus.Healthy(check)
		cancel()
		if ctx.Err() != nil {
			return
		}
		err = h.secrets.RedactError(err)
		switch {
		case !h.state.setBus(err):
		case err != nil:
			h.log.Warn("the message bus is lost", "error", err)
		default:
			h.log.Info("the message bus is back")
		}
	}
}

// stop ends the work in order, within the grace.
func (h *host) stop(ctx context.Context, w *work, abort func()) error {
	h.log.Info("stopping", "grace", h.Grace.String())
	budget, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.Grace)
	defer cancel()
	h.state.enterPhase(draining, "")
	w.stopAnnouncing()
	wait(budget, w.announced)
	w.stopWorking()
	idle := h.state.idle(budget)
	wait(budget, w.finished)
	abort()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterGrace)
	defer cancel()
	idle = h.state.idle(last) && idle
	if !wait(last, w.finished) || !wait(last, w.announced) {
		// What still runs uses the component and the bus: both stay open.
		return errors.Join(w.failure(), fmt.Errorf("not everything ended within %s: what wasn't finished will be delivered again", h.Grace))
	}
	if !idle {
		h.log.Warn("requests were cut off: they took longer than the grace", "grace", h.Grace.String())
	}
	return errors.Join(w.failure(), h.close())
}

func (h *host) close() error {
	var errs []error
	if h.instance.Close != nil {
		if err := h.instance.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close the component: %w", err))
		}
	}
	if err := h.bus.Close(); err != nil {
		errs = append(errs, fmt.Errorf("close the bus: %w", err))
	}
	return errors.Join(errs...)
}

// wait reports whether c was closed before ctx was done.
func wait(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
	}
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}
