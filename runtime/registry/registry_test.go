package registry_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/registry"
)

func TestMemory(t *testing.T) {
	bustest.RunRegistry(t, func(*testing.T) registry.Registry { return registry.NewMemory() })
}

func names(t *testing.T, r registry.Registry) int {
	t.Helper()
	es, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(es)
}

func TestMemoryExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registry.NewMemory()
		if err := r.Announce(t.Context(), registry.Entry{Name: "a", Instance: "1"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(registry.TTL) // virtual
		if n := names(t, r); n != 1 {
			t.Errorf("at its TTL: %d entries", n)
		}
		time.Sleep(time.Millisecond)
		if n := names(t, r); n != 0 {
			t.Errorf("after its TTL: %d entries", n)
		}
	})
}

// flaky fails as long as it is told to.
type flaky struct {
	*registry.Memory
	down  atomic.Bool
	calls atomic.Int32
}

func (f *flaky) Announce(ctx context.Context, e registry.Entry) error {
	f.calls.Add(1)
	if f.down.Load() {
		return errors.New("down")
	}
	return f.Memory.Announce(ctx, e)
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &flaky{Memory: registry.NewMemory()}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- registry.Keep(ctx, r, func() registry.Entry {
				return registry.Entry{Name: "a", Instance: "1", State: registry.Ready}
			})
		}()
		synctest.Wait()
		if n := names(t, r); n != 1 {
			t.Errorf("at once: %d entries", n)
		}
		time.Sleep(10*registry.TTL + time.Second) // virtual
		if n := names(t, r); n != 1 {
			t.Errorf("later: %d entries", n)
		}
		r.down.Store(true)
		time.Sleep(registry.TTL + registry.Renew)
		if n := names(t, r); n != 0 {
			t.Errorf("while it fails: %d entries", n)
		}
		r.down.Store(false)
		time.Sleep(2 * time.Second)
		if n := names(t, r); n != 1 {
			t.Errorf("back again: %d entries", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := names(t, r); n != 0 {
			t.Errorf("at the end: %d entries", n)
		}
	})
}

func TestKeepEndedBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &flaky{Memory: registry.NewMemory()}
	if err := registry.Keep(ctx, r, func() registry.Entry { return registry.Entry{Name: "a", Instance: "1"} }); err != nil {
		t.Error(err)
	}
	if n := r.calls.Load(); n != 0 {
		t.Errorf("announced %d times", n)
	}
}
