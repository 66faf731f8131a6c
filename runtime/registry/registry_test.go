package registry_test

import (
	"context"
	"errors"
	"sync"
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
		var load atomic.Int32
		p := registry.NewPresence(r, func() registry.Entry {
			return registry.Entry{Name: "a", Instance: "1", State: registry.Ready, Load: float64(load.Load())}
		})
		if err := p.Announce(ctx); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); p.Keep(ctx) }()
		time.Sleep(10*registry.TTL + time.Millisecond) // virtual
		if n, calls := names(t, r), r.calls.Load(); n != 1 || calls != 1+int32(10*registry.TTL/registry.Renew) {
			t.Errorf("later: %d entries after %d announcements", n, calls)
		}
		load.Store(1)
		time.Sleep(time.Second + time.Millisecond)
		if es, err := r.List(ctx); err != nil || es[0].Load != 1 {
			t.Errorf("news: %+v, %v", es, err)
		}
		r.down.Store(true)
		time.Sleep(registry.TTL + registry.Renew)
		if n := names(t, r); n != 0 {
			t.Errorf("while it fails: %d entries", n)
		}
		r.down.Store(false)
		time.Sleep(time.Second + time.Millisecond)
		if n := names(t, r); n != 1 {
			t.Errorf("back again: %d entries", n)
		}
		cancel()
		<-done
		if err := p.Withdraw(t.Context()); err != nil || names(t, r) != 0 {
			t.Errorf("at the end: %d entries, %v", names(t, r), err)
		}
	})
}

// hanging is a registry that takes its time.
type hanging struct {
	*registry.Memory
	came, release chan struct{}
}

func (h *hanging) Announce(ctx context.Context, e registry.Entry) error {
	h.came <- struct{}{}
	<-h.release
	return h.Memory.Announce(ctx, e)
}

// TestTheNewestIsLast: what was on its way is not after what came later, and
// nobody waits longer than they want.
func TestTheNewestIsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &hanging{registry.NewMemory(), make(chan struct{}, 2), make(chan struct{})}
		var state atomic.Value
		state.Store(registry.Ready)
		p := registry.NewPresence(r, func() registry.Entry {
			return registry.Entry{Name: "a", Instance: "1", State: state.Load().(registry.State)}
		})
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- p.Announce(t.Context()) }()
		<-r.came
		state.Store(registry.ShuttingDown)
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := p.Announce(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while another is on its way: %v", err)
		}
		go func() { second <- p.Announce(t.Context()) }()
		close(r.release)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Fatal(err)
		}
		if es, err := r.List(t.Context()); err != nil || es[0].State != registry.ShuttingDown {
			t.Errorf("got %+v, %v", es, err)
		}
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registry.NewMemory()
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var seen [][]registry.Entry
		done := make(chan struct{})
		go func() {
			defer close(done)
			registry.Watch(ctx, r, func(es []registry.Entry) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, es)
			})
		}()
		entries := func() (calls, last int) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return len(seen), len(seen[len(seen)-1])
		}
		step := func(what string, calls int, f func() error) {
			t.Helper()
			if err := f(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // virtual
			if n, _ := entries(); n != calls {
				t.Errorf("%s: called %d times, want %d", what, n, calls)
			}
		}
		e := registry.Entry{Name: "a", Instance: "1", State: registry.Initializing}
		announce := func() error { return r.Announce(ctx, e) }
		step("nothing", 1, func() error { return nil })
		step("the first", 2, announce)
		step("the same", 2, announce)
		e.State = registry.Ready
		step("its state", 3, announce)
		e.Load = 0.5
		step("its load", 4, announce)
		e.Capabilities = []string{"chat"}
		step("its capabilities", 5, announce)
		e.Error = "worn out"
		step("its error", 6, announce)
		step("gone", 7, func() error { return r.Withdraw(ctx, "a", "1") })
		step("back", 8, announce)
		time.Sleep(15*time.Second - time.Second) // since then
		if n, last := entries(); n != 9 || last != 0 {
			t.Errorf("15 s after it died: %d calls, %d entries", n, last)
		}
		cancel()
		<-done
	})
}
