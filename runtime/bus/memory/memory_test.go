package memory_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/memory"
)

func TestSuite(t *testing.T) {
	bustest.Run(t, func(*testing.T) bustest.Backend {
		b := memory.New(memory.Options{Backoff: bus.Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond}})
		return bustest.Backend{Bus: b, Other: b}
	})
}

func message(target string) bus.Message {
	return bus.Message{Target: target, Payload: json.RawMessage(`1`)}
}

// With the defaults, attempts are 1 to 2, 1 to 4 and 1 to 8 seconds apart.
func TestRetryDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Options{})
		defer b.Close()
		var calls []time.Time
		go b.Consume(t.Context(), bus.Consumer{Component: "a",
			Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
				calls = append(calls, time.Now())
				return nil, errors.New("no")
			}}, nil)
		if err := b.Publish(t.Context(), message("a")); err != nil {
			t.Fatal(err)
		}
		if left, err := b.Drain(t.Context()); err != nil || len(left) > 0 {
			t.Fatalf("left %v, %v", left, err)
		}
		if len(calls) != bus.DefaultMaxRetries+1 {
			t.Fatalf("%d calls", len(calls))
		}
		for i, most := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second} {
			if d := calls[i+1].Sub(calls[i]); d < time.Second || d > most {
				t.Errorf("delay %d is %s, want 1s to %s", i, d, most)
			}
		}
	})
}

func TestDedupWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Options{DedupWindow: time.Minute})
		defer b.Close()
		calls := 0
		go b.Consume(t.Context(), bus.Consumer{Component: "a",
			Handler: func(context.Context, bus.Message) ([]bus.Message, error) { calls++; return nil, nil }}, nil)
		m := message("a")
		m.ID = "same"
		for i, want := range []int{1, 1, 2} {
			if err := b.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if calls != want {
				t.Errorf("after publish %d: %d calls, want %d", i, calls, want)
			}
			time.Sleep(40 * time.Second) // virtual
		}
	})
}

func TestDefaultTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Options{})
		defer b.Close()
		if err := b.Publish(t.Context(), message("a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(301 * time.Second) // virtual
		go b.Consume(t.Context(), bus.Consumer{Component: "a",
			Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
				t.Error("handled")
				return nil, nil
			}}, nil)
		synctest.Wait()
		ds, err := b.DeadLetters(t.Context(), "a", 0)
		if err != nil || len(ds) != 1 || !strings.Contains(ds[0].Error, "waited 5m1s") {
			t.Errorf("dead letters %+v, %v", ds, err)
		}
	})
}

func TestPublishWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Options{QueueLimit: 2})
		defer b.Close()
		if err := b.Publish(t.Context(), message("a"), message("a")); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err := b.Publish(t.Context(), message("a"))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `queue of "a" is full`) {
			t.Fatalf("got %v", err)
		}
		if d := time.Since(start); d != bus.DefaultPublishWait {
			t.Errorf("waited %s", d)
		}
		done := make(chan error, 1)
		go func() { done <- b.Publish(t.Context(), message("a")) }()
		synctest.Wait()
		go b.Consume(t.Context(), bus.Consumer{Component: "a",
			Handler: func(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }}, nil)
		if err := <-done; err != nil {
			t.Errorf("publish once there is room: %v", err)
		}
	})
}

// Handlers that send to each other's full queues don't wait for each other.
func TestOutputsAlwaysFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Options{QueueLimit: 1})
		defer b.Close()
		go b.Consume(t.Context(), bus.Consumer{Component: "a",
			Handler: func(ctx context.Context, m bus.Message) ([]bus.Message, error) {
				return []bus.Message{message("b"), message("b")}, b.Publish(ctx, message("b"), message("b"))
			}}, nil)
		if err := b.Publish(t.Context(), message("a")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s, err := b.Stats(t.Context())
		if err != nil || s["b"].Depth != 4 || s["a"].Depth != 0 {
			t.Errorf("stats %+v, %v", s, err)
		}
	})
}
