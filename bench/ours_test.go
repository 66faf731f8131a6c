package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/memory"
	"woodwork.dev/ww/runtime/bus/redis"
)

// load is how messages are spread; 0 is 1, and no session.
type load struct {
	processes  int // as many publish, and as many consume
	components int
	sessions   int
}

const publishers = 64 // goroutines of a process

func memoryBus(l load) system {
	return func(t *testing.T, n int) time.Duration {
		b := memory.New(memory.Options{})
		defer closeBus(t, b)
		return l.measure(t, []bus.Bus{b}, []bus.Bus{b}, n)
	}
}

func redisBus(server *bustest.Redis, l load) system {
	return func(t *testing.T, n int) time.Duration {
		project := bus.NewID()
		var all []bus.Bus
		for range 2 * max(l.processes, 1) {
			b := openRedis(t, server, project)
			defer closeBus(t, b)
			all = append(all, b)
		}
		d := l.measure(t, all[:len(all)/2], all[len(all)/2:], n)
		flush(t, server)
		return d
	}
}

func openRedis(t *testing.T, server *bustest.Redis, project string) bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := redis.Open(ctx, redis.Options{URL: server.URL, Project: project})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func closeBus(t *testing.T, b bus.Bus) {
	if err := b.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// measure publishes n messages and returns how long it took until they were
// handled, and nothing was left on the bus. A tenth of them goes before, so
// that all know each other.
func (l load) measure(t *testing.T, from, to []bus.Bus, n int) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var handled atomic.Int64
	var consumers sync.WaitGroup
	defer consumers.Wait()
	consuming, stop := context.WithCancel(ctx)
	defer stop()
	var ready sync.WaitGroup
	for _, b := range to {
		for c := range max(l.components, 1) {
			ready.Add(1)
			consumers.Go(func() {
				err := b.Consume(consuming, bus.Consumer{Component: component(c), Concurrency: 8,
					Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
						handled.Add(1)
						return nil, nil
					}}, ready.Done)
				if err != nil {
					t.Errorf("consume: %v", err)
				}
			})
		}
	}
	ready.Wait()
	l.send(ctx, t, from, n/10)
	handled.Store(0)
	start := time.Now()
	l.send(ctx, t, from, n)
	took := time.Since(start)
	if got := handled.Load(); got != int64(n) {
		t.Fatalf("handled %d of %d messages", got, n)
	}
	return took
}

// send publishes n messages and waits until nothing is left of them.
func (l load) send(ctx context.Context, t *testing.T, from []bus.Bus, n int) {
	t.Helper()
	text := payload()
	var next atomic.Int64
	var all sync.WaitGroup
	for _, b := range from {
		for range publishers {
			all.Go(func() {
				for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
					m := bus.Message{Target: component(i % max(l.components, 1)), Payload: text}
					if l.sessions > 0 {
						m.SessionID = fmt.Sprint("session ", i%l.sessions)
					}
					if err := b.Publish(ctx, m); err != nil {
						t.Errorf("publish: %v", err)
						return
					}
				}
			})
		}
	}
	all.Wait()
	if left, err := from[0].Drain(ctx); err != nil || len(left) > 0 {
		t.Fatalf("drain: left %v, %v", left, err)
	}
}

func component(i int) string {
	if i == 0 {
		return "sink"
	}
	return fmt.Sprint("sink", i)
}

// trips returns how long each of n requests took from question to answer, one
// after the other.
type trips func(t *testing.T, n int) []time.Duration

func redisTrips(server *bustest.Redis) trips {
	return func(t *testing.T, n int) []time.Duration {
		project := bus.NewID()
		asks, answers := openRedis(t, server, project), openRedis(t, server, project)
		defer closeBus(t, asks)
		defer closeBus(t, answers)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		ready, done := make(chan struct{}), make(chan error, 1)
		consuming, stop := context.WithCancel(ctx)
		go func() {
			done <- answers.Consume(consuming, bus.Consumer{Component: "echo",
				Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
					return []bus.Message{{Target: m.ReplyTo, Payload: m.Payload}}, nil
				}}, func() { close(ready) })
		}()
		<-ready
		text := payload()
		out := timed(t, n, func() error {
			r, err := asks.Request(ctx, bus.Message{Target: "echo", Payload: text})
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = r.Next(ctx)
			return err
		})
		stop()
		if err := <-done; err != nil {
			t.Errorf("consume: %v", err)
		}
		flush(t, server)
		return out
	}
}

// timed calls a function n times, and some times before that don't count.
func timed(t *testing.T, n int, call func() error) []time.Duration {
	t.Helper()
	var out []time.Duration
	for i := range n + n/10 {
		start := time.Now()
		if err := call(); err != nil {
			t.Fatal(err)
		}
		if i >= n/10 {
			out = append(out, time.Since(start))
		}
	}
	return out
}
