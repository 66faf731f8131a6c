package bustest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

var deadTests = map[string]func(*fixture){
	"Requeue":           requeue,
	"RequeueAtMostOnce": requeueAtMostOnce,
	"RequeueEnds":       requeueEnds,
	"RequeueTogether":   requeueTogether,
	"Discard":           discard,
	"ErrorReplies":      errorReplies,
	"ErrorReplyOnce":    errorReplyOnce,
	"NobodyConsumes":    nobodyConsumes,
	"NobodyConsumesTTL": nobodyConsumesTTL,
}

// mended consumes component a with a handler that fails until it is told not
// to; then it reports what it gets.
func (f *fixture) mended() (mend func(), got chan bus.Message) {
	var good atomic.Bool
	got = make(chan bus.Message, 1000)
	f.consume(f.Other, bus.Consumer{Component: "a", Concurrency: 4,
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			if !good.Load() {
				return nil, errTest
			}
			got <- m
			return nil, nil
		}})
	return func() { good.Store(true) }, got
}

func (f *fixture) requeue(b bus.Bus, want int, ids ...string) {
	f.Helper()
	if n, err := b.Requeue(f.ctx, "a", ids...); err != nil || n != want {
		f.Fatalf("requeue %q: moved %d, %v; want %d", ids, n, err, want)
	}
}

func requeue(f *fixture) {
	mend, got := f.mended()
	for i := range 3 {
		m := to("a", i)
		m.MaxRetries, m.TTLSeconds, m.SessionID = 1, 1, fmt.Sprint("s", i)
		f.publish(f.Bus, m)
	}
	ds := f.deadLetters("a", 3)
	if ds[0].ID == "" || ds[0].ID == ds[1].ID || ds[1].ID == ds[2].ID || ds[0].ID == ds[2].ID {
		f.Fatalf("ids: %q, %q, %q", ds[0].ID, ds[1].ID, ds[2].ID)
	}
	mend()
	<-time.After(1100 * time.Millisecond) // their ttl; what is tested is that they get another
	f.requeue(f.Bus, 1, ds[1].ID, "unknown")
	m := receive(f, got, "the message")
	if m.RetryCount != 0 || m.ID != ds[1].Message.ID || string(m.Payload) != string(ds[1].Message.Payload) {
		f.Errorf("got %+v, want %+v", m, ds[1].Message)
	}
	f.drained()
	if left := f.deadLetters("a", 2); left[0].ID != ds[0].ID || left[1].ID != ds[2].ID {
		f.Errorf("left: %+v", left)
	}
	f.requeue(f.Other, 0, ds[1].ID)
	f.requeue(f.Other, 2)
	for range 2 {
		if m := receive(f, got, "a message"); m.RetryCount != 0 {
			f.Errorf("got %+v", m)
		}
	}
	f.drained()
	f.requeue(f.Bus, 0)
	nothing(f, got, "message handled twice")
	if n, err := f.Bus.Requeue(f.ctx, "unknown"); n != 0 || err != nil {
		f.Errorf("of an unknown component: %d, %v", n, err)
	}
	f.settled("a", "no dead letter, three buried", func(s bus.Stats) bool {
		return empty(s) && s.Dead == 0 && s.Buried == 3 && s.Handled == 3
	})
}

// It was acknowledged before its handler was called: that must not count.
func requeueAtMostOnce(f *fixture) {
	mend, got := f.mended()
	m := to("a", 1)
	m.Mode = bus.AtMostOnce
	f.publish(f.Bus, m)
	d := f.dead("a")
	mend()
	f.requeue(f.Bus, 1, d.ID)
	if m := receive(f, got, "the message"); m.ID != d.Message.ID {
		f.Errorf("got %+v", m)
	}
	f.drained()
}

