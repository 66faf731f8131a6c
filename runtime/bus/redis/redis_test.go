package redis_test

import (
	"context"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/redis"
	"woodwork.dev/ww/runtime/registry"
)

// fast makes what takes seconds take less.
func fast(url, project string) redis.Options {
	return redis.Options{URL: url, Project: project, Lease: 800 * time.Millisecond,
		Backoff: bus.Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond}}
}

func open(t *testing.T, o redis.Options) *redis.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	b, err := redis.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

func TestSuite(t *testing.T) {
	url := bustest.StartRedis(t)
	bustest.Run(t, func(t *testing.T) bustest.Backend {
		o := fast(url, bus.NewID())
		return bustest.Backend{Bus: open(t, o), Other: open(t, o)}
	})
}

func TestRegistry(t *testing.T) {
	url := bustest.StartRedis(t)
	bustest.RunRegistry(t, func(t *testing.T) registry.Registry {
		return open(t, fast(url, "p")).Registry()
	})
}
