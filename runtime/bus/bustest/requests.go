package bustest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

var requestTests = map[string]func(*fixture){
	"Request":          request,
	"RequestParallel":  requestParallel,
	"RequestChunks":    requestChunks,
	"RequestDeadline":  requestDeadline,
	"RequestClosed":    requestClosed,
	"RequestAgain":     requestAgain,
	"Gather":           gather,
	"GatherConcurrent": gatherConcurrent,
	"GatherExpires":    gatherExpires,
}

// echo answers each request with its payload.
func (f *fixture) echo(b bus.Bus, component string) {
	f.consume(b, bus.Consumer{Component: component, Concurrency: 4,
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			return []bus.Message{{Target: m.ReplyTo, Payload: m.Payload}}, nil
		}})
}

func (f *fixture) request(b bus.Bus, m bus.Message) bus.Replies {
	f.Helper()
	r, err := b.Request(f.ctx, m)
	if err != nil {
		f.Fatalf("request: %v", err)
	}
	return r
}

func (f *fixture) next(r bus.Replies) (bus.Message, error) {
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	defer cancel()
	return r.Next(ctx)
}

func request(f *fixture) {
	f.echo(f.Other, "a")
	r := f.request(f.Bus, to("a", 42))
	defer r.Close()
	m, err := f.next(r)
	if err != nil || number(f, m) != 42 || m.Sender != "a" {
		f.Fatalf("answer %+v, %v", m, err)
	}
	if _, err := f.next(r); err != io.EOF {
		f.Errorf("after the last answer: %v", err)
	}
	f.drained()
}

func requestParallel(f *fixture) {
	f.echo(f.Other, "a")
	var all sync.WaitGroup
	for i := range 30 {
		b := f.Bus
		if i%2 == 0 {
			b = f.Other
		}
		all.Go(func() {
			r, err := b.Request(f.ctx, to("a", i))
			if err != nil {
				f.Errorf("request: %v", err)
				return
			}
			defer r.Close()
			if m, err := f.next(r); err != nil || string(m.Payload) != fmt.Sprint(i) {
				f.Errorf("request %d: answer %s, %v", i, m.Payload, err)
			}
		})
	}
	all.Wait()
}

func requestChunks(f *fixture) {
	const n = 20
	b := f.Other
	f.consume(b, bus.Consumer{Component: "a", Handler: func(ctx context.Context, m bus.Message) ([]bus.Message, error) {
		stream := "st-" + m.ID
		for i := range n {
			c := bus.Message{ID: fmt.Sprint(stream, ".", i), Target: m.ReplyTo, Payload: raw(i), StreamID: stream, ChunkIndex: i}
			if err := b.Publish(ctx, c); err != nil {
				return nil, err
			}
		}
		if m.RetryCount == 0 { // what comes again must not be seen again
			return nil, errTest
		}
		return []bus.Message{{Target: m.ReplyTo, Payload: raw("all"), StreamID: stream, ChunkIndex: n, IsFinal: true}}, nil
	}})
	r := f.request(f.Bus, to("a", 0))
	defer r.Close()
	for i := range n {
		if m, err := f.next(r); err != nil || !m.Chunk() || number(f, m) != i {
			f.Fatalf("chunk %d: %+v, %v", i, m, err)
		}
	}
	if m, err := f.next(r); err != nil || m.Chunk() || string(m.Payload) != `"all"` {
		f.Fatalf("final: %+v, %v", m, err)
	}
	if _, err := f.next(r); err != io.EOF {
		f.Errorf("after the final answer: %v", err)
	}
}

func requestDeadline(f *fixture) {
	r := f.request(f.Bus, to("nobody", 0))
	ctx, cancel := context.WithTimeout(f.ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		f.Errorf("got %v", err)
	}
	if err := r.Close(); err != nil {
		f.Errorf("close: %v", err)
	}
	// The question is still answered; that nobody listens any more is no harm.
	f.echo(f.Other, "nobody")
	f.drained()
	f.echo(f.Other, "a")
	again := f.request(f.Bus, to("a", 1))
	defer again.Close()
	if m, err := f.next(again); err != nil || number(f, m) != 1 {
		f.Errorf("the next request: %+v, %v", m, err)
	}
}

