package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

const patience = 20 * time.Second

func message(target string, n int) bus.Message {
	return bus.Message{Target: target, Payload: json.RawMessage(fmt.Sprint(n))}
}

func publish(t *testing.T, b bus.Bus, ms ...bus.Message) {
	t.Helper()
	if err := b.Publish(t.Context(), ms...); err != nil {
		t.Fatal(err)
	}
}

// consume starts a consumer and waits until it is ready.
func consume(t *testing.T, b bus.Bus, c bus.Consumer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- b.Consume(ctx, c, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("consume: %v", err)
	case <-time.After(patience):
		t.Fatal("consumer isn't ready")
	}
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("consume: %v", err)
			}
		case <-time.After(patience):
			t.Error("Consume doesn't end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// sink consumes a component.
func sink(t *testing.T, b bus.Bus, component string, topics ...string) <-chan bus.Message {
	t.Helper()
	got := make(chan bus.Message, 10_000)
	consume(t, b, bus.Consumer{Component: component, Topics: topics, Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		got <- m
		return nil, nil
	}})
	return got
}

func receive[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
		panic("unreachable")
	}
}

func drained(t *testing.T, b bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if left, err := b.Drain(ctx); err != nil || len(left) > 0 {
		t.Fatalf("drain: left %v, %v", left, err)
	}
}

func raw(t *testing.T, url string) *goredis.Client {
	t.Helper()
	o, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}
