package bustest

import (
	"context"
	"slices"
	"strings"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

var operatorTests = map[string]func(*fixture){
	"Stats":          stats,
	"StatsCounters":  statsCounters,
	"StatsConsumers": statsConsumers,
	"Tail":           tail,
	"TailAll":        tailAll,
	"Trace":          trace,
}

func stats(f *fixture) {
	before := time.Now()
	for i := range 3 {
		f.publish(f.Bus, to("a", i))
	}
	f.settled("a", "three waiting", func(s bus.Stats) bool {
		return s.Depth == 3 && s.Lag == 3 && s.InFlight == 0 && s.Delayed == 0 && s.Dead == 0 && s.Consumers == 0
	})
	f.settled("a", "getting older", func(s bus.Stats) bool { return s.Oldest > 0.05 })
	const clocks = time.Second // at most between a server's and this one
	if s := f.stats("a"); s.Oldest > (time.Since(before) + clocks).Seconds() {
		f.Errorf("older than they can be: %+v", s)
	}
	_, open, entered := f.blocking(f.Other, bus.Consumer{Component: "a"})
	receive(f, entered, "the call")
	f.settled("a", "one in flight", func(s bus.Stats) bool {
		return s.Depth == 3 && s.InFlight >= 1 && s.Lag+s.InFlight+s.Delayed == 3 && s.Dead == 0
	})
	f.sink(f.Bus, "out")
	open()
	f.drained()
	f.settled("a", "empty", func(s bus.Stats) bool { return empty(s) && s.Dead == 0 && s.Handled == 3 })
}

func statsCounters(f *fixture) {
	f.consume(f.Other, bus.Consumer{Component: "a",
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			switch n := number(f, m); {
			case n == 0, n == 1 && m.RetryCount < 2:
				return nil, errTest
			}
			return nil, nil
		}})
	for i := range 5 {
		m := to("a", i)
		m.MaxRetries, m.ID = 2, string(rune('a'+i))
		f.publish(f.Bus, m)
	}
	f.drained()
	again := to("a", 3)
	again.ID = "d"
	f.publish(f.Bus, again) // handled before: it doesn't count
	f.drained()
	f.settled("a", "four handled, four retried, one dead", func(s bus.Stats) bool {
		return empty(s) && s.Handled == 4 && s.Retried == 4 && s.Buried == 1 && s.Dead == 1
	})
}

func statsConsumers(f *fixture) {
	none := func(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }
	stop := f.consume(f.Bus, bus.Consumer{Component: "a", Handler: none})
	f.settled("a", "one consumer", func(s bus.Stats) bool { return s.Consumers == 1 && s.Limit == 0 })
	f.consume(f.Other, bus.Consumer{Component: "a", Concurrency: 3, Handler: none})
	f.settled("a", "two consumers", func(s bus.Stats) bool { return s.Consumers == 2 })
	stop()
	f.settled("a", "the other consumer", func(s bus.Stats) bool { return s.Consumers == 1 })
}

// tail watches and returns what there is to see, and how to stop it.
func (f *fixture) tail(b bus.Bus, w bus.Watch) (<-chan bus.Message, func()) {
	f.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	seen := make(chan bus.Message, 1000)
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- b.Tail(ctx, w, func() { close(ready) }, func(m bus.Message) { seen <- m }) }()
	stopped := false
	stop := func() {
		f.Helper()
		cancel()
		if stopped {
			return
		}
		stopped = true
		if err := receive(f, done, "the end of Tail"); err != nil {
			f.Errorf("tail: %v", err)
		}
	}
	f.stops = append(f.stops, stop)
	receive(f, ready, "the beginning of Tail")
	return seen, stop
}

// numbers receives payloads up to one and returns them, sorted.
func (f *fixture) numbers(ch <-chan bus.Message, last int) (out []int) {
	f.Helper()
	for {
		n := number(f, receive(f, ch, "a message to watch"))
		out = append(out, n)
		if n == last {
			slices.Sort(out)
			return out
		}
	}
}

func tail(f *fixture) {
	got := f.sink(f.Bus, "a", "t.x")
	f.publish(f.Bus, to("a", 0), on("t.x", 0)) // before anyone watches
	for range 2 {
		receive(f, got, "what comes before")
	}
	component, _ := f.tail(f.Other, bus.Watch{Components: []string{"a", "z"}})
	pattern, stop := f.tail(f.Other, bus.Watch{Topics: []string{"t.*"}})
	both, _ := f.tail(f.Bus, bus.Watch{Components: []string{"b"}, Topics: []string{"u.>"}})
	f.publish(f.Bus, to("a", 1), to("b", 2), on("t.x", 3), on("u.x.y", 4), on("t.unheard", 5), to("c", 6))
	f.publish(f.Bus, to("a", 90))
	f.publish(f.Bus, on("t.x", 91))
	f.publish(f.Bus, to("b", 92))
	for _, w := range []struct {
		name string
		ch   <-chan bus.Message
		want []int
	}{
		{"components", component, []int{1, 90}},
		{"topics", pattern, []int{3, 5, 91}},
		{"both", both, []int{2, 4, 92}},
	} {
		if seen := f.numbers(w.ch, w.want[len(w.want)-1]); !slices.Equal(seen, w.want) {
			f.Errorf("%s: saw %v, want %v", w.name, seen, w.want)
		}
	}
	stop()
	f.publish(f.Bus, on("t.x", 6), to("a", 93))
	f.numbers(component, 93)
	nothing(f, pattern, "message after the end")
	var handled []int // watching changes nothing
	for range 6 {
		handled = append(handled, number(f, receive(f, got, "a message")))
	}
	slices.Sort(handled)
	if want := []int{1, 3, 6, 90, 91, 93}; !slices.Equal(handled, want) {
		f.Errorf("handled %v, want %v", handled, want)
	}
	f.settled("a", "empty", empty)
	nothing(f, got, "copy of what was watched")
}

