package inproc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/memory"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/registry"
)

// world is a system of two components, a → b, of which b adds a mark.
type world struct {
	t      *testing.T
	opts   inproc.Options
	handle func(ctx context.Context, name string, m bus.Message) (json.RawMessage, error)
	build  func(name string) error

	mu    sync.Mutex
	steps []string
}

func newWorld(t *testing.T) *world {
	noLeaks(t)
	w := &world{t: t}
	w.handle = func(_ context.Context, name string, m bus.Message) (json.RawMessage, error) {
		return component.JSONString(component.Text(m.Payload) + " " + name), nil
	}
	builder := func(_ context.Context, env component.Env) (*component.Instance, error) {
		if w.build != nil {
			if err := w.build(env.Config.Name); err != nil {
				return nil, err
			}
		}
		return &component.Instance{Handle: func(ctx context.Context, m bus.Message, _ component.Out) (json.RawMessage, error) {
			return w.handle(ctx, env.Config.Name, m)
		}}, nil
	}
	w.opts = inproc.Options{
		Components: []inproc.Component{
			{Config: component.Config{Name: "b", Kind: "core", Type: "test"}, Deployment: "edge"},
			{Config: component.Config{Name: "a", Kind: "core", Type: "test", To: []string{"b"}}, DependsOn: []string{"b"}, Deployment: "edge"},
		},
		Servers:  []inproc.Server{{Name: "edge", Addr: "127.0.0.1:0", Components: []string{"a", "b"}, Health: true, Discovery: true}},
		Builders: map[string]component.Builder{"core test": builder},
		OpenBus: func(context.Context) (bus.Bus, registry.Registry, error) {
			return memory.New(memory.Options{Log: slog.New(slog.DiscardHandler)}), registry.NewMemory(), nil
		},
		Log: slog.New(slog.DiscardHandler), Secret: func(string) (string, error) { return "", errors.New("there are no secrets") },
		Drain: 10 * time.Second, Ready: 10 * time.Second,
		Report: func(p deploy.Progress) {
			if p.Status == deploy.Done {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.steps = append(w.steps, string(p.Step.Op)+" "+p.Step.Name)
			}
		},
	}
	return w
}

// noLeaks fails where goroutines are left at the end of the test.
func noLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(end) {
				buf := make([]byte, 1<<20)
				t.Errorf("goroutines are left:\n%s", buf[:runtime.Stack(buf, true)])
				return
			}
		}
	})
}

func (w *world) start() *inproc.System {
	w.t.Helper()
	s, err := inproc.Start(w.t.Context(), w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) stop(s *inproc.System) inproc.Summary {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	sum, err := s.Stop(ctx)
	if err != nil {
		w.t.Errorf("stop: %v", err)
	}
	return sum
}

// call makes a request and gives its status and body.
func call(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestStartAndStop: dependencies come first and go last, around the bus.
func TestStartAndStop(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	if sum := w.stop(s); len(sum.Left) > 0 || len(sum.Forced) > 0 {
		t.Errorf("%+v", sum)
	}
	want := []string{
		string(plan.Ready) + " message-bus", string(plan.Ready) + " b", string(plan.Ready) + " a",
		"drain message-bus", "stop a", "stop b",
	}
	if !slices.Equal(w.steps, want) {
		t.Errorf("%q, want %q", w.steps, want)
	}
}

// TestServer: what each path answers.
func TestServer(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	defer w.stop(s)
	url := "http://" + s.Addresses()["edge"]
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/a/input", `{"value":"x"}`, 200, `"value":"x a b"`},
		{"POST", "/b/input", `{"value":"x"}`, 200, `"value":"x b"`},
		{"POST", "/b/messages", `{"value":"x"}`, 202, `"message_id"`},
		{"POST", "/c/input", `{"value":"x"}`, 404, `there are a, b`},
		{"POST", "/c/messages", `{"value":"x"}`, 404, `there are a, b`},
		{"POST", "/a/messages", `{"value":"x"`, 400, `not JSON`},
		{"POST", "/a/input", "{\"value\":\"\xff\"}", 400, `not UTF-8`},
		{"POST", "/a/input", `{"value":"x","session":7}`, 400, `must be a string`},
		{"POST", "/a/input", `{"value":`, 400, `not JSON`},
		{"POST", "/a/messages", ``, 400, `the body is empty`},
		{"POST", "/a/input", `"` + strings.Repeat("x", 9<<20) + `"`, 413, `larger than`},
		{"GET", "/a/input", ``, 405, `{"error":"/a/input is asked with POST"}`},
		{"PUT", "/health", ``, 405, `is asked with GET`},
		{"GET", "/health", ``, 200, `"status":"healthy"`},
		{"GET", "/components", ``, 200, `"name":"a","kind":"core","type":"test","state":"ready","deployment":"edge","routes":["b"]`},
		{"GET", "/metrics", ``, 200, `ww_messages_handled_total{component="a"`},
		{"GET", "/openapi.json", ``, 200, `"/{name}/input"`},
		{"GET", "/", ``, 200, `POST /a/input`},
		{"GET", "/nothing", ``, 404, `{"error":"there is nothing here`},
		{"POST", "/a/b/c", ``, 404, `POST /NAME/input`},
	} {
		status, body := call(t, c.method, url+c.path, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, body, c.status, c.want)
		}
	}
}