func requestClosed(f *fixture) {
	r := f.request(f.Bus, to("nobody", 0))
	done := make(chan error, 1)
	go func() {
		_, err := r.Next(f.ctx)
		done <- err
	}()
	if err := f.Bus.Close(); err != nil {
		f.Errorf("close: %v", err)
	}
	if err := receive(f, done, "the end of Next"); !errors.Is(err, bus.ErrClosed) {
		f.Errorf("got %v", err)
	}
}

// Whoever asks again, in another process and before or after the answer, has
// the message handled once, and gets the answer to the first question.
func requestAgain(f *fixture) {
	if f.Bus == f.Other {
		f.Skip("this bus lives in one process: nobody outlives it to ask again")
	}
	var handled atomic.Int64
	began, goOn := make(chan struct{}, 2), make(chan struct{})
	f.consume(f.Other, bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		n := handled.Add(1)
		began <- struct{}{}
		<-goOn
		return []bus.Message{{Target: m.ReplyTo, Payload: raw(n)}}, nil
	}})
	ask := func(b bus.Bus, m bus.Message) bus.Replies {
		r := f.request(b, m)
		f.Cleanup(func() { _ = r.Close() })
		return r
	}
	answer := func(when string, r bus.Replies, want int) {
		if got, err := f.next(r); err != nil || number(f, got) != want {
			f.Errorf("%s: answer %+v, %v", when, got, err)
		}
	}
	fresh := func() bus.Message {
		m := to("a", 0)
		m.ID, m.SessionID, m.ReplyTo = bus.NewID(), bus.NewID(), bus.InboxName(bus.NewID(), bus.NewID())
		return m
	}
	m := fresh()
	first := ask(f.Bus, m)
	receive(f, began, "the handler's call")
	during := ask(f.Other, m)
	close(goOn)
	answer("asked first", first, 1)
	answer("asked again during the handler's call", during, 1)
	m = fresh()
	answer("asked first", ask(f.Bus, m), 2)
	answer("asked again after the answer", ask(f.Other, m), 2)
	f.drained()
	if n := handled.Load(); n != 2 {
		f.Errorf("2 messages were handled %d times", n)
	}
}

func gather(f *fixture) {
	put := func(key, part, value string) string {
		all, err := f.Bus.Gather(f.ctx, key, part, json.RawMessage(value), time.Minute)
		if err != nil {
			f.Fatalf("gather: %v", err)
		}
		return string(raw(all))
	}
	for _, step := range []struct{ key, part, value, want string }{
		{"k", "a", `1`, `{"a":1}`},
		{"k", "b", `{"x":[]}`, `{"a":1,"b":{"x":[]}}`},
		{"k", "a", `2`, `{"a":1,"b":{"x":[]}}`},
		{"other", "a", `"<"`, string(raw(map[string]string{"a": "<"}))},
	} {
		if got := put(step.key, step.part, step.value); got != step.want {
			f.Errorf("gather %+v: got %s", step, got)
		}
	}
	if _, err := f.Bus.Gather(f.ctx, "k", "a", nil, 0); err == nil {
		f.Error("a ttl of 0 is accepted")
	}
}

// Of those who bring the parts, at least one sees them all.
func gatherConcurrent(f *fixture) {
	const n = 20
	var all sync.WaitGroup
	sizes := make(chan int, 2*n)
	for i := range 2 * n {
		b := f.Bus
		if i%2 == 0 {
			b = f.Other
		}
		all.Go(func() {
			got, err := b.Gather(f.ctx, "k", fmt.Sprint(i%n), raw(i%n), time.Minute)
			if err != nil {
				f.Errorf("gather: %v", err)
			}
			sizes <- len(got)
		})
	}
	all.Wait()
	close(sizes)
	most := 0
	for s := range sizes {
		most = max(most, s)
	}
	if most != n {
		f.Errorf("the last one sees %d parts of %d", most, n)
	}
}

func gatherExpires(f *fixture) {
	if _, err := f.Bus.Gather(f.ctx, "k", "a", raw(1), time.Millisecond); err != nil {
		f.Fatal(err)
	}
	<-time.After(20 * time.Millisecond) // what is tested is that time passes
	got, err := f.Bus.Gather(f.ctx, "k", "b", raw(1), time.Minute)
	if err != nil || len(got) != 1 {
		f.Errorf("got %v, %v", got, err)
	}
}
