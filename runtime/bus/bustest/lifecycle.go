package bustest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

var lifecycleTests = map[string]func(*fixture){
	"StopAccepting":  stopAccepting,
	"DrainLeft":      drainLeft,
	"DrainWaits":     drainWaits,
	"StopFinishes":   stopFinishes,
	"GraceReleases":  graceReleases,
	"CloseInFlight":  closeInFlight,
	"Closed":         closed,
	"Newcomer":       newcomer,
	"Healthy":        healthy,
	"PublishManyAt1": publishMany,
}

// blocking consumes a component with handlers that wait for a signal.
func (f *fixture) blocking(b bus.Bus, c bus.Consumer) (stop, open func(), entered chan bus.Message) {
	gate := make(chan struct{})
	entered = make(chan bus.Message, 100)
	c.Handler = func(ctx context.Context, m bus.Message) ([]bus.Message, error) {
		entered <- m
		select {
		case <-gate:
			return []bus.Message{to("out", number(f, m))}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	stop = f.consume(b, c)
	open = sync.OnceFunc(func() { close(gate) })
	f.stops = append([]func(){open}, f.stops...)
	return stop, open, entered
}

func stopAccepting(f *fixture) {
	out := f.sink(f.Bus, "out")
	_, open, entered := f.blocking(f.Bus, bus.Consumer{Component: "a"})
	f.publish(f.Bus, to("a", 1))
	receive(f, entered, "the call")
	f.Bus.StopAccepting()
	if err := f.Bus.Publish(f.ctx, to("a", 2)); !errors.Is(err, bus.ErrStopped) {
		f.Errorf("publish: %v", err)
	}
	if _, err := f.Bus.Request(f.ctx, to("a", 2)); !errors.Is(err, bus.ErrStopped) {
		f.Errorf("request: %v", err)
	}
	open()
	receive(f, out, "the output of a running handler")

	// What a handler publishes itself passes as well.
	f.consume(f.Bus, bus.Consumer{Component: "b", Handler: func(ctx context.Context, _ bus.Message) ([]bus.Message, error) {
		return nil, f.Bus.Publish(ctx, to("out", 5))
	}})
	if f.Other != f.Bus {
		f.publish(f.Other, to("b", 1))
		if m := receive(f, out, "what the handler published"); number(f, m) != 5 {
			f.Errorf("got %+v", m)
		}
	}
	f.drained()
}

func drainLeft(f *fixture) {
	f.publish(f.Bus, to("a", 1), to("a", 2), to("b", 3))
	ctx, cancel := context.WithTimeout(f.ctx, 30*time.Millisecond)
	defer cancel()
	left, err := f.Bus.Drain(ctx)
	if err != nil || len(left) != 2 || left["a"] != 2 || left["b"] != 1 {
		f.Errorf("left %v, %v", left, err)
	}
}

func drainWaits(f *fixture) {
	_, open, entered := f.blocking(f.Other, bus.Consumer{Component: "a"})
	out := f.sink(f.Other, "out")
	f.publish(f.Bus, to("a", 1))
	receive(f, entered, "the call")
	done := make(chan map[string]int64, 1)
	go func() {
		left, err := f.Bus.Drain(f.ctx)
		if err != nil {
			f.Errorf("drain: %v", err)
		}
		done <- left
	}()
	nothing(f, done, "end of Drain while a handler runs")
	open()
	if left := receive(f, done, "the end of Drain"); len(left) != 0 {
		f.Errorf("left %v", left)
	}
	receive(f, out, "the output")
}

// Consume ends when its running handlers have; what they weren't given stays.
func stopFinishes(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	entered, gate := make(chan struct{}, 2), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- f.Bus.Consume(ctx, bus.Consumer{Component: "a", Instance: "first",
			Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
				entered <- struct{}{}
				<-gate
				return []bus.Message{to("out", 1)}, nil
			}}, nil)
	}()
	out := f.sink(f.Other, "out")
	first, second := to("a", 1), to("a", 2)
	first.SessionID, second.SessionID = "s", "s"
	f.publish(f.Bus, first, second)
	receive(f, entered, "the call")
	cancel()
	nothing(f, done, "end of Consume while its handler runs")
	close(gate)
	if err := receive(f, done, "the end of Consume"); err != nil {
		f.Errorf("consume: %v", err)
	}
	receive(f, out, "the output")
	nothing(f, entered, "call after the end")
	got := f.sink(f.Other, "a")
	if m := receive(f, got, "what was left"); number(f, m) != 2 {
		f.Errorf("got %+v", m)
	}
	f.drained()
}

// A handler that is cut short by the end of the grace loses nothing, and it
// doesn't count as an attempt.
func graceReleases(f *fixture) {
	stop, _, entered := f.blocking(f.Bus, bus.Consumer{Component: "a", Instance: "first", Grace: 10 * time.Millisecond})
	m := to("a", 1)
	m.MaxRetries, m.SessionID = bus.NoRetries, "s"
	f.publish(f.Bus, m)
	receive(f, entered, "the call")
	stop()
	got := f.sink(f.Other, "a")
	if m := receive(f, got, "the message"); m.RetryCount != 0 {
		f.Errorf("got %+v", m)
	}
	f.drained()
	if s := f.stats("a"); s.Dead != 0 {
		f.Errorf("stats: %+v", s)
	}
}