// TestToken: without the token nothing is told but whether it is well.
func TestToken(t *testing.T) {
	w := newWorld(t)
	w.opts.Servers[0].Token = "sesame"
	s := w.start()
	defer w.stop(s)
	url := "http://" + s.Addresses()["edge"]
	for _, header := range []string{"", "Bearer ", "Bearer sesam", "Bearer sesame2", "sesame ", "Basic sesame"} {
		for _, path := range []string{"/components", "/metrics", "/openapi.json", "/"} {
			if status, body := call(t, "GET", url+path, "", "Authorization", header); status != 401 {
				t.Errorf("%s with %q: %d %s", path, header, status, body)
			}
		}
	}
	for _, path := range []string{"/b/input", "/b/messages", "/nobody/input"} {
		if status, body := call(t, "POST", url+path, `{"value":"x"}`, "Authorization", "Bearer sesam"); status != 401 || !strings.Contains(body, "not the token") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _ := call(t, "GET", url+"/health", ""); status != 200 {
		t.Errorf("health: %d", status)
	}
	if status, body := call(t, "POST", url+"/b/input", `{"value":"x"}`); status != 401 || !strings.Contains(body, "Authorization: Bearer") {
		t.Errorf("without a token: %d %s", status, body)
	}
	if status, body := call(t, "POST", url+"/b/input", `{"value":"x"}`, "Authorization", "bearer sesame"); status != 200 {
		t.Errorf("a scheme has no case: %d %s", status, body)
	}
	if status, body := call(t, "POST", url+"/b/input", `{"value":"x"}`, "Authorization", "Bearer sesame"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

// TestOutputs: every result is told to whoever listens.
func TestOutputs(t *testing.T) {
	w := newWorld(t)
	heard := make(chan string, 1)
	w.opts.Components = append(w.opts.Components, inproc.Component{Config: component.Config{Name: "ear", Kind: "core", Type: "test", Subscribe: []string{"component.output"}}})
	w.handle = func(_ context.Context, name string, m bus.Message) (json.RawMessage, error) {
		if name == "ear" {
			heard <- string(m.Payload)
			return nil, nil
		}
		return json.RawMessage(`"done"`), nil
	}
	s := w.start()
	defer w.stop(s)
	addr := s.Addresses()["edge"]
	call(t, "POST", "http://"+addr+"/a/input", `{"value":"x"}`)
	want := fmt.Sprintf(`{"component":"a","result":"done","server":%q}`, addr)
	select {
	case got := <-heard:
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was told")
	}
}

// TestStopLosesNothing: what was accepted is handled before the end, also by
// those that come behind.
func TestStopLosesNothing(t *testing.T) {
	w := newWorld(t)
	var handled atomic.Int64
	w.handle = func(_ context.Context, name string, m bus.Message) (json.RawMessage, error) {
		if name == "b" {
			handled.Add(1)
		}
		return m.Payload, nil
	}
	s := w.start()
	url := "http://" + s.Addresses()["edge"]
	var accepted atomic.Int64
	var wg sync.WaitGroup
	begun := make(chan struct{})
	once := sync.OnceFunc(func() { close(begun) })
	for range 8 {
		wg.Go(func() {
			for {
				res, err := http.Post(url+"/a/messages", "text/plain", strings.NewReader("x"))
				if err != nil {
					once()
					return // it is down
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusAccepted {
					once()
					return
				}
				if accepted.Add(1) > 500 {
					once()
				}
			}
		})
	}
	<-begun
	sum := w.stop(s)
	wg.Wait()
	if handled.Load() != accepted.Load() || len(sum.Left) > 0 {
		t.Errorf("%d accepted, %d handled, left: %v", accepted.Load(), handled.Load(), sum.Left)
	}
}

// TestLateBus: a bus that comes late is waited for, and health says so.
func TestLateBus(t *testing.T) {
	w := newWorld(t)
	addr := bustest.Nobody()
	w.opts.Servers[0].Addr = addr
	open, attempts := w.opts.OpenBus, 0
	w.opts.OpenBus = func(ctx context.Context) (bus.Bus, registry.Registry, error) {
		if attempts++; attempts < 3 {
			if status, body := call(t, "GET", "http://"+addr+"/health", ""); status != 503 || !strings.Contains(body, `"reachable":false`) {
				t.Errorf("while it is away: %d %s", status, body)
			}
			return nil, nil, errors.New("connection refused")
		}
		return open(ctx)
	}
	s := w.start()
	defer w.stop(s)
	if status, body := call(t, "GET", "http://"+addr+"/health", ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

// TestStartFails: what can't start is named, and nothing of the rest is left.
func TestStartFails(t *testing.T) {
	t.Run("a component", func(t *testing.T) {
		w := newWorld(t)
		w.build = func(name string) error {
			if name == "a" {
				return errors.New("it has no idea")
			}
			return nil
		}
		_, err := inproc.Start(t.Context(), w.opts)
		var c *deploy.ComponentError
		if !errors.As(err, &c) || c.Service != "a" || !strings.Contains(c.Reason, "it has no idea") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a port", func(t *testing.T) {
		w := newWorld(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		w.opts.Servers[0].Addr = l.Addr().String()
		_, err = inproc.Start(t.Context(), w.opts)
		var le *inproc.ListenError
		if !errors.As(err, &le) || le.Whose != "server edge" || len(w.steps) > 0 {
			t.Errorf("%v, after %q", err, w.steps)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		w.opts.OpenBus = func(context.Context) (bus.Bus, registry.Registry, error) {
			cancel()
			return nil, nil, errors.New("not yet")
		}
		if _, err := inproc.Start(ctx, w.opts); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}
