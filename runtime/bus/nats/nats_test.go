package nats_test

import (
	"context"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/nats"
	"woodwork.dev/ww/runtime/bus/nats/embedded"
	"woodwork.dev/ww/runtime/registry"
)

// fast makes what takes seconds take less.
func fast(url, project string) nats.Options {
	return nats.Options{URL: url, Project: project, Lease: time.Second,
		Backoff: bus.Backoff{Min: time.Millisecond, Max: 10 * time.Millisecond}}
}

func open(t *testing.T, o nats.Options) *nats.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	b, err := nats.Open(ctx, o)
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

func start(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	s, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func suite(t *testing.T, url string) {
	bustest.Run(t, func(t *testing.T) bustest.Backend {
		o := fast(url, bus.NewID())
		return bustest.Backend{Bus: open(t, o), Other: open(t, o)}
	})
}

func TestSuiteEmbedded(t *testing.T) { suite(t, start(t, embedded.Options{}).URL()) }

func TestSuiteServer(t *testing.T) { suite(t, bustest.StartNATS(t)) }

func TestRegistry(t *testing.T) {
	url := start(t, embedded.Options{MemoryOnly: true}).URL()
	bustest.RunRegistry(t, func(t *testing.T) registry.Registry { return open(t, fast(url, "p")).Registry() })
}
