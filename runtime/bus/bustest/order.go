package bustest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"woodwork.dev/ww/runtime/bus"
)

var orderTests = map[string]func(*fixture){
	"OrderPerSession":     orderPerSession,
	"OrderAcrossRetries":  orderAcrossRetries,
	"OrderAcrossReplicas": orderAcrossReplicas,
	"OrderOfChunks":       orderOfChunks,
	"SessionsAtOnce":      sessionsAtOnce,
}

func orderPerSession(f *fixture) {
	const sessions, n = 7, 30
	type event struct {
		session string
		n       int
	}
	got := make(chan event, sessions*n)
	var busy sync.Map
	f.consume(f.Other, bus.Consumer{Component: "a", Concurrency: 4,
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			if _, taken := busy.LoadOrStore(m.SessionID, true); taken {
				f.Errorf("session %s is handled twice at once", m.SessionID)
			}
			got <- event{m.SessionID, number(f, m)}
			busy.Delete(m.SessionID)
			return nil, nil
		}})
	for i := range n {
		for s := range sessions {
			m := to("a", i)
			m.SessionID = fmt.Sprint("s", s)
			f.publish(f.Bus, m)
		}
	}
	next := map[string]int{}
	for range sessions * n {
		e := receive(f, got, "a message")
		if e.n != next[e.session] {
			f.Fatalf("session %s: got %d, want %d", e.session, e.n, next[e.session])
		}
		next[e.session]++
	}
}

// A message that is tried again holds up those behind it in its session.
func orderAcrossRetries(f *fixture) {
	const n = 12
	got := make(chan int, n)
	other := make(chan struct{}, 1)
	f.consume(f.Other, bus.Consumer{Component: "a", Concurrency: 3,
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			if m.SessionID == "free" {
				other <- struct{}{}
				return nil, nil
			}
			i := number(f, m)
			if i%4 == 0 && m.RetryCount < 2 {
				return nil, errTest
			}
			got <- i
			return nil, nil
		}})
	for i := range n {
		m := to("a", i)
		m.SessionID = "s"
		f.publish(f.Bus, m)
	}
	free := to("a", 0)
	free.SessionID = "free"
	f.publish(f.Bus, free)
	receive(f, other, "the message of another session")
	for i := range n {
		if v := receive(f, got, "a message"); v != i {
			f.Fatalf("got %d, want %d", v, i)
		}
	}
	f.drained()
}

// replica consumes a component with a handler that fails now and then, and
// reports what it has handled.
func (f *fixture) replica(b bus.Bus, instance string, busy *sync.Map, got chan<- bus.Message) (stop func()) {
	f.Helper()
	return f.consume(b, bus.Consumer{Component: "a", Instance: instance, Concurrency: 4,
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			if _, taken := busy.LoadOrStore(m.SessionID, true); taken {
				f.Errorf("session %s is handled twice at once", m.SessionID)
			}
			defer busy.Delete(m.SessionID)
			if m.ChunkIndex%7 == 3 && m.RetryCount == 0 {
				return nil, errTest
			}
			got <- m
			return nil, nil
		}})
}

// Sessions keep their order whatever happens to single messages and replicas.
func orderAcrossReplicas(f *fixture) {
	const sessions, n = 6, 45
	got := make(chan bus.Message, 2*sessions*n)
	var busy sync.Map
	next := map[string]int{}
	part := func(from, to int) {
		for i := from; i < to; i++ {
			for s := range sessions {
				f.publish(f.Bus, bus.Message{Target: "a", SessionID: fmt.Sprint("s", s), ChunkIndex: i})
			}
		}
	}
	expect := func(count int) {
		f.Helper()
		for range count {
			m := receive(f, got, "a message")
			if want := next[m.SessionID]; m.ChunkIndex != want {
				f.Fatalf("session %s: got %d, want %d", m.SessionID, m.ChunkIndex, want)
			}
			next[m.SessionID]++
		}
	}
	first := f.replica(f.Bus, "r0", &busy, got)
	f.replica(f.Other, "r1", &busy, got)
	part(0, n/3)
	expect(sessions) // the rest is under way when another one comes
	f.replica(f.Other, "r2", &busy, got)
	part(n/3, 2*n/3)
	expect(sessions)
	first()
	part(2*n/3, n)
	expect(sessions*n - 2*sessions)
	f.drained()
	nothing(f, got, "message handled twice")
}

// A streamed run reaches a component as it was sent, however many replicas.
func orderOfChunks(f *fixture) {
	const n = 60
	got := make(chan bus.Message, 2*n)
	var busy sync.Map
	f.replica(f.Bus, "r0", &busy, got)
	f.replica(f.Other, "r1", &busy, got)
	for i := range n {
		f.publish(f.Bus, bus.Message{Target: "a", SessionID: "s", StreamID: "st", ChunkIndex: i, IsFinal: i == n-1})
	}
	for i := range n {
		if m := receive(f, got, "a chunk"); m.ChunkIndex != i || m.StreamID != "st" || m.Chunk() != (i < n-1) {
			f.Fatalf("chunk %d: got %+v", i, m)
		}
	}
	f.drained()
	nothing(f, got, "chunk handled twice")
}

// A session that takes long holds up none of the others.
func sessionsAtOnce(f *fixture) {
	const sessions = 4
	_, open, entered := f.blocking(f.Other, bus.Consumer{Component: "a", Concurrency: sessions})
	out := f.sink(f.Bus, "out")
	var want []string
	for s := range sessions {
		want = append(want, fmt.Sprint("s", s))
		for range 2 {
			m := to("a", s)
			m.SessionID = want[s]
			f.publish(f.Bus, m)
		}
	}
	var inside []string
	for range sessions {
		inside = append(inside, receive(f, entered, "the call").SessionID)
	}
	slices.Sort(inside)
	if !slices.Equal(inside, want) {
		f.Errorf("inside are %v", inside)
	}
	nothing(f, entered, "second call for a session")
	open()
	for range 2 * sessions {
		receive(f, out, "an output")
	}
}
