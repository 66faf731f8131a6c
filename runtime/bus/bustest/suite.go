// Package bustest is the suite that every backend of the message bus passes,
// and the real servers that tests of other packages need.
package bustest

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// Backend is an empty bus as two processes see it. In a bus that lives in one
// process, both are the same. Delays between attempts must be 20 ms at most.
type Backend struct {
	Bus   bus.Bus
	Other bus.Bus
}

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

// Run checks a backend. open returns an empty bus for one test and registers
// its cleanup; the suite closes both views of it before.
func Run(t *testing.T, open func(t *testing.T) Backend) {
	for _, group := range []map[string]func(*fixture){
		deliveryTests, orderTests, failureTests, postponeTests, deadTests, limitTests, topicTests, requestTests, lifecycleTests, operatorTests,
	} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Cleanup(func() { checkGoroutines(t) })
				b := open(t)
				ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
				f := &fixture{T: t, Backend: b, ctx: ctx}
				defer f.shutdown(cancel)
				test(f)
			})
		}
	}
}

// fixture is what one test of the suite works with.
type fixture struct {
	*testing.T
	Backend
	ctx   context.Context
	stops []func()
}

func (f *fixture) shutdown(cancel func()) {
	for _, stop := range f.stops {
		stop()
	}
	for _, b := range []bus.Bus{f.Bus, f.Other} {
		if err := b.Close(); err != nil {
			f.Errorf("close: %v", err)
		}
	}
	cancel()
}

// consume starts a consumer on b, waits until it is ready and returns how to
// stop it and wait for its end.
func (f *fixture) consume(b bus.Bus, c bus.Consumer) (stop func()) {
	f.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- b.Consume(ctx, c, func() { close(ready) }) }()
	var stopped bool
	stop = func() {
		f.Helper()
		cancel()
		if stopped {
			return
		}
		stopped = true
		if err := receive(f, done, "the end of Consume"); err != nil {
			f.Errorf("consume %q: %v", c.Component, err)
		}
	}
	f.stops = append(f.stops, stop)
	select {
	case <-ready:
	case err := <-done:
		stopped = true
		f.Fatalf("consume %q ended before it was ready: %v", c.Component, err)
	case <-time.After(patience):
		f.Fatalf("consume %q isn't ready after %s", c.Component, patience)
	}
	return stop
}

// sink consumes a component and returns what it gets.
func (f *fixture) sink(b bus.Bus, component string, topics ...string) <-chan bus.Message {
	f.Helper()
	got := make(chan bus.Message, 10_000)
	f.consume(b, bus.Consumer{Component: component, Topics: topics,
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			got <- m
			return nil, nil
		}})
	return got
}

func (f *fixture) publish(b bus.Bus, ms ...bus.Message) {
	f.Helper()
	if err := b.Publish(f.ctx, ms...); err != nil {
		f.Fatalf("publish: %v", err)
	}
}

func (f *fixture) stats(component string) bus.Stats {
	f.Helper()
	all, err := f.Bus.Stats(f.ctx)
	if err != nil {
		f.Fatalf("stats: %v", err)
	}
	return all[component]
}

// settled waits until the component's figures are right: a bus on several
// machines may take a moment to know.
func (f *fixture) settled(component string, want string, right func(bus.Stats) bool) {
	f.Helper()
	var s bus.Stats
	defer func() {
		if f.Failed() {
			f.Logf("%s: %+v", component, s)
		}
	}()
	f.until("stats of "+component+": "+want, func() bool {
		s = f.stats(component)
		return right(s)
	})
}

// empty reports whether nothing is left of a component's messages but its dead
// letters.
func empty(s bus.Stats) bool {
	return s.Depth == 0 && s.InFlight == 0 && s.Delayed == 0 && s.Lag == 0 && s.Oldest == 0
}

// drained waits until the bus is empty.
func (f *fixture) drained() {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	defer cancel()
	left, err := f.Bus.Drain(ctx)
	if err != nil || len(left) > 0 {
		f.Fatalf("drain: left %v, error %v", left, err)
	}
}

// dead waits for the only dead letter of the component.
func (f *fixture) dead(component string) bus.DeadLetter {
	f.Helper()
	return f.deadLetters(component, 1)[0]
}

// deadLetters waits for n dead letters of the component, and for no more.
func (f *fixture) deadLetters(component string, n int) []bus.DeadLetter {
	f.Helper()
	var ds []bus.DeadLetter
	f.until(fmt.Sprint(n, " dead letters of ", component), func() bool {
		ds = f.letters(component)
		return len(ds) >= n
	})
	if len(ds) != n {
		f.Fatalf("want %d dead letters of %s, got %+v", n, component, ds)
	}
	return ds
}

func (f *fixture) letters(component string) []bus.DeadLetter {
	f.Helper()
	ds, err := f.Bus.DeadLetters(f.ctx, component, 0)
	if err != nil {
		f.Fatalf("dead letters: %v", err)
	}
	return ds
}

// until waits for a condition that nothing announces.
func (f *fixture) until(what string, ok func() bool) {
	f.Helper()
	Until(f, what, ok)
}

// Until waits for a condition that nothing announces; it fails the test after
// a while.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// receive takes one value from a channel, within patience.
func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
		panic("unreachable")
	}
}

// nothing fails if there is a value in the channel.
func nothing[T any](t testing.TB, ch <-chan T, what string) {
	t.Helper()
	select {
	case v := <-ch:
		t.Fatalf("unexpected %s: %+v", what, v)
	default:
	}
}

func to(component string, payload any) bus.Message {
	return bus.Message{Target: component, Type: "test", Payload: raw(payload)}
}

func on(topic string, payload any) bus.Message {
	return bus.Message{Pattern: bus.PublishSubscribe, Type: topic, Payload: raw(payload)}
}

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("payload of a test: %v", err))
	}
	return b
}

func number(t testing.TB, m bus.Message) int {
	t.Helper()
	var n int
	if err := json.Unmarshal(m.Payload, &n); err != nil {
		t.Fatalf("payload %s: %v", m.Payload, err)
	}
	return n
}

// checkGoroutines fails if something that a bus started is still running.
func checkGoroutines(t *testing.T) {
	if t.Failed() {
		return
	}
	var left string
	late := time.Now().Add(5 * time.Second)
	Until(t, "the end of the bus's goroutines", func() bool {
		left = busGoroutines()
		return left == "" || time.Now().After(late)
	})
	if left != "" {
		t.Errorf("goroutines left:\n%s", left)
	}
}

func busGoroutines() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var out []string
	for i, g := range strings.Split(string(buf), "\n\n") {
		// The first is this one; the servers of tests end with their tests.
		if i == 0 || strings.Contains(g, "testing.tRunner") || strings.Contains(g, "bustest.(*Redis)") ||
			strings.Contains(g, "bustest.(*NATS)") ||
			strings.Contains(g, "bustest.(*Proxy)") {
			continue
		}
		if strings.Contains(g, "/runtime/bus") || strings.Contains(g, "go-redis") {
			out = append(out, g)
		}
	}
	return strings.Join(out, "\n\n")
}
