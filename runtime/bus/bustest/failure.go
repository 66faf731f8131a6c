package bustest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

var failureTests = map[string]func(*fixture){
	"Retry":           retry,
	"DeadAfterMax":    deadAfterMax,
	"NoRetries":       noRetries,
	"Permanent":       permanent,
	"Panic":           panics,
	"Timeout":         timeout,
	"Expiry":          expiry,
	"DeadSessionGoes": deadSessionGoes,
	"DeadOrder":       deadOrder,
}

// failing consumes a component with a handler that fails and counts.
func (f *fixture) failing(c bus.Consumer, err error) *atomic.Int32 {
	var calls atomic.Int32
	c.Handler = func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		if n := calls.Add(1); int(n) != m.RetryCount+1 {
			f.Errorf("call %d has retry count %d", n, m.RetryCount)
		}
		return nil, err
	}
	f.consume(f.Other, c)
	return &calls
}

func retry(f *fixture) {
	got := make(chan bus.Message, 10)
	f.consume(f.Other, bus.Consumer{Component: "a",
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			got <- m
			if m.RetryCount < 2 {
				return nil, errTest
			}
			return nil, nil
		}})
	f.publish(f.Bus, to("a", 1))
	for i := range 3 {
		if m := receive(f, got, "an attempt"); m.RetryCount != i {
			f.Errorf("attempt %d has retry count %d", i, m.RetryCount)
		}
	}
	f.drained()
	f.settled("a", "empty", func(s bus.Stats) bool { return empty(s) && s.Dead == 0 })
}

func deadAfterMax(f *fixture) {
	calls := f.failing(bus.Consumer{Component: "a"}, errTest)
	m := to("a", 7)
	m.ID, m.MaxRetries, m.SessionID = "m", 2, "s"
	before := time.Now().Add(-time.Minute)
	f.publish(f.Bus, m)
	d := f.dead("a")
	if calls.Load() != 3 || d.Attempts != 3 || d.Error != errTest.Error() || d.Target != "a" ||
		d.Message.ID != "m" || string(d.Message.Payload) != "7" {
		f.Errorf("after %d calls: %+v", calls.Load(), d)
	}
	if d.First.Before(before) || d.Last.Before(d.First) || d.Last.After(time.Now().Add(time.Minute)) {
		f.Errorf("first %s, last %s", d.First, d.Last)
	}
	f.drained()
	f.settled("a", "one dead letter", func(s bus.Stats) bool { return empty(s) && s.Dead == 1 })
}

func noRetries(f *fixture) {
	calls := f.failing(bus.Consumer{Component: "a"}, errTest)
	m := to("a", 7)
	m.MaxRetries = bus.NoRetries
	f.publish(f.Bus, m)
	if d := f.dead("a"); d.Attempts != 1 || calls.Load() != 1 {
		f.Errorf("after %d calls: %+v", calls.Load(), d)
	}
}

func permanent(f *fixture) {
	calls := f.failing(bus.Consumer{Component: "a"}, fmt.Errorf("wrapped: %w", bus.Permanent(errTest)))
	f.publish(f.Bus, to("a", 1))
	if d := f.dead("a"); d.Attempts != 1 || d.Error != "wrapped: no luck" || calls.Load() != 1 {
		f.Errorf("after %d calls: %+v", calls.Load(), d)
	}
}

func panics(f *fixture) {
	var calls atomic.Int32
	f.consume(f.Other, bus.Consumer{Component: "a", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
		calls.Add(1)
		panic("boom")
	}})
	m := to("a", 1)
	m.MaxRetries = 1
	f.publish(f.Bus, m)
	if d := f.dead("a"); d.Attempts != 2 || !strings.Contains(d.Error, "boom") || calls.Load() != 2 {
		f.Errorf("after %d calls: %+v", calls.Load(), d)
	}
}

func timeout(f *fixture) {
	f.consume(f.Other, bus.Consumer{Component: "a", Timeout: 10 * time.Millisecond,
		Handler: func(ctx context.Context, _ bus.Message) ([]bus.Message, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
	m := to("a", 1)
	m.MaxRetries = bus.NoRetries
	f.publish(f.Bus, m)
	if d := f.dead("a"); !strings.Contains(d.Error, "longer than 10ms") {
		f.Errorf("%+v", d)
	}
}

func expiry(f *fixture) {
	m := to("a", 1)
	m.TTLSeconds = 1
	stays := to("a", 2)
	stays.TTLSeconds = bus.NoExpiry
	f.publish(f.Bus, m, stays)
	<-time.After(1100 * time.Millisecond) // what is tested is that time passes
	got := f.sink(f.Other, "a")
	d := f.dead("a")
	if !strings.Contains(d.Error, "expired") || !strings.Contains(d.Error, "ttl is 1s") || d.Attempts != 0 {
		f.Errorf("%+v", d)
	}
	if v := number(f, receive(f, got, "the message without an end")); v != 2 {
		f.Errorf("got %d", v)
	}
	f.drained()
	nothing(f, got, "expired message")
}

// A message that fails for good lets its session go on.
func deadSessionGoes(f *fixture) {
	got := make(chan int, 5)
	f.consume(f.Other, bus.Consumer{Component: "a",
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			if n := number(f, m); n > 0 {
				got <- n
				return nil, nil
			}
			return nil, errTest
		}})
	for i := range 4 {
		m := to("a", i)
		m.SessionID, m.MaxRetries = "s", 1
		f.publish(f.Bus, m)
	}
	for i := 1; i < 4; i++ {
		if v := receive(f, got, "the next of the session"); v != i {
			f.Errorf("got %d, want %d", v, i)
		}
	}
	f.dead("a")
	f.drained()
}

func deadOrder(f *fixture) {
	calls := make(chan struct{}, 3)
	f.consume(f.Other, bus.Consumer{Component: "a", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
		calls <- struct{}{}
		return nil, bus.Permanent(errTest)
	}})
	for i := range 3 {
		f.publish(f.Bus, to("a", i))
		receive(f, calls, "the call")
		f.drained()
	}
	ds, err := f.Bus.DeadLetters(f.ctx, "a", 2)
	if err != nil || len(ds) != 2 || number(f, ds[0].Message) != 2 || number(f, ds[1].Message) != 1 {
		f.Errorf("newest two: %+v, %v", ds, err)
	}
	if ds, err := f.Bus.DeadLetters(f.ctx, "unknown", 2); err != nil || len(ds) != 0 {
		f.Errorf("of an unknown component: %+v, %v", ds, err)
	}
}
