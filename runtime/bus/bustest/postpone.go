package bustest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

var postponeTests = map[string]func(*fixture){
	"RetryAfter":          retryAfter,
	"RetryAfterOrder":     retryAfterOrder,
	"RetryAfterExpires":   retryAfterExpires,
	"RetryAfterPermanent": retryAfterPermanent,
	"RetryAfterOnce":      retryAfterOnce,
}

// What is marked RetryAfter isn't counted, however often, and comes no sooner;
// what fails otherwise in between is.
func retryAfter(f *fixture) {
	const pause = 30 * time.Millisecond
	type attempt struct {
		retries int
		at      time.Time
	}
	got := make(chan attempt, 20)
	var calls atomic.Int32
	f.consume(f.Other, bus.Consumer{Component: "a", MaxRetries: 1, Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		got <- attempt{m.RetryCount, time.Now()}
		switch calls.Add(1) {
		case 4:
			return nil, errTest
		case 7:
			return nil, nil
		}
		return nil, fmt.Errorf("wrapped: %w", bus.RetryAfter(pause, errTest))
	}})
	m := to("a", 1)
	m.SessionID = "s"
	f.publish(f.Bus, m)
	var before attempt
	for i, want := range []int{0, 0, 0, 0, 1, 1, 1} {
		a := receive(f, got, "a delivery")
		if a.retries != want {
			f.Errorf("delivery %d has retry count %d, want %d", i, a.retries, want)
		}
		// The clock of a server isn't ours, and has whole milliseconds.
		if took := a.at.Sub(before.at); i != 0 && i != 4 && took < pause-5*time.Millisecond {
			f.Errorf("delivery %d comes after %s", i, took)
		}
		before = a
	}
	f.drained()
	f.settled("a", "empty", func(s bus.Stats) bool { return empty(s) && s.Dead == 0 })
	hops := f.hops("s", 7)
	if h := hops[2]; h.Outcome != bus.Retry || h.Attempt != 1 || !strings.Contains(h.Error, errTest.Error()) {
		f.Errorf("the trail has %+v", h)
	}
}

// A message that waits holds its session up, and no other.
func retryAfterOrder(f *fixture) {
	got := make(chan int, 10)
	var calls atomic.Int32
	f.consume(f.Other, bus.Consumer{Component: "a", MaxRetries: bus.NoRetries, Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		n := number(f, m)
		if n == 1 && calls.Add(1) <= 3 {
			return nil, bus.RetryAfter(20*time.Millisecond, errTest)
		}
		if m.SessionID == "s" {
			got <- n
		}
		return nil, nil
	}})
	for i := 1; i <= 3; i++ {
		m := to("a", i)
		m.SessionID = "s"
		f.publish(f.Bus, m)
	}
	for want := 1; want <= 3; want++ {
		if n := receive(f, got, "the session's next message"); n != want {
			f.Errorf("got %d, want %d", n, want)
		}
	}
	f.drained()
	f.settled("a", "empty", func(s bus.Stats) bool { return empty(s) && s.Dead == 0 })
}

// The TTL holds, also where the delay is longer.
func retryAfterExpires(f *fixture) {
	var calls atomic.Int32
	f.consume(f.Other, bus.Consumer{Component: "a", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
		calls.Add(1)
		return nil, bus.RetryAfter(time.Hour, errTest)
	}})
	m := to("a", 1)
	m.TTLSeconds = 1
	f.publish(f.Bus, m)
	if d := f.dead("a"); !strings.Contains(d.Error, "expired") || d.Attempts != 0 || calls.Load() < 1 {
		f.Errorf("after %d calls: %+v", calls.Load(), d)
	}
	f.drained()
}

func retryAfterPermanent(f *fixture) {
	calls := f.failing(bus.Consumer{Component: "a"}, bus.RetryAfter(time.Millisecond, bus.Permanent(errTest)))
	f.publish(f.Bus, to("a", 1))
	if d := f.dead("a"); d.Attempts != 1 || calls.Load() != 1 {
		f.Errorf("after %d calls: %+v", calls.Load(), d)
	}
}

func retryAfterOnce(f *fixture) {
	calls := f.failing(bus.Consumer{Component: "a"}, bus.RetryAfter(time.Millisecond, errTest))
	m := to("a", 1)
	m.Mode = bus.AtMostOnce
	f.publish(f.Bus, m)
	if d := f.dead("a"); d.Attempts != 1 || d.Error != errTest.Error() || calls.Load() != 1 {
		f.Errorf("after %d calls: %+v", calls.Load(), d)
	}
}
