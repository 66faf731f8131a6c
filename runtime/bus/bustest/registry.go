package bustest

import (
	"context"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/registry"
)

// RunRegistry checks a registry; open returns an empty one.
func RunRegistry(t *testing.T, open func(t *testing.T) registry.Registry) {
	t.Run("Registry", func(t *testing.T) {
		ctx, r := t.Context(), open(t)
		list := func() []registry.Entry {
			t.Helper()
			es, err := r.List(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return es
		}
		if es := list(); len(es) != 0 {
			t.Fatalf("not empty: %+v", es)
		}
		started := time.Now().UTC().Truncate(time.Second)
		full := registry.Entry{Name: "b", Kind: "llm", Type: "openai", Instance: "2", Address: "b:8080",
			State: registry.Ready, Started: started, Capabilities: []string{"chat"}, Load: 0.5}
		for _, e := range []registry.Entry{full, {Name: "b", Instance: "1"}, {Name: "a", Instance: "9"}} {
			if err := r.Announce(ctx, e); err != nil {
				t.Fatal(err)
			}
		}
		es := list()
		if len(es) != 3 || es[0].Name != "a" || es[1].Instance != "1" || es[2].Instance != "2" {
			t.Fatalf("list: %+v", es)
		}
		got := es[2]
		if got.Updated.Before(started) || !got.Started.Equal(started) || got.Kind != "llm" || got.Type != "openai" ||
			got.Address != "b:8080" || got.State != registry.Ready || len(got.Capabilities) != 1 || got.Load != 0.5 {
			t.Errorf("entry: %+v", got)
		}
		full.State, full.Error = registry.Failed, "worn out"
		if err := r.Announce(ctx, full); err != nil {
			t.Fatal(err)
		}
		if es := list(); len(es) != 3 || es[2].State != registry.Failed || es[2].Error != "worn out" {
			t.Errorf("announced again: %+v", es)
		}
		for range 2 {
			if err := r.Withdraw(ctx, "b", "2"); err != nil {
				t.Fatal(err)
			}
		}
		if es := list(); len(es) != 2 {
			t.Errorf("withdrawn: %+v", es)
		}
		for _, e := range es[:2] {
			if err := r.Withdraw(ctx, e.Name, e.Instance); err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range []registry.Entry{{Instance: "1"}, {Name: "a"}} {
			if err := r.Announce(ctx, e); err == nil {
				t.Errorf("%+v is announced", e)
			}
		}
	})
	t.Run("Registry Watch", func(t *testing.T) {
		r := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		seen, done := make(chan []registry.Entry, 10), make(chan struct{})
		go func() {
			defer close(done)
			registry.Watch(ctx, r, func(es []registry.Entry) { seen <- es })
		}()
		defer func() {
			cancel()
			<-done
		}()
		next := func() []registry.Entry {
			t.Helper()
			select {
			case es := <-seen:
				return es
			case <-time.After(patience):
				t.Fatal("nothing was seen")
				return nil
			}
		}
		if es := next(); len(es) != 0 {
			t.Fatalf("not empty: %+v", es)
		}
		e := registry.Entry{Name: "a", Instance: "1"}
		for _, s := range []registry.State{registry.Initializing, registry.Ready, registry.Active, registry.ShuttingDown} {
			e.State = s
			if err := r.Announce(ctx, e); err != nil {
				t.Fatal(err)
			}
			if es := next(); len(es) != 1 || es[0].State != s {
				t.Errorf("want %s, got %+v", s, es)
			}
		}
		if err := r.Withdraw(ctx, "a", "1"); err != nil {
			t.Fatal(err)
		}
		if es := next(); len(es) != 0 {
			t.Errorf("withdrawn: %+v", es)
		}
	})
}
