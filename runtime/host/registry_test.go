package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/registry"
)

// entry returns the only entry of the system's registry.
func (s *system) entry() registry.Entry {
	s.t.Helper()
	es, err := s.registry.List(context.Background())
	if err != nil || len(es) != 1 {
		s.t.Errorf("the registry has %+v, %v", es, err)
		return registry.Entry{}
	}
	return es[0]
}

// TestStates: the registry has every state that a component goes through.
func TestStates(t *testing.T) {
	s := newSystem(t)
	release := make(chan struct{})
	o := s.options(component.Config{Name: "c"}, func(context.Context, component.Env) (*component.Instance, error) {
		if e := s.entry(); e.State != registry.Initializing || e.Name != "c" || len(e.Capabilities) != 0 {
			t.Errorf("while it is built: %+v", e)
		}
		return &component.Instance{
			Capabilities: []string{"wait"},
			Routes:       http.NotFoundHandler(),
			Handle: func(context.Context, bus.Message, component.Out) (json.RawMessage, error) {
				<-release
				return nil, nil
			},
		}, nil
	})
	o.Concurrency, o.Grace = 4, patience
	r := start(t, o)
	if e := s.entry(); e.State != registry.Ready || !slices.Equal(e.Capabilities, []string{"wait", "messages", "http"}) || e.Load != 0 {
		t.Errorf("when it is ready: %+v", e)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.bus.Publish(ctx, bus.Message{Payload: json.RawMessage(`1`), Target: "c"}); err != nil {
		t.Fatal(err)
	}
	watch(t, s.registry, func(es []registry.Entry) bool {
		return len(es) == 1 && es[0].State == registry.Active && es[0].Load == 0.25
	})
	r.cancel()
	watch(t, s.registry, func(es []registry.Entry) bool { return len(es) == 1 && es[0].State == registry.ShuttingDown })
	close(release)
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	if es, err := s.registry.List(ctx); err != nil || len(es) != 0 {
		t.Errorf("at the end: %+v, %v", es, err)
	}
}

func TestFailureIsInTheRegistry(t *testing.T) {
	for name, build := range map[string]component.Builder{
		"when it is built": func(context.Context, component.Env) (*component.Instance, error) {
			return nil, errors.New("worn out")
		},
		"later": func(context.Context, component.Env) (*component.Instance, error) {
			return &component.Instance{Run: func(context.Context) error { return errors.New("worn out") }}, nil
		},
	} {
		s := newSystem(t)
		r := launch(t, s.options(component.Config{Name: "c"}, build))
		if err := r.wait(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if e := s.entry(); e.State != registry.Failed || e.Error == "" || time.Since(e.Updated) > registry.TTL {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// absent is a registry that can't be reached.
type absent struct{ registry.Registry }

func (absent) Announce(ctx context.Context, _ registry.Entry) error {
	<-ctx.Done()
	return ctx.Err()
}

func (absent) Withdraw(ctx context.Context, _, _ string) error {
	return absent{}.Announce(ctx, registry.Entry{})
}

// TestStopWithoutARegistry: it isn't ready, and it ends nevertheless.
func TestStopWithoutARegistry(t *testing.T) {
	s := newSystem(t)
	o := s.options(component.Config{Name: "c"}, handler(echo))
	o.OpenBus = func(context.Context) (bus.Bus, registry.Registry, error) { return shared{s.bus}, absent{}, nil }
	r := launch(t, o)
	r.eventually("/readyz", 503, "announced in the registry")
	began := time.Now()
	if err := r.stop(); err != nil || time.Since(began) > o.Grace+5*time.Second {
		t.Errorf("it ended after %s: %v", time.Since(began), err)
	}
}
