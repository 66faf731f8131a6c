package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/memory"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/componenttest"
	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/registry"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// shared is a bus in memory that several hosts use: each closes it, and it
// stays.
type shared struct{ *memory.Bus }

func (shared) Close() error { return nil }

// system is what hosts have in common.
type system struct {
	t        *testing.T
	bus      *memory.Bus
	registry *registry.Memory
}

func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{t, memory.New(memory.Options{Backoff: bus.Backoff{Min: time.Millisecond, Max: time.Millisecond}}), registry.NewMemory()}
	t.Cleanup(func() {
		if err := s.bus.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// options are those of a component whose kind is the given builder.
func (s *system) options(c component.Config, build component.Builder) host.Options {
	c.Kind, c.Type = "test", "kind"
	return host.Options{
		Config:   c,
		Builders: map[string]component.Builder{"test kind": build},
		OpenBus: func(context.Context) (bus.Bus, registry.Registry, error) {
			return shared{s.bus}, s.registry, nil
		},
		Addr: "127.0.0.1:0",
	}
}

// handler is a builder for a component that only handles messages.
func handler(h func(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error)) component.Builder {
	return func(context.Context, component.Env) (*component.Instance, error) {
		return &component.Instance{Handle: h}, nil
	}
}

// running is a host at work.
type running struct {
	t      *testing.T
	addr   string
	log    *componenttest.Buffer
	cancel context.CancelFunc
	done   chan error
}

// launch runs a host that isn't ready yet.
func launch(t *testing.T, o host.Options) *running {
	t.Helper()
	r := &running{t: t, log: &componenttest.Buffer{}, done: make(chan error, 1)}
	addr := make(chan string, 1)
	o.Listening = func(a string) { addr <- a }
	o.Log = slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.done <- host.Run(ctx, o) }()
	select {
	case r.addr = <-addr:
	case err := <-r.done:
		t.Fatalf("the host ended: %v", err)
	}
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// start runs a host and returns when it is ready.
func start(t *testing.T, o host.Options) *running {
	t.Helper()
	r := launch(t, o)
	if err := host.Probe(t.Context(), r.addr, patience); err != nil {
		t.Fatalf("%v\n%s", err, r.log)
	}
	return r
}

// stop ends the host and returns what Run returned, also when called again.
func (r *running) stop() error {
	r.cancel()
	return r.wait()
}

func (r *running) wait() error {
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(patience):
		r.t.Errorf("the host doesn't end:\n%s", r.log)
		return nil
	}
}

// get returns the status and the body of one of the host's endpoints.
func (r *running) get(path string) (int, string) {
	r.t.Helper()
	res, err := http.Get("http://" + r.addr + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// sink takes the messages of a component or of topics.
func (s *system) sink(name string, topics ...string) <-chan bus.Message {
	s.t.Helper()
	got, subscribed := make(chan bus.Message, 100), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.bus.Consume(ctx, bus.Consumer{Component: name, Topics: topics, Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			got <- m
			return nil, nil
		}}, func() { close(subscribed) })
		if err != nil {
			s.t.Error(err)
		}
	})
	<-subscribed
	s.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return got
}

func take(t *testing.T, c <-chan bus.Message) bus.Message {
	t.Helper()
	select {
	case m := <-c:
		return m
	case <-time.After(patience):
		t.Fatal("no message came")
		return bus.Message{}
	}
}

// ask sends a request to a component and returns all answers.
func ask(t *testing.T, b bus.Bus, m bus.Message) []bus.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	replies, err := b.Request(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = replies.Close() }()
	var out []bus.Message
	for {
		m, err := replies.Next(ctx)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("after %d answers: %v", len(out), err)
		}
		out = append(out, m)
	}
}

// eventually waits until the endpoint answers with the status and the text.
func (r *running) eventually(path string, status int, text string) {
	r.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		got, body := r.get(path)
		if got == status && strings.Contains(body, text) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			r.t.Fatalf("%s answers %d %s, want %d %s", path, got, body, status, text)
		}
	}
}
