package memory_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/memory"
)

// TestCrews: as many messages are handled at a time as consumers may, of all
// consumers of a component together, also of those that were there before one
// came, and when it goes the others go on.
func TestCrews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Options{})
		defer b.Close()
		var mu sync.Mutex
		running := map[string]int{}
		gate := make(chan struct{})
		consume := func(name string, concurrency int) (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = b.Consume(ctx, bus.Consumer{Component: "a", Instance: name, Concurrency: concurrency,
					Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
						mu.Lock()
						running[name]++
						mu.Unlock()
						<-gate
						mu.Lock()
						running[name]--
						mu.Unlock()
						return nil, nil
					}}, nil)
			}()
			return func() { cancel(); <-ended }
		}
		want := func(what string, x, y int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if running["x"] != x || running["y"] != y {
				t.Errorf("%s: x has %d and y %d, want %d and %d", what, running["x"], running["y"], x, y)
			}
		}
		for range 20 {
			publish(t, b, message("a"))
		}
		stopX := consume("x", 3)
		want("x alone", 3, 0)
		stopY := consume("y", 2)
		want("both", 3, 2)
		for range 5 {
			gate <- struct{}{}
		}
		want("after five", 3, 2)
		go stopX()
		for range 3 { // x ends what it has
			gate <- struct{}{}
			synctest.Wait()
		}
		close(gate)
		if left, err := b.Drain(t.Context()); err != nil || len(left) > 0 {
			t.Fatalf("left %v, %v", left, err)
		}
		publish(t, b, message("a"), message("a"))
		if left, err := b.Drain(t.Context()); err != nil || len(left) > 0 {
			t.Fatalf("y alone: left %v, %v", left, err)
		}
		stopY()
	})
}

// TestWorkersAreShared: handlers that wait hold nobody up, of their own component
// or of others; and those who called them don't stay for each component once there
// is nothing to do.
func TestWorkersAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const components, each = 100, 3
		b := memory.New(memory.Options{})
		gate := make(chan struct{})
		for i := range components {
			go b.Consume(t.Context(), bus.Consumer{Component: fmt.Sprint("c", i), Concurrency: each,
				Handler: func(context.Context, bus.Message) ([]bus.Message, error) { <-gate; return nil, nil }}, nil)
		}
		synctest.Wait()
		if n := serving(); n != 0 {
			t.Errorf("%d goroutines wait for a first message", n)
		}
		for range each + 1 {
			for i := range components {
				publish(t, b, message(fmt.Sprint("c", i)))
			}
		}
		synctest.Wait()
		for i := range components {
			if s := stats(t, b, fmt.Sprint("c", i)); s.InFlight != each || s.Lag != 1 {
				t.Fatalf("c%d: %+v", i, s)
			}
		}
		close(gate)
		if left, err := b.Drain(t.Context()); err != nil || len(left) > 0 {
			t.Fatalf("left %v, %v", left, err)
		}
		synctest.Wait()
		if n, most := serving(), 4*runtime.GOMAXPROCS(0); n == 0 || n > most {
			t.Errorf("%d goroutines wait for work, want some, and at most %d", n, most)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := serving(); n != 0 {
			t.Errorf("%d goroutines are left", n)
		}
	})
}

// TestHandlerEndsItsGoroutine: what a handler does to its goroutine keeps nobody
// from stopping, nor others from working.
func TestHandlerEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Options{})
		defer b.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = b.Consume(ctx, bus.Consumer{Component: "a", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
				runtime.Goexit()
				return nil, nil
			}}, nil)
		}()
		go b.Consume(t.Context(), bus.Consumer{Component: "b", Handler: func(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }}, nil)
		publish(t, b, message("a"))
		synctest.Wait()
		publish(t, b, message("b"))
		synctest.Wait()
		if s := stats(t, b, "b"); s.Handled != 1 {
			t.Errorf("b: %+v", s)
		}
		cancel()
		<-ended
	})
}

// serving counts the goroutines that call handlers, or wait for that.
func serving() int {
	all := make([]byte, 8<<20)
	return strings.Count(string(all[:runtime.Stack(all, true)]), "memory.(*Bus).serve(")
}
