package host_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/component"
)

// spans is who takes traces: by service and name.
type spans struct {
	url string
	mu  sync.Mutex
	got map[string]*otlp.Span
}

func newCollector(t *testing.T) *spans {
	t.Helper()
	s := &spans{got: map[string]*otlp.Span{}}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var in otlp.TracesData
		if err := errors.Join(err, proto.Unmarshal(body, &in)); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, rs := range in.ResourceSpans {
			service := ""
			for _, a := range rs.Resource.Attributes {
				if a.Key == "service.name" {
					service = a.Value.GetStringValue()
				}
			}
			for _, ss := range rs.ScopeSpans {
				for _, span := range ss.Spans {
					s.got[service+": "+span.Name] = span
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(h.Close)
	s.url = h.URL + "/v1/traces"
	return s
}

// TestTraces follows one request through two components, and to a server that
// one of them calls.
func TestTraces(t *testing.T) {
	s, collected := newSystem(t), newCollector(t)
	called := make(chan string, 1)
	outside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called <- r.Header.Get("Traceparent") }))
	t.Cleanup(outside.Close)
	var env component.Env
	first := s.options(component.Config{Name: "first", To: []string{"second"}}, func(_ context.Context, e component.Env) (*component.Instance, error) {
		env = e
		return &component.Instance{
			Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				replies, err := env.Ask(r.Context(), component.Submission{ID: "m1", Session: "s1", Payload: json.RawMessage(`1`)})
				if err != nil {
					t.Error(err)
					return
				}
				m, err := replies.Next(r.Context())
				_, _ = fmt.Fprint(w, m.TraceParent)
				if err := errors.Join(err, replies.Close()); err != nil {
					t.Error(err)
				}
			}),
		}, nil
	})
	second := s.options(component.Config{Name: "second"}, func(_ context.Context, e component.Env) (*component.Instance, error) {
		client := http.Client{Transport: e.Transport}
		return &component.Instance{Handle: func(ctx context.Context, m bus.Message, _ component.Out) (json.RawMessage, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, outside.URL, nil)
			if err != nil {
				return nil, err
			}
			res, err := client.Do(req)
			if err != nil {
				return nil, err
			}
			e.Log.InfoContext(ctx, "called")
			return m.Payload, res.Body.Close()
		}}, nil
	})
	first.Traces, second.Traces = collected.url, collected.url
	b, a := start(t, second), start(t, first)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Traceparent", parent)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close(), a.stop(), b.stop()); err != nil {
		t.Fatal(err)
	}
	collected.mu.Lock()
	defer collected.mu.Unlock()
	// Each is the child of the one before it.
	before := "0123456789abcdef"
	for _, name := range []string{"first: publish second", "second: process second", "second: publish reply"} {
		span := collected.got[name]
		if span == nil {
			t.Fatalf("there is no span %q in %v", name, collected.got)
		}
		if hex.EncodeToString(span.TraceId) != trace || hex.EncodeToString(span.ParentSpanId) != before {
			t.Errorf("%s: trace %x, parent %x; want %s", name, span.TraceId, span.ParentSpanId, before)
		}
		before = hex.EncodeToString(span.SpanId)
	}
	if !strings.Contains(string(answer), before) {
		t.Errorf("the answer says %s, want %s", answer, before)
	}
	process := collected.got["second: process second"]
	if got := <-called; got != fmt.Sprintf("00-%s-%x-01", trace, process.SpanId) {
		t.Errorf("the call outside had %q", got)
	}
	attributes := fmt.Sprint(process.Attributes)
	for _, want := range []string{"messaging.system", "messaging.message.id", "m1", "messaging.message.conversation_id", "s1"} {
		if !strings.Contains(attributes, want) {
			t.Errorf("attributes: %s", attributes)
		}
	}
	if want := `"message_id":"m1","session_id":"s1","trace_id":"` + trace; !strings.Contains(b.log.String(), want) {
		t.Errorf("log: %s", b.log)
	}
}

// TestNobodyTakesTraces: the component works and ends as it does with none.
func TestNobodyTakesTraces(t *testing.T) {
	hang := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	refusing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(func() {
		close(hang)
		hanging.Close()
		refusing.Close()
	})
	for name, url := range map[string]string{"nobody": "http://127.0.0.1:1/v1/traces", "silence": hanging.URL, "refusal": refusing.URL} {
		t.Run(name, func(t *testing.T) {
			s := newSystem(t)
			o := s.options(component.Config{Name: "c"}, handler(echo))
			o.Traces = url
			r := start(t, o)
			for range 100 {
				if got := ask(t, s.bus, bus.Message{Payload: json.RawMessage(`1`), Target: "c"}); len(got) != 1 || got[0].Error != "" {
					t.Fatalf("got %+v", got)
				}
			}
			began := time.Now()
			if err := r.stop(); err != nil || time.Since(began) > 5*time.Second {
				t.Errorf("it ended after %s: %v", time.Since(began), err)
			}
			if name == "refusal" && strings.Count(r.log.String(), "traces are lost") != 1 {
				t.Errorf("log: %s", r.log)
			}
		})
	}
}

// TestCircuit: what a component calls in vain is in the metrics, and its
// messages say so; one that isn't let through keeps its last attempt.
func TestCircuit(t *testing.T) {
	s := newSystem(t)
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	o := s.options(component.Config{Name: "c"}, func(_ context.Context, e component.Env) (*component.Instance, error) {
		return &component.Instance{Handle: func(ctx context.Context, _ bus.Message, _ component.Out) (json.RawMessage, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, down.URL, nil)
			if err != nil {
				return nil, err
			}
			_, err = e.Transport.RoundTrip(req)
			return nil, err
		}}, nil
	})
	r := start(t, o)
	if err := s.bus.Publish(t.Context(), bus.Message{SessionID: "s", Payload: json.RawMessage(`1`), Target: "c", MaxRetries: 5}); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(down.URL, "http://")
	var hops []bus.Hop
	bustest.Until(t, "the circuit to open", func() (open bool) {
		var err error
		if hops, err = s.bus.Trace(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		return len(hops) > 5
	})
	if h := hops[5]; h.Attempt != 6 || h.Outcome != bus.Retry || !strings.HasPrefix(h.Error, host+" is not called until ") {
		t.Errorf("the last hop is %+v", h)
	}
	stats, err := s.bus.Stats(t.Context())
	if got := stats["c"]; err != nil || got.Delayed != 1 || got.Dead != 0 {
		t.Errorf("the queue has %+v, %v", got, err)
	}
	if _, body := r.get("/metrics"); !strings.Contains(body, `ww_circuit_open{component="c",downstream="`+host+`",kind="test",type="kind"} 1`) {
		t.Errorf("metrics: %s", body)
	}
}
