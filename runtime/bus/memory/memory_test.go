package memory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
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

func publish(t *testing.T, b *memory.Bus, ms ...bus.Message) {
	t.Helper()
	if err := b.Publish(t.Context(), ms...); err != nil {
		t.Fatal(err)
	}
}

func stats(t *testing.T, b *memory.Bus, component string) bus.Stats {
	t.Helper()
	all, err := b.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all[component]
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

// What nobody consumes expires when it is due, and not before.
func TestDefaultTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Options{})
		defer b.Close()
		for range 2 {
			publish(t, b, message("a"))
			time.Sleep(100 * time.Second) // virtual
		}
		for _, step := range []struct {
			wait  time.Duration
			depth int64
		}{{99 * time.Second, 2}, {2 * time.Second, 1}, {97 * time.Second, 1}, {3 * time.Second, 0}} {
			time.Sleep(step.wait) // virtual
			synctest.Wait()
			s := stats(t, b, "a")
			if s.Depth != step.depth || s.Dead != 2-step.depth || s.Lag != step.depth {
				t.Errorf("after %s: %+v", step.wait, s)
			}
		}
		ds, err := b.DeadLetters(t.Context(), "a", 0)
		if err != nil || len(ds) != 2 || !strings.Contains(ds[0].Error, "waited 5m0.0") || ds[0].Attempts != 0 {
			t.Errorf("dead letters %+v, %v", ds, err)
		}
	})
}

// A message that waits for its retry expires as well, and its session goes on.
func TestExpiryBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Options{Backoff: bus.Backoff{Min: time.Hour, Max: time.Hour}})
		defer b.Close()
		ctx, leave := context.WithCancel(t.Context())
		called := make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			ended <- b.Consume(ctx, bus.Consumer{Component: "a", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
				close(called)
				return nil, errors.New("no")
			}}, nil)
		}()
		first, next := message("a"), message("a")
		first.SessionID, first.TTLSeconds = "s", 10
		next.SessionID, next.TTLSeconds, next.Payload = "s", bus.NoExpiry, json.RawMessage("2")
		publish(t, b, first, next)
		<-called
		synctest.Wait()
		leave()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if s := stats(t, b, "a"); s.Depth != 2 || s.Delayed != 1 || s.Lag != 1 {
			t.Errorf("before: %+v", s)
		}
		time.Sleep(11 * time.Second) // virtual
		if s := stats(t, b, "a"); s.Depth != 1 || s.Delayed != 0 || s.Lag != 1 || s.Dead != 1 {
			t.Errorf("after: %+v", s)
		}
		got := make(chan string, 2)
		go b.Consume(t.Context(), bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			got <- string(m.Payload)
			return nil, nil
		}}, nil)
		if p := <-got; p != "2" {
			t.Errorf("got %s", p)
		}
		time.Sleep(2 * time.Hour) // virtual: when the first would have been tried again
		if s := stats(t, b, "a"); s.Handled != 1 || s.Depth != 0 || len(got) != 0 {
			t.Errorf("in the end: %+v", s)
		}
	})
}

func TestPublishWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Options{QueueLimit: 2})
		defer b.Close()
		publish(t, b, message("a"), message("a"))
		start := time.Now()
		err := b.Publish(t.Context(), message("b"), message("a"))
		if !errors.Is(err, bus.ErrFull) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"a" has its limit of 2`) {
			t.Fatalf("got %v", err)
		}
		if d := time.Since(start); d != bus.DefaultPublishWait {
			t.Errorf("waited %s", d)
		}
		if s := stats(t, b, "b"); s.Depth != 0 {
			t.Errorf("a part is published: %+v", s)
		}
		const waiting = 50
		done := make(chan error, waiting)
		for range waiting {
			go func() { done <- b.Publish(t.Context(), message("a")) }()
		}
		synctest.Wait()
		go b.Consume(t.Context(), bus.Consumer{Component: "a",
			Handler: func(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }}, nil)
		for range waiting {
			if err := <-done; err != nil {
				t.Errorf("publish once there is room: %v", err)
			}
		}
		synctest.Wait()
		if s := stats(t, b, "a"); s.Handled != waiting+2 {
			t.Errorf("%+v", s)
		}
	})
}

// Who waits for room gets it in a moment, however little there is, before those
// who come later, and nobody comes in where there is none.
func TestPublishInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1_000
		b := memory.New(memory.Options{QueueLimit: limit})
		defer b.Close()
		for range limit {
			publish(t, b, message("a"))
		}
		var mu sync.Mutex
		var in []int
		for i := range 5 {
			go func() {
				if err := b.Publish(t.Context(), message("a")); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				in = append(in, i)
			}()
			synctest.Wait()
		}
		work := make(chan struct{})
		go b.Consume(t.Context(), bus.Consumer{Component: "a", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
			<-work
			return nil, nil
		}}, nil)
		for i := range 5 {
			work <- struct{}{}
			synctest.Wait()
			if i == 0 { // one who comes while there is room for one, which another waits for
				go func() {
					if err := b.Publish(t.Context(), message("a")); err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					in = append(in, 5)
				}()
				synctest.Wait()
			}
			time.Sleep(10 * time.Millisecond) // virtual
			mu.Lock()
			if s := stats(t, b, "a"); len(in) != i+1 || in[i] != i || s.Depth != limit {
				t.Errorf("after %d were handled: in %v, %+v", i+1, in, s)
			}
			mu.Unlock()
		}
		close(work)
		synctest.Wait()
		if s := stats(t, b, "a"); s.Handled != limit+6 || len(in) != 6 {
			t.Errorf("in the end: in %v, %+v", in, s)
		}
	})
}

// Who waits for room is sent away when there will be none.
func TestWaitEnds(t *testing.T) {
	for want, end := range map[error]func(*memory.Bus) error{
		bus.ErrStopped: func(b *memory.Bus) error { b.StopAccepting(); return nil },
		bus.ErrClosed:  (*memory.Bus).Close,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := memory.New(memory.Options{QueueLimit: 1})
			defer b.Close()
			publish(t, b, message("a"))
			done := make(chan error, 2)
			for range 2 {
				go func() { done <- b.Publish(t.Context(), message("a")) }()
			}
			synctest.Wait()
			if err := end(b); err != nil {
				t.Error(err)
			}
			for range 2 {
				if err := <-done; !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			}
		})
	}
}

// Dead letters don't vanish: a component with too many of them gets no more.
func TestDeadLettersPushBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Options{DeadLimit: 2})
		defer b.Close()
		go b.Consume(t.Context(), bus.Consumer{Component: "a", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
			return nil, bus.Permanent(errors.New("no"))
		}}, nil)
		go b.Consume(t.Context(), bus.Consumer{Component: "b", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
			return []bus.Message{message("a")}, nil
		}}, nil)
		for range 2 {
			publish(t, b, message("a"))
			synctest.Wait()
		}
		err := b.Publish(t.Context(), message("a"))
		if !errors.Is(err, bus.ErrFull) || !strings.Contains(err.Error(), `"a" has 2 dead letters`) {
			t.Errorf("got %v", err)
		}
		publish(t, b, message("b")) // its output always fits
		synctest.Wait()
		if s := stats(t, b, "a"); s.Dead != 3 {
			t.Errorf("%+v", s)
		}
		done := make(chan error, 1)
		go func() { done <- b.Publish(t.Context(), message("a")) }()
		synctest.Wait()
		if n, err := b.Discard(t.Context(), "a"); n != 3 || err != nil {
			t.Errorf("discarded %d, %v", n, err)
		}
		if err := <-done; err != nil {
			t.Errorf("once there is room: %v", err)
		}
	})
}

// A buffer is the sender's again when Publish has returned.
func TestPayloadIsCopied(t *testing.T) {
	b := memory.New(memory.Options{})
	defer b.Close()
	m := bus.Message{Target: "a", Payload: json.RawMessage(`"mine"`)}
	publish(t, b, m)
	copy(m.Payload, `"then"`)
	got := make(chan string, 1)
	go b.Consume(t.Context(), bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		got <- string(m.Payload)
		return nil, nil
	}}, nil)
	if p := <-got; p != `"mine"` {
		t.Errorf("got %s", p)
	}
}

// A watcher that is slow holds up nobody.
func TestSlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3_000
		b := memory.New(memory.Options{})
		defer b.Close()
		ctx, cancel := context.WithCancel(t.Context())
		gate, seen := make(chan struct{}), 0
		done := make(chan error, 1)
		go func() { done <- b.Tail(ctx, bus.Watch{}, nil, func(bus.Message) { <-gate; seen++ }) }()
		synctest.Wait()
		for range n {
			publish(t, b, message("a"))
		}
		close(gate)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil || seen < 1_000 || seen >= n {
			t.Errorf("saw %d of %d, %v", seen, n, err)
		}
	})
}

func TestTailPattern(t *testing.T) {
	b := memory.New(memory.Options{})
	defer b.Close()
	err := b.Tail(t.Context(), bus.Watch{Topics: []string{">.a"}}, nil, func(bus.Message) {})
	if err == nil || !strings.Contains(err.Error(), "may only come last") {
		t.Errorf("got %v", err)
	}
}

// The bus remembers the newest hops.
func TestTraceForgets(t *testing.T) {
	const n = 10_100
	b := memory.New(memory.Options{QueueLimit: n})
	defer b.Close()
	go b.Consume(t.Context(), bus.Consumer{Component: "a",
		Handler: func(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }}, nil)
	for i := range n {
		m := message("a")
		m.ID, m.SessionID = fmt.Sprint(i), "s"
		publish(t, b, m)
	}
	if left, err := b.Drain(t.Context()); err != nil || len(left) > 0 {
		t.Fatalf("left %v, %v", left, err)
	}
	hops, err := b.Trace(t.Context(), "s")
	if err != nil || len(hops) != 10_000 || hops[0].Message != "100" || hops[9_999].Message != fmt.Sprint(n-1) {
		t.Errorf("%d hops from %+v, %v", len(hops), hops[0], err)
	}
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
