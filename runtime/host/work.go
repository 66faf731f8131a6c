package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// work is all that goes on while the component is up.
type work struct {
	stopAnnouncing context.CancelFunc
	stopWorking    context.CancelFunc
	announced      chan struct{} // closed when nothing becomes ready any more
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
	subscribed, instance := make(chan struct{}), h.instance.Load()
	var wg sync.WaitGroup
	h.state.enterPhase(subscribing, "")
	if instance.Handle == nil {
		close(subscribed)
	} else {
		wg.Go(func() { h.consume(working, w, sync.OnceFunc(func() { close(subscribed) })) })
	}
	if instance.Run != nil {
		wg.Go(func() {
			if err := instance.Run(working); err != nil && working.Err() == nil {
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
	timeout := h.Timeout
	if h.instance.Load().Timed {
		timeout = 0
	}
	err := h.bus.Consume(ctx, bus.Consumer{
		Component: h.Name, Instance: h.id, Topics: h.Config.Subscribe,
		Concurrency: h.Concurrency, Grace: h.Grace, Hurry: h.Hurry, Handler: h.handle, Timeout: timeout,
		MaxRetries: h.MaxRetries, TTL: h.TTL, QueueLimit: h.QueueLimit, Overflow: h.Overflow,
	}, subscribed)
	switch {
	case err != nil:
		w.fail(fmt.Errorf("take messages from the bus: %w", err))
	case ctx.Err() == nil:
		w.fail(errors.New("the bus stopped handing out messages"))
	}
}

// announce makes the component ready once it is in the registry as that.
func (h *host) announce(ctx context.Context) {
	h.state.enterPhase(announcing, "")
	if h.persist(ctx, announcing, h.presence.Announce) == nil {
		h.state.enterPhase(ready, "")
		if ctx.Err() == nil {
			h.log.Info("ready")
		}
	}
}

// watchBus keeps readiness in step with the bus.
func (h *host) watchBus(ctx context.Context) {
	tick := time.NewTicker(h.BusCheck)
	defer tick.Stop()
	trim := sync.OnceFunc(func() {
		if err := trimProgram(); err != nil {
			h.log.Debug("the memory for starting is kept", "error", err)
		}
	})
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
		if h.state.view().Phase == ready && !h.Shared {
			trim()
		}
	}
}

// stop ends the work in order, within the grace: the component isn't ready any
// more, connections that are used end with an answer, the registry says so, no
// message is taken, what is being handled ends and is acknowledged.
func (h *host) stop(ctx context.Context, w *work, leave func(context.Context, error), abort func()) error {
	h.log.Info("stopping", "grace", h.Grace.String())
	budget, enough := context.WithTimeout(context.WithoutCancel(ctx), h.Grace)
	defer enough()
	go func() { // until the budget ends, at the latest when this returns
		select {
		case <-h.Hurry:
			enough()
		case <-budget.Done():
		}
	}()
	if err := w.failure(); err != nil {
		h.fail(err)
	}
	h.linger(budget)
	h.state.enterPhase(draining, "")
	w.stopAnnouncing()
	wait(budget, w.announced)
	h.tell(ctx)
	w.stopWorking()
	idle := h.state.idle(budget)
	wait(budget, w.finished)
	abort()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterGrace)
	defer cancel()
	idle = h.state.idle(last) && idle
	ended := wait(last, w.finished) && wait(last, w.announced)
	leave(ctx, w.failure())
	if !ended {
		// What still runs uses the component and the bus: both stay open.
		return errors.Join(w.failure(), errors.New("not everything ended in time: what wasn't finished will be delivered again"))
	}
	if !idle {
		h.log.Warn("requests were cut off: they took longer than the grace", "grace", h.Grace.String())
	}
	return errors.Join(w.failure(), h.close())
}

func (h *host) close() error {
	var errs []error
	if i := h.instance.Load(); i.Close != nil {
		if err := i.Close(); err != nil {
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