// Who watches all sees what handlers send, and the answers to requests.
func tailAll(f *fixture) {
	f.consume(f.Other, bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		return []bus.Message{to("out", 2), on("nobody.listens", 3), {Target: m.ReplyTo, Payload: raw(4)}}, nil
	}})
	all, _ := f.tail(f.Other, bus.Watch{})
	r := f.request(f.Bus, to("a", 1))
	defer r.Close()
	answer, err := f.next(r)
	if err != nil {
		f.Fatalf("answer: %v", err)
	}
	seen := map[int]bus.Message{}
	for range 4 {
		m := receive(f, all, "a message to watch")
		seen[number(f, m)] = m
	}
	if seen[1].Target != "a" || seen[2].Target != "out" || seen[2].Sender != "a" || seen[3].Type != "nobody.listens" ||
		seen[4].ID != answer.ID || seen[4].Target != seen[1].ReplyTo {
		f.Errorf("saw %+v", seen)
	}
}

// hops waits for the hops of a session.
func (f *fixture) hops(session string, n int) []bus.Hop {
	f.Helper()
	var hops []bus.Hop
	f.until("the hops of "+session, func() bool {
		var err error
		if hops, err = f.Other.Trace(f.ctx, session); err != nil {
			f.Fatalf("trace: %v", err)
		}
		return len(hops) >= n
	})
	if len(hops) != n {
		f.Fatalf("session %s: want %d hops, got %+v", session, n, hops)
	}
	return hops
}

func trace(f *fixture) {
	f.consume(f.Other, bus.Consumer{Component: "a", Instance: "a1",
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			switch {
			case m.SessionID == "bad":
				return nil, bus.Permanent(errTest)
			case m.RetryCount == 0:
				return nil, errTest
			}
			return []bus.Message{to("b", 1), on("t.x", 2)}, nil
		}})
	got := f.sink(f.Bus, "b")
	m := to("a", 0)
	m.ID, m.SessionID, m.Sender, m.Type = "first", "good", "me", "question"
	before := time.Now()
	f.publish(f.Bus, m)
	output := receive(f, got, "the output")
	f.publish(f.Bus, m) // handled before: no hop
	bad := m
	bad.ID, bad.SessionID, bad.ReplyTo = "second", "bad", bus.InboxName(bus.NewID(), "second")
	f.publish(f.Bus, bad)
	piece := to("b", 3)
	piece.SessionID, piece.StreamID, piece.Mode = "good", "stream", bus.AtMostOnce
	f.publish(f.Bus, piece)
	receive(f, got, "the piece")
	f.drained()

	hops := f.hops("good", 3)
	for i, want := range []bus.Hop{
		{Message: "first", Type: "question", Sender: "me", Component: "a", Instance: "a1", Attempt: 1, Outcome: bus.Retry, Error: errTest.Error()},
		{Message: "first", Type: "question", Sender: "me", Component: "a", Instance: "a1", Attempt: 2, Outcome: bus.Done, Outputs: []string{"b", "t.x"}},
		{Message: output.ID, Type: output.Type, Sender: "a", Component: "b", Instance: hops[2].Instance, Attempt: 1, Outcome: bus.Done},
	} {
		f.checkHop(hops[i], want, "good", before)
	}
	if hops[2].Instance == "" || !hops[0].Queued.Equal(hops[1].Queued) {
		f.Errorf("hops %+v", hops)
	}
	f.checkHop(f.hops("bad", 1)[0], bus.Hop{Message: "second", Type: "question", Sender: "me", Component: "a", Instance: "a1",
		Attempt: 1, Outcome: bus.Dead, Error: errTest.Error(), Outputs: []string{bad.ReplyTo}}, "bad", before)
	if hops, err := f.Bus.Trace(f.ctx, "unknown"); err != nil || len(hops) != 0 {
		f.Errorf("of an unknown session: %+v, %v", hops, err)
	}
}

// checkHop compares hops; times only by what must be true of them.
func (f *fixture) checkHop(got, want bus.Hop, session string, before time.Time) {
	f.Helper()
	const clocks = time.Second // at most between a server's and this one
	if got.Queued.Before(before.Add(-clocks)) || got.Began.Before(got.Queued.Add(-clocks)) || got.Ended.Before(got.Began) ||
		got.Ended.After(time.Now().Add(clocks)) {
		f.Errorf("times of %+v", got)
	}
	if got.Session != session || got.Message != want.Message || got.Type != want.Type || got.Sender != want.Sender ||
		got.Component != want.Component || got.Instance != want.Instance || got.Attempt != want.Attempt ||
		got.Outcome != want.Outcome || !strings.Contains(got.Error, want.Error) || (got.Error == "") != (want.Error == "") ||
		!slices.Equal(got.Outputs, want.Outputs) {
		f.Errorf("got  %+v\nwant %+v", got, want)
	}
}