func requeueTogether(f *fixture) {
	const n, callers = 30, 6
	mend, got := f.mended()
	for i := range n {
		m := to("a", i)
		m.MaxRetries = bus.NoRetries
		f.publish(f.Bus, m)
	}
	f.deadLetters("a", n)
	mend()
	var moved atomic.Int64
	var all sync.WaitGroup
	for i := range callers {
		b := f.Bus
		if i%2 == 0 {
			b = f.Other
		}
		all.Go(func() {
			k, err := b.Requeue(f.ctx, "a")
			if err != nil {
				f.Errorf("requeue: %v", err)
			}
			moved.Add(int64(k))
		})
	}
	all.Wait()
	if moved.Load() != n {
		f.Errorf("moved %d of %d", moved.Load(), n)
	}
	seen := map[int]bool{}
	for range n {
		seen[number(f, receive(f, got, "a message"))] = true
	}
	f.drained()
	nothing(f, got, "message handled twice")
	if len(seen) != n || len(f.letters("a")) != 0 {
		f.Errorf("handled %d of %d, %d dead", len(seen), n, len(f.letters("a")))
	}
}

func discard(f *fixture) {
	_, got := f.mended()
	for i := range 3 {
		m := to("a", i)
		m.MaxRetries = bus.NoRetries
		f.publish(f.Bus, m)
	}
	ds := f.deadLetters("a", 3)
	for _, step := range []struct {
		ids     []string
		n, left int
	}{{[]string{ds[0].ID, "unknown", ds[0].ID}, 1, 2}, {[]string{ds[0].ID}, 0, 2}, {nil, 2, 0}, {nil, 0, 0}} {
		if n, err := f.Other.Discard(f.ctx, "a", step.ids...); err != nil || n != step.n {
			f.Errorf("discard %q: %d, %v; want %d", step.ids, n, err, step.n)
		}
		if left := f.letters("a"); len(left) != step.left {
			f.Errorf("after discard %q: %+v", step.ids, left)
		}
	}
	if n, err := f.Bus.Discard(f.ctx, "unknown"); n != 0 || err != nil {
		f.Errorf("of an unknown component: %d, %v", n, err)
	}
	f.requeue(f.Bus, 0)
	f.settled("a", "no dead letter, three buried", func(s bus.Stats) bool { return empty(s) && s.Dead == 0 && s.Buried == 3 })
	nothing(f, got, "discarded message")
}

// Who waits for an answer learns why there is none.
func errorReplies(f *fixture) {
	f.sink(f.Other, "other") // or nothing expires
	fails := func(c bus.Consumer, h bus.Handler) bus.Consumer { c.Handler = h; return c }
	for component, test := range map[string]struct {
		consumer bus.Consumer
		want     string
	}{
		"fails": {fails(bus.Consumer{MaxRetries: 1}, func(context.Context, bus.Message) ([]bus.Message, error) {
			return nil, errTest
		}), errTest.Error()},
		"refuses": {fails(bus.Consumer{}, func(context.Context, bus.Message) ([]bus.Message, error) {
			return nil, bus.Permanent(errors.New("never"))
		}), "never"},
		"panics": {fails(bus.Consumer{MaxRetries: bus.NoRetries}, func(context.Context, bus.Message) ([]bus.Message, error) {
			panic("boom")
		}), "boom"},
		"hangs": {fails(bus.Consumer{MaxRetries: bus.NoRetries, Timeout: 10 * time.Millisecond},
			func(ctx context.Context, _ bus.Message) ([]bus.Message, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}), "longer than 10ms"},
		"wrong": {fails(bus.Consumer{}, func(context.Context, bus.Message) ([]bus.Message, error) {
			return []bus.Message{{Target: "a b"}}, nil
		}), "target_component"},
		"nobody": {want: "expired"},
	} {
		if test.consumer.Handler != nil {
			test.consumer.Component = component
			f.consume(f.Other, test.consumer)
		}
		m := to(component, 1)
		m.TTLSeconds = 1
		if test.consumer.Handler != nil {
			m.TTLSeconds = 60
		}
		m.SessionID, m.TraceParent = "s", "00-aa-bb-01"
		r := f.request(f.Bus, m)
		f.stops = append(f.stops, func() { _ = r.Close() })
		a, err := f.next(r)
		if err != nil || !strings.Contains(a.Error, test.want) || !strings.Contains(a.Error, component) ||
			a.Sender != component || a.SessionID != "s" || a.TraceParent != m.TraceParent || a.Chunk() {
			f.Errorf("%s: answer %+v, %v; want error %q", component, a, err, test.want)
		}
		if _, err := f.next(r); err != io.EOF {
			f.Errorf("%s: after the answer: %v", component, err)
		}
		f.dead(component)
	}
	f.drained()
}

