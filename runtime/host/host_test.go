package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/registry"
)

func TestLife(t *testing.T) {
	s := newSystem(t)
	var mu sync.Mutex
	var events []string
	note := func(e string) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}
	o := s.options(component.Config{Name: "c"}, func(context.Context, component.Env) (*component.Instance, error) {
		note("build")
		return &component.Instance{
			Handle: echo,
			Run: func(ctx context.Context) error {
				<-ctx.Done()
				left, err := s.registry.List(context.Background())
				if err != nil || len(left) != 1 || left[0].State != registry.ShuttingDown {
					t.Errorf("work stops while the registry has %v, %v", left, err)
				}
				note("run ends")
				return nil
			},
			Routes: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "mine") }),
			Close:  func() error { note("close"); return nil },
		}, nil
	})
	open, attempts := make(chan struct{}), 0
	connect := o.OpenBus
	o.OpenBus = func(ctx context.Context) (bus.Bus, registry.Registry, error) {
		if attempts++; attempts == 1 {
			return nil, nil, errors.New("nobody listens")
		}
		<-open
		return connect(ctx)
	}
	r := launch(t, o)

	r.eventually("/readyz", 503, "the message bus is not connected yet: nobody listens")
	for path, want := range map[string]int{"/livez": 200, "/startupz": 503, "/readyz?wait=1ms": 503, "/health": 503, "/": 503, "/readyz?wait=x": 400, "/readyz?wait=1h": 400, "/readyz?wait=-1s": 400, "/drained?wait=1s": 503, "/drained?wait=x": 400} {
		if got, body := r.get(path); got != want || !json.Valid([]byte(body)) {
			t.Errorf("before the bus is there %s answers %d %s, want %d", path, got, body, want)
		}
	}
	waited := make(chan error, 1)
	go func() { waited <- host.Probe(context.Background(), r.addr, patience) }()
	close(open)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	// Readiness implies registration.
	entries, err := s.registry.List(t.Context())
	if err != nil || len(entries) != 1 || entries[0].Name != "c" || entries[0].Kind != "test" || entries[0].State != registry.Ready || !strings.HasPrefix(entries[0].Address, "c:") {
		t.Errorf("registry: %+v, %v", entries, err)
	}
	for path, want := range map[string]string{
		"/livez": `"ok"`, "/startupz": `"ready":true`, "/readyz": `"ready":true`, "/": "mine",
		"/health":  `{"status":"ok","component":"c","kind":"test","type":"kind","state":"ready","bus":{"reachable":true}}`,
		"/drained": `"drained":true,"left":{}`,
		"/metrics": `ww_ready{component="c",kind="test",type="kind"} 1`,
	} {
		if got, body := r.get(path); got != 200 || !strings.Contains(body, want) {
			t.Errorf("%s answers %d %s", path, got, body)
		}
	}
	_, body := r.get("/metrics")
	for _, name := range []string{"messaging_process_duration_seconds_bucket", "ww_in_flight", "go_goroutines", "process_start_time_seconds"} {
		if !strings.Contains(body, name) {
			t.Errorf("there is no metric %s", name)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if left, err := s.registry.List(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("after the end the registry has %v, %v", left, err)
	}
	if want := []string{"build", "run ends", "close"}; !slices.Equal(events, want) {
		t.Errorf("events %v, want %v", events, want)
	}
	if n := strings.Count(r.log.String(), `"msg":"ready","component":"c"}`); n != 1 {
		t.Errorf("ready is in the log %d times:\n%s", n, r.log)
	}
	if err := host.Probe(t.Context(), r.addr, 0); err == nil || !strings.HasPrefix(err.Error(), "not ready: no answer") {
		t.Errorf("after the end: %v", err)
	}
}

func TestStopBeforeTheBusIsThere(t *testing.T) {
	s := newSystem(t)
	o := s.options(component.Config{Name: "c"}, handler(echo))
	o.OpenBus = func(ctx context.Context) (bus.Bus, registry.Registry, error) {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	r := launch(t, o)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

func TestProbe(t *testing.T) {
	addr := bustest.Nobody() // yet
	if err := host.Probe(t.Context(), addr, 30*time.Millisecond); err == nil {
		t.Error("nobody is there, and it is ready")
	}
	waited := make(chan error, 1)
	go func() { waited <- host.Probe(context.Background(), addr, patience) }()
	s := newSystem(t)
	o := s.options(component.Config{Name: "c"}, handler(echo))
	o.Addr = addr
	start(t, o)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if err := host.Probe(t.Context(), "nonsense", 0); err == nil {
		t.Error("nonsense is an address")
	}
}

func TestErrors(t *testing.T) {
	s := newSystem(t)
	good := handler(echo)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, tt := range []struct {
		name   string
		change func(*host.Options)
		want   string
	}{
		{"no name", func(o *host.Options) { o.Config.Name = "" }, "the component has no name"},
		{"no bus", func(o *host.Options) { o.OpenBus = nil }, "component c has no bus"},
		{"unknown kind", func(o *host.Options) { o.Config.Type = "other" }, `component c: there is no kind "test other" in this program: it has test kind`},
		{"bad settings", func(o *host.Options) {
			o.Builders["test kind"] = func(context.Context, component.Env) (*component.Instance, error) {
				return nil, errors.New(`setting "a": want a string`)
			}
		}, `component c: test kind: setting "a": want a string`},
		{"run fails", func(o *host.Options) {
			o.Builders["test kind"] = func(context.Context, component.Env) (*component.Instance, error) {
				return &component.Instance{Run: func(context.Context) error { return errors.New("worn out") }}, nil
			}
		}, "component c: worn out"},
		{"close fails", func(o *host.Options) {
			o.Builders["test kind"] = func(context.Context, component.Env) (*component.Instance, error) {
				return &component.Instance{Run: func(context.Context) error { return errors.New("worn out") }, Close: func() error { return errors.New("stuck") }}, nil
			}
		}, "component c: worn out\nclose the component: stuck"},
		{"bad subscription", func(o *host.Options) { o.Config.Subscribe = []string{"a..b"} }, `component c: take messages from the bus`},
		{"port in use", func(o *host.Options) { o.Addr = taken.Addr().String() }, "component c: open the HTTP port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := s.options(component.Config{Name: "c"}, good)
			tt.change(&o)
			o.Log = nil
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := host.Run(ctx, o)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestDrain(t *testing.T) {
	s := newSystem(t)
	entered, release := make(chan struct{}, 2), make(chan struct{})
	var env component.Env
	o := s.options(component.Config{Name: "c", Topics: []string{"news"}}, func(_ context.Context, e component.Env) (*component.Instance, error) {
		env = e
		return &component.Instance{
			Handle: func(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error) {
				entered <- struct{}{}
				<-release
				return json.RawMessage(`"done"`), out.Chunk(ctx, json.RawMessage(`"do"`))
			},
			Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				entered <- struct{}{}
				<-release
				_, _ = io.WriteString(w, "done")
			}),
		}, nil
	})
	o.Grace = patience
	r := start(t, o)
	replies, err := s.bus.Request(t.Context(), bus.Message{Payload: json.RawMessage(`1`), Target: "c"})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan string, 1)
	go func() {
		_, body := r.get("/slow")
		served <- body
	}()
	<-entered
	<-entered
	r.cancel()
	r.eventually("/readyz?wait=1m", 503, "the component is shutting down")
	r.eventually("/readyz", 503, `"state":"draining"`)
	res, err := http.Post("http://"+r.addr+"/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("new work: %d %v", res.StatusCode, res.Header)
	}
	if err := env.Submit(t.Context(), component.Submission{Payload: json.RawMessage(`1`)}); !errors.Is(err, component.ErrDraining) {
		t.Errorf("new work by Submit: %v", err)
	}
	if status, _ := r.get("/livez"); status != 200 {
		t.Errorf("not alive while it drains: %d", status)
	}
	close(release)
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	if body := <-served; body != "done" {
		t.Errorf("the request got %q", body)
	}
	for _, want := range []string{`"do"`, `"done"`} {
		m, err := replies.Next(t.Context())
		if err != nil || string(m.Payload) != want {
			t.Errorf("the message got %+v, %v", m, err)
		}
	}
	if err := replies.Close(); err != nil {
		t.Error(err)
	}
}

func TestGraceIsOver(t *testing.T) {
	for _, stubborn := range []bool{false, true} {
		s := newSystem(t)
		entered, end := make(chan struct{}, 2), make(chan struct{})
		closed := false
		o := s.options(component.Config{Name: "c"}, func(context.Context, component.Env) (*component.Instance, error) {
			return &component.Instance{
				Handle: func(ctx context.Context, m bus.Message, _ component.Out) (json.RawMessage, error) {
					entered <- struct{}{}
					if stubborn {
						<-end
					}
					<-ctx.Done()
					return nil, ctx.Err()
				},
				Routes: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					entered <- struct{}{}
					<-r.Context().Done()
				}),
				Close: func() error { closed = true; return nil },
			}, nil
		})
		o.Grace = 50 * time.Millisecond
		r := start(t, o)
		if err := s.bus.Publish(t.Context(), bus.Message{ID: "m", Payload: json.RawMessage(`1`), Target: "c"}); err != nil {
			t.Fatal(err)
		}
		go func() {
			if res, err := http.Get("http://" + r.addr + "/"); err == nil {
				_ = res.Body.Close()
			}
		}()
		<-entered
		<-entered
		err := r.stop()
		if stubborn != (err != nil) || stubborn == closed {
			t.Errorf("stubborn %t: %v, closed %t", stubborn, err, closed)
		}
		if stubborn && !strings.Contains(err.Error(), "not everything ended in time") {
			t.Errorf("got %v", err)
		}
		if stats, err := s.bus.Stats(t.Context()); err != nil || stats["c"].Depth != 1 || stats["c"].Dead != 0 {
			t.Errorf("the message isn't in the queue any more: %+v, %v", stats, err)
		}
		close(end)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	s := newSystem(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "KEY"), []byte("topsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := s.options(component.Config{Name: "c", Settings: json.RawMessage(`{"key":{"$secret":"KEY"}}`)}, func(_ context.Context, env component.Env) (*component.Instance, error) {
		var settings struct {
			Key string `json:"key"`
		}
		if err := env.Decode(&settings); err != nil {
			return nil, err
		}
		if settings.Key != "topsecret" {
			t.Errorf("the secret is %q", settings.Key)
		}
		env.Log.Info("using "+settings.Key, "settings", settings)
		return &component.Instance{Handle: func(context.Context, bus.Message, component.Out) (json.RawMessage, error) {
			return nil, bus.Permanent(errors.New("refused: " + settings.Key))
		}}, nil
	})
	o.SecretsDir = dir
	r := start(t, o)
	got := ask(t, s.bus, bus.Message{Payload: json.RawMessage(`1`), Target: "c"})
	if len(got) != 1 || got[0].Error != "c: refused: [redacted]" {
		t.Errorf("got %+v", got)
	}
	dead, err := s.bus.DeadLetters(t.Context(), "c", 0)
	if err != nil || len(dead) != 1 || dead[0].Error != "refused: [redacted]" {
		t.Errorf("dead letters %+v, %v", dead, err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if log := r.log.String(); strings.Contains(log, "topsecret") || !strings.Contains(log, "using [redacted]") {
		t.Errorf("log: %s", log)
	}
	o.Config.Settings = json.RawMessage(`{"key":{"$secret":"NONE"}}`)
	if err := host.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "NONE")) {
		t.Errorf("a secret that isn't there: %v", err)
	}
}

func TestNoRoutes(t *testing.T) {
	s := newSystem(t)
	r := start(t, s.options(component.Config{Name: "c"}, handler(echo)))
	if status, body := r.get("/x"); status != 404 || !strings.Contains(body, "takes no requests") {
		t.Errorf("got %d %s", status, body)
	}
	res, err := http.Post("http://"+r.addr+"/livez", "", bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode == 200 {
		t.Error("a probe by POST is answered")
	}
}
