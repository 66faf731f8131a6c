package bustest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"woodwork.dev/ww/runtime/bus"
)

var errTest = errors.New("no luck")

var deliveryTests = map[string]func(*fixture){
	"Delivery":      delivery,
	"UnknownTarget": unknownTarget,
	"Competing":     competing,
	"Concurrency":   concurrency,
	"AtMostOnce":    atMostOnce,
	"OutputsOnce":   outputsOnce,
	"DuplicateID":   duplicateID,
	"Invalid":       invalid,
	"TooLarge":      tooLarge,
}

func delivery(f *fixture) {
	got := f.sink(f.Other, "a")
	want := bus.Message{ID: "m1", SessionID: "s", Type: "t", Payload: raw(map[string]any{"x": "<&>"}),
		Sender: "z", Target: "a", TraceParent: "00-1-2-01", StreamID: "st", ChunkIndex: 3, IsFinal: true}
	f.publish(f.Bus, want)
	m := receive(f, got, "the message")
	if m.CreatedAt.IsZero() || m.Mode != bus.AtLeastOnce || m.Pattern != bus.PointToPoint ||
		m.MaxRetries != bus.DefaultMaxRetries || m.TTLSeconds != bus.DefaultTTLSeconds || m.RetryCount != 0 {
		f.Errorf("defaults: %+v", m)
	}
	want.CreatedAt, want.Mode, want.Pattern, want.MaxRetries, want.TTLSeconds =
		m.CreatedAt, m.Mode, m.Pattern, m.MaxRetries, m.TTLSeconds
	if fmt.Sprintf("%+v", m) != fmt.Sprintf("%+v", want) {
		f.Errorf("got  %+v\nwant %+v", m, want)
	}
	f.drained()
}

func unknownTarget(f *fixture) {
	f.publish(f.Bus, to("late", 1), to("late", 2))
	if s := f.stats("late"); s.Depth != 2 {
		f.Fatalf("depth before the consumer: %+v", s)
	}
	got := f.sink(f.Other, "late")
	for range 2 {
		receive(f, got, "a kept message")
	}
	f.drained()
}

func competing(f *fixture) {
	const n = 40
	both := make(chan struct{})
	var once [2]sync.Once
	var met sync.WaitGroup
	met.Add(2)
	go func() { met.Wait(); close(both) }()
	got := make(chan int, 10*n)
	for i, b := range []bus.Bus{f.Bus, f.Other} {
		f.consume(b, bus.Consumer{Component: "a", Instance: fmt.Sprint("r", i),
			Handler: func(ctx context.Context, m bus.Message) ([]bus.Message, error) {
				// Neither goes on before both have a message.
				once[i].Do(met.Done)
				select {
				case <-both:
				case <-ctx.Done():
				}
				got <- number(f, m)
				return nil, nil
			}})
	}
	for i := range n {
		f.publish(f.Bus, to("a", i))
	}
	seen := map[int]bool{}
	for range n {
		seen[receive(f, got, "a message")] = true
	}
	f.drained()
	nothing(f, got, "message handled twice")
	if len(seen) != n {
		f.Errorf("handled %d of %d", len(seen), n)
	}
}

func concurrency(f *fixture) {
	const limit = 3
	var now, most atomic.Int32
	full := make(chan struct{})
	done := make(chan struct{}, 20)
	f.consume(f.Bus, bus.Consumer{Component: "a", Concurrency: limit,
		Handler: func(ctx context.Context, _ bus.Message) ([]bus.Message, error) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if n == limit {
				select {
				case <-full:
				default:
					close(full)
				}
			}
			select {
			case <-full:
			case <-ctx.Done():
			}
			now.Add(-1)
			done <- struct{}{}
			return nil, nil
		}})
	for i := range 12 {
		f.publish(f.Bus, to("a", i))
	}
	for range 12 {
		receive(f, done, "a handled message")
	}
	if most.Load() != limit {
		f.Errorf("at most %d at the same time, want %d", most.Load(), limit)
	}
}

func atMostOnce(f *fixture) {
	var calls atomic.Int32
	f.consume(f.Bus, bus.Consumer{Component: "a",
		Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
			calls.Add(1)
			return nil, errTest
		}})
	m := to("a", 1)
	m.Mode = bus.AtMostOnce
	f.publish(f.Bus, m)
	d := f.dead("a")
	if d.Attempts != 1 || d.Error != errTest.Error() || calls.Load() != 1 {
		f.Errorf("dead letter %+v after %d calls", d, calls.Load())
	}
	f.drained()

	got := f.sink(f.Other, "b")
	m.Target, m.SessionID = "b", "s"
	f.publish(f.Bus, m, m)
	receive(f, got, "the first")
	receive(f, got, "the second")
}

// However often a message is handled, its outputs are there once.
func outputsOnce(f *fixture) {
	out := f.sink(f.Bus, "out")
	var calls atomic.Int32
	f.consume(f.Other, bus.Consumer{Component: "a",
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			outputs := []bus.Message{to("out", 1), to("out", 2), to("out", 1)}
			if calls.Add(1) < 3 {
				return outputs, errTest
			}
			return outputs, nil
		}})
	in := to("a", 0)
	in.ID, in.SessionID, in.TraceParent = "cause", "s", "00-aa-bb-01"
	f.publish(f.Bus, in)
	ids := map[string]bool{}
	for _, want := range []int{1, 2, 1} {
		m := receive(f, out, "an output")
		ids[m.ID] = true
		if number(f, m) != want || m.SessionID != "s" || m.Sender != "a" || m.TraceParent != in.TraceParent {
			f.Errorf("output: %+v, want payload %d", m, want)
		}
	}
	f.drained()
	nothing(f, out, "output")
	if len(ids) != 3 || calls.Load() != 3 {
		f.Errorf("%d ids, %d calls", len(ids), calls.Load())
	}
}

func duplicateID(f *fixture) {
	got := f.sink(f.Other, "a")
	m := to("a", 1)
	m.ID = "same"
	f.publish(f.Bus, m, m)
	receive(f, got, "the message")
	f.drained()
	f.publish(f.Bus, m)
	f.drained()
	nothing(f, got, "second delivery of an id")
}

func invalid(f *fixture) {
	got := f.sink(f.Other, "a")
	bad := map[string]bus.Message{
		"no target":      {Payload: raw(1)},
		"bad payload":    {Target: "a", Payload: []byte("{")},
		"wildcard topic": on("a.*", 1),
		"bad mode":       {Target: "a", Mode: "twice"},
		"bad name":       {Target: "a b"},
	}
	for name, m := range bad {
		if err := f.Bus.Publish(f.ctx, to("a", 1), m); err == nil {
			f.Errorf("%s: published", name)
		}
	}
	f.drained()
	nothing(f, got, "message published beside an invalid one")
	f.consume(f.Other, bus.Consumer{Component: "b", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
		return []bus.Message{{}}, nil
	}})
	f.publish(f.Bus, to("b", 1))
	if d := f.dead("b"); d.Attempts != 1 {
		f.Errorf("an invalid output: %+v", d)
	}
	if err := f.Bus.Consume(f.ctx, bus.Consumer{Component: "a"}, nil); err == nil {
		f.Error("a consumer without a handler is accepted")
	}
}

func tooLarge(f *fixture) {
	m := to("a", string(make([]byte, bus.MaxMessageBytes)))
	if err := f.Bus.Publish(f.ctx, m); !errors.Is(err, bus.ErrTooLarge) {
		f.Errorf("got %v", err)
	}
	if s := f.stats("a"); s.Depth != 0 {
		f.Errorf("it is queued: %+v", s)
	}
}