// An answer that was given stays the answer, though its message comes again;
// chunks wait for no answer of their own.
func errorReplyOnce(f *fixture) {
	f.failing(bus.Consumer{Component: "a", MaxRetries: 1}, errTest)
	all, stop := f.tail(f.Other, bus.Watch{})
	r := f.request(f.Bus, to("a", 1))
	defer r.Close()
	if a, err := f.next(r); err != nil || a.Error == "" {
		f.Errorf("answer %+v, %v", a, err)
	}
	asked := receive(f, all, "the request")
	reply := receive(f, all, "the answer")
	if reply.Target != asked.ReplyTo || reply.Error == "" {
		f.Errorf("got %+v", reply)
	}
	f.dead("a")
	chunk := to("b", 1)
	chunk.StreamID, chunk.ReplyTo = "st", asked.ReplyTo
	f.failing(bus.Consumer{Component: "b", MaxRetries: bus.NoRetries}, errTest)
	f.publish(f.Bus, chunk)
	f.dead("b")
	f.publish(f.Bus, to("end", 1))
	receive(f, all, "the chunk")
	if m := receive(f, all, "the end"); m.Target != "end" {
		f.Errorf("got %+v", m)
	}
	stop()
}

// What nobody takes expires all the same, as long as anyone consumes anything.
func nobodyConsumes(f *fixture) {
	f.sink(f.Other, "other")
	f.consume(f.Other, bus.Consumer{Component: "left", Topics: []string{"t"},
		Handler: func(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }})()
	brief := func(m bus.Message) bus.Message { m.TTLSeconds = 1; return m }
	stays := to("ghost", 2)
	stays.TTLSeconds, stays.SessionID = bus.NoExpiry, "s"
	first, last := brief(to("ghost", 1)), brief(to("ghost", 3))
	first.SessionID, last.SessionID = "s", "s"
	f.publish(f.Bus, first, stays, last, brief(on("t", 4)))
	for _, d := range append(f.deadLetters("ghost", 2), f.dead("left")) {
		if !strings.Contains(d.Error, "expired") || d.Attempts != 0 {
			f.Errorf("%+v", d)
		}
	}
	f.settled("ghost", "one message", func(s bus.Stats) bool { return s.Depth == 1 && s.Lag == 1 && s.Dead == 2 && s.Buried == 2 })
	got := f.sink(f.Other, "ghost")
	if m := receive(f, got, "what stays"); number(f, m) != 2 {
		f.Errorf("got %+v", m)
	}
	f.drained()
	nothing(f, got, "expired message")
}

// What a component has said of the time that its messages may wait holds when
// it is gone as well.
func nobodyConsumesTTL(f *fixture) {
	f.sink(f.Other, "other")
	idle := func(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }
	f.consume(f.Other, bus.Consumer{Component: "brief", TTL: time.Second, Handler: idle})()
	f.consume(f.Other, bus.Consumer{Component: "patient", TTL: -1, Handler: idle})()
	patient := to("patient", 2)
	patient.TTLSeconds = 1
	f.publish(f.Bus, to("brief", 1), patient)
	if d := f.dead("brief"); number(f, d.Message) != 1 || !strings.Contains(d.Error, "ttl is 1s") {
		f.Errorf("%+v", d)
	}
	if got := f.letters("patient"); len(got) != 0 {
		f.Errorf("what may wait for ever is dead: %+v", got)
	}
	got := make(chan bus.Message, 1)
	f.consume(f.Other, bus.Consumer{Component: "patient", TTL: -1, Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		got <- m
		return nil, nil
	}})
	if m := receive(f, got, "what may wait for ever"); number(f, m) != 2 {
		f.Errorf("got %+v", m)
	}
}

// What dies again while all are requeued isn't requeued again.
func requeueEnds(f *fixture) {
	const n = 300
	f.consume(f.Other, bus.Consumer{Component: "a", Concurrency: 8, Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
		return nil, bus.Permanent(errTest)
	}})
	for i := range n {
		f.publish(f.Bus, to("a", i))
	}
	f.drained()
	f.requeue(f.Bus, n)
	f.drained()
	f.settled("a", "all dead again", func(s bus.Stats) bool { return empty(s) && s.Dead == n && s.Buried == 2*n })
}