func closeInFlight(f *fixture) {
	var finished atomic.Bool
	entered := make(chan struct{})
	gate := make(chan struct{})
	consumed := make(chan error, 1)
	go func() {
		consumed <- f.Bus.Consume(f.ctx, bus.Consumer{Component: "a",
			Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
				close(entered)
				<-gate
				finished.Store(true)
				return nil, nil
			}}, nil)
	}()
	f.publish(f.Bus, to("a", 1))
	receive(f, entered, "the call")
	closed := make(chan error, 1)
	go func() { closed <- f.Bus.Close() }()
	nothing(f, closed, "end of Close while a handler runs")
	close(gate)
	if err := receive(f, closed, "the end of Close"); err != nil || !finished.Load() {
		f.Errorf("close: %v, handler finished: %v", err, finished.Load())
	}
	if err := receive(f, consumed, "the end of Consume"); err != nil {
		f.Errorf("consume: %v", err)
	}
}

// newcomer: a replica that comes while messages wait behind a slow handler gets
// its share of them, whatever the one before has fetched.
func newcomer(f *fixture) {
	_, open, entered := f.blocking(f.Bus, bus.Consumer{Component: "a"})
	out := f.sink(f.Bus, "out")
	var ms []bus.Message
	const n = 64
	for i := range n {
		m := to("a", i)
		m.SessionID = strconv.Itoa(i)
		ms = append(ms, m)
	}
	f.publish(f.Bus, ms...)
	receive(f, entered, "the call")
	shared := make(chan bus.Message, n)
	f.consume(f.Other, bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		shared <- m
		return []bus.Message{to("out", number(f, m))}, nil
	}})
	for range n / 4 {
		receive(f, shared, "a message for the newcomer, while the other one is at work")
	}
	open()
	seen := map[int]bool{}
	for range n {
		seen[number(f, receive(f, out, "an output"))] = true
	}
	if len(seen) != n {
		f.Errorf("%d of %d messages came out", len(seen), n)
	}
	f.drained()
}

func closed(f *fixture) {
	if err := f.Bus.Close(); err != nil {
		f.Fatalf("close: %v", err)
	}
	if err := f.Bus.Close(); err != nil {
		f.Errorf("second close: %v", err)
	}
	_, statsErr := f.Bus.Stats(f.ctx)
	_, deadErr := f.Bus.DeadLetters(f.ctx, "a", 1)
	_, requeueErr := f.Bus.Requeue(f.ctx, "a")
	_, discardErr := f.Bus.Discard(f.ctx, "a")
	_, traceErr := f.Bus.Trace(f.ctx, "s")
	_, droppedErr := f.Bus.Dropped(f.ctx)
	_, drainErr := f.Bus.Drain(f.ctx)
	_, gatherErr := f.Bus.Gather(f.ctx, "k", "p", raw(1), time.Minute)
	_, requestErr := f.Bus.Request(f.ctx, to("a", 1))
	for name, err := range map[string]error{
		"publish": f.Bus.Publish(f.ctx, to("a", 1)),
		"consume": f.Bus.Consume(f.ctx, bus.Consumer{Component: "a",
			Handler: func(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }}, nil),
		"healthy":      f.Bus.Healthy(f.ctx),
		"request":      requestErr,
		"gather":       gatherErr,
		"stats":        statsErr,
		"dead letters": deadErr,
		"requeue":      requeueErr,
		"discard":      discardErr,
		"trace":        traceErr,
		"dropped":      droppedErr,
		"drain":        drainErr,
		"tail":         f.Bus.Tail(f.ctx, bus.Watch{}, nil, func(bus.Message) {}),
	} {
		if !errors.Is(err, bus.ErrClosed) {
			f.Errorf("%s: %v", name, err)
		}
	}
}

func healthy(f *fixture) {
	if err := f.Bus.Healthy(f.ctx); err != nil {
		f.Errorf("healthy: %v", err)
	}
}

// Concurrent publishers lose nothing and each keeps its order.
func publishMany(f *fixture) {
	const publishers, n = 8, 50
	got := f.sink(f.Other, "a")
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range n {
				m := to("a", p*n+i)
				m.SessionID = "publisher " + strconv.Itoa(p) // only those have an order
				if err := f.Bus.Publish(f.ctx, m); err != nil {
					f.Errorf("publish: %v", err)
				}
			}
		})
	}
	all.Wait()
	next := map[int]int{}
	for range publishers * n {
		v := number(f, receive(f, got, "a message"))
		if v%n != next[v/n] {
			f.Fatalf("publisher %d: got %d, want %d", v/n, v%n, next[v/n])
		}
		next[v/n]++
	}
	f.drained()
}
