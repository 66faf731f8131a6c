package bustest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

var limitTests = map[string]func(*fixture){
	"QueueLimit":       queueLimit,
	"QueueLimitStays":  queueLimitStays,
	"OutputsFit":       outputsFit,
	"Divert":           divert,
	"ComponentRetries": componentRetries,
	"ComponentTTL":     componentTTL,
}

// full checks that the component takes no more.
func (f *fixture) full(component string) {
	f.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(f.ctx, 100*time.Millisecond)
	defer cancel()
	err := f.Bus.Publish(ctx, to(component, "too many"))
	if !errors.Is(err, bus.ErrFull) || !strings.Contains(err.Error(), component) {
		f.Errorf("publish to the full queue of %s: %v", component, err)
	}
	if d := time.Since(start); d < 100*time.Millisecond {
		f.Errorf("it gave up after %s", d)
	}
}

func queueLimit(f *fixture) {
	_, open, entered := f.blocking(f.Other, bus.Consumer{Component: "a", QueueLimit: 3})
	out := f.sink(f.Bus, "out")
	f.publish(f.Bus, to("a", 0))
	receive(f, entered, "the call")
	f.publish(f.Bus, to("a", 1))
	f.publish(f.Bus, to("a", 2)) // the one that is handled counts
	f.full("a")
	f.publish(f.Bus, to("b", 0)) // other queues have room
	f.settled("a", "three messages", func(s bus.Stats) bool { return s.Depth == 3 && s.Limit == 3 })

	published := make(chan error, 1)
	go func() { published <- f.Bus.Publish(f.ctx, to("a", 3)) }()
	nothing(f, published, "end of Publish")
	open()
	if err := receive(f, published, "the end of Publish"); err != nil {
		f.Errorf("once there is room: %v", err)
	}
	seen := map[int]bool{}
	for range 4 {
		seen[number(f, receive(f, out, "an output"))] = true
	}
	if len(seen) != 4 {
		f.Errorf("handled %v", seen)
	}
	if len(f.letters("a")) != 0 {
		f.Errorf("dead letters: %+v", f.letters("a"))
	}
}

// The limit holds while nobody consumes, until someone says something else.
func queueLimitStays(f *fixture) {
	none := func(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }
	f.consume(f.Other, bus.Consumer{Component: "a", QueueLimit: 2, Handler: none})()
	f.publish(f.Bus, to("a", 1))
	f.publish(f.Bus, to("a", 2))
	f.full("a")
	_, _, entered := f.blocking(f.Other, bus.Consumer{Component: "a", QueueLimit: 4})
	receive(f, entered, "the call")
	f.publish(f.Bus, to("a", 3))
	f.publish(f.Bus, to("a", 4))
	f.full("a")
	f.settled("a", "its new limit", func(s bus.Stats) bool { return s.Depth == 4 && s.Limit == 4 })
}

// What handlers send always fits: they would wait for each other.
func outputsFit(f *fixture) {
	_, _, entered := f.blocking(f.Other, bus.Consumer{Component: "b", QueueLimit: 1})
	f.publish(f.Bus, to("b", 0))
	receive(f, entered, "the call")
	f.full("b")
	f.consume(f.Other, bus.Consumer{Component: "a", QueueLimit: 1,
		Handler: func(ctx context.Context, _ bus.Message) ([]bus.Message, error) {
			return []bus.Message{to("b", 1), to("b", 2), to("a2", 3)}, f.Other.Publish(ctx, to("b", 3))
		}})
	f.publish(f.Bus, to("a", 0))
	f.settled("a", "handled", func(s bus.Stats) bool { return s.Depth == 0 && s.Handled == 1 })
	f.settled("b", "four messages", func(s bus.Stats) bool { return s.Depth == 4 && s.Dead == 0 })
}

func divert(f *fixture) {
	_, open, entered := f.blocking(f.Other, bus.Consumer{Component: "a", QueueLimit: 2, Overflow: bus.Divert})
	out := f.sink(f.Bus, "out")
	f.publish(f.Bus, to("a", 0))
	receive(f, entered, "the call")
	f.publish(f.Bus, to("a", 1))
	f.publish(f.Bus, to("a", 2))
	d := f.dead("a")
	if number(f, d.Message) != 2 || d.Attempts != 0 || !strings.Contains(d.Error, "full") {
		f.Errorf("%+v", d)
	}
	r := f.request(f.Bus, to("a", 3))
	defer r.Close()
	if m, err := f.next(r); err != nil || !strings.Contains(m.Error, "full") || m.Sender != "a" {
		f.Errorf("answer %+v, %v", m, err)
	}
	f.consume(f.Other, bus.Consumer{Component: "b", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
		return []bus.Message{to("a", 4)}, nil
	}})
	f.publish(f.Bus, to("b", 0))
	f.deadLetters("a", 3)
	f.settled("a", "two messages", func(s bus.Stats) bool { return s.Depth == 2 && s.Dead == 3 && s.Buried == 3 })
	open()
	for range 2 {
		receive(f, out, "an output")
	}
	f.drained()
	f.requeue(f.Bus, 1, d.ID)
	if m := receive(f, out, "the output of what was requeued"); number(f, m) != 2 {
		f.Errorf("got %+v", m)
	}
}

// What a component says of retries holds for all that it gets.
func componentRetries(f *fixture) {
	for _, test := range []struct {
		component       string
		says, asks, max int
	}{{"few", 1, 5, 1}, {"none", bus.NoRetries, 5, 0}, {"more", 2, bus.NoRetries, 2}, {"silent", 0, 1, 1}} {
		var calls atomic.Int32
		f.consume(f.Other, bus.Consumer{Component: test.component, MaxRetries: test.says,
			Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
				calls.Add(1)
				if last := m.RetryCount == test.max; m.MaxRetries != test.max || m.LastAttempt() != last {
					f.Errorf("%s: the handler gets %+v", test.component, m)
				}
				return nil, errTest
			}})
		m := to(test.component, 1)
		m.MaxRetries = test.asks
		f.publish(f.Bus, m)
		if d := f.dead(test.component); d.Attempts != test.max+1 || int(calls.Load()) != test.max+1 {
			f.Errorf("%s: after %d calls: %+v", test.component, calls.Load(), d)
		}
	}
}

// So does what it says of the time that messages may wait.
func componentTTL(f *fixture) {
	_, openBrief, brief := f.blocking(f.Other, bus.Consumer{Component: "brief", TTL: time.Second})
	_, openPatient, patient := f.blocking(f.Other, bus.Consumer{Component: "patient", TTL: -1})
	out := f.sink(f.Bus, "out")
	for _, m := range []bus.Message{to("brief", 1), to("patient", 2), to("brief", 3), to("patient", 4)} {
		m.SessionID = "s"
		if m.Target == "patient" {
			m.TTLSeconds = 1
		}
		f.publish(f.Bus, m)
	}
	receive(f, brief, "a call")
	receive(f, patient, "a call")
	<-time.After(1100 * time.Millisecond) // what is tested is that time passes
	openBrief()
	openPatient()
	seen := map[int]bool{}
	for range 3 {
		seen[number(f, receive(f, out, "an output"))] = true
	}
	if d := f.dead("brief"); number(f, d.Message) != 3 || !strings.Contains(d.Error, "ttl is 1s") {
		f.Errorf("%+v", d)
	}
	f.drained()
	if !seen[1] || !seen[2] || !seen[4] || len(f.letters("patient")) != 0 {
		f.Errorf("handled %v; dead %+v", seen, f.letters("patient"))
	}
}
