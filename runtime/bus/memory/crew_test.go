package memory_test

import (
	"context"
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
