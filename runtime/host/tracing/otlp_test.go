package tracing

import (
	"compress/gzip"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"woodwork.dev/ww/runtime/bus"
)

// TestExport: what is sent is read with the protocol's own types.
func TestExport(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=y")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip")
	attempts := 0
	var got otlp.TracesData
	h := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if attempts++; attempts == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.Header.Get("api-key") != "a b" || r.Header.Get("x") != "y" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("headers: %v", r.Header)
		}
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(z)
		if err := errors.Join(err, proto.UnmarshalOptions{DiscardUnknown: false}.Unmarshal(body, &got)); err != nil {
			t.Error(err)
		}
	}))
	defer h.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", authority)
	tracer, err := New(h.URL+"/v1/traces", "greet", "i1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m := bus.Message{ID: "m1", SessionID: "s1", Sender: "in", Payload: []byte(`"x"`), TraceParent: "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}
	ctx, end := tracer.Process(t.Context(), &m)
	out := bus.Message{Target: "out"}
	sent := tracer.Publish(ctx, &out)
	sent(nil)
	end(errors.New("it broke"))
	tracer.Close(t.Context())

	if len(got.ResourceSpans) != 1 || len(got.ResourceSpans[0].ScopeSpans) != 1 || len(got.ResourceSpans[0].ScopeSpans[0].Spans) != 2 || len(got.ProtoReflect().GetUnknown()) > 0 {
		t.Fatalf("after %d attempts: %v", attempts, &got)
	}
	rs := got.ResourceSpans[0]
	if a := rs.Resource.Attributes; len(a) != 2 || a[0].Key != "service.instance.id" || a[0].Value.GetStringValue() != "i1" || a[1].Value.GetStringValue() != "greet" || rs.SchemaUrl == "" {
		t.Errorf("resource: %v, %s", a, rs.SchemaUrl)
	}
	if scope := rs.ScopeSpans[0].Scope; scope.GetName() != "woodwork.dev/ww/runtime/host" {
		t.Errorf("scope: %v", scope)
	}
	byName := map[string]*otlp.Span{}
	for _, s := range rs.ScopeSpans[0].Spans {
		byName[s.Name] = s
	}
	p, q := byName["process greet"], byName["publish out"]
	if p == nil || q == nil {
		t.Fatalf("spans: %v", rs.ScopeSpans[0].Spans)
	}
	if string(p.ParentSpanId) != "\x01\x23\x45\x67\x89\xab\xcd\xef" || string(q.ParentSpanId) != string(p.SpanId) || string(q.TraceId) != string(p.TraceId) {
		t.Errorf("parents: %v of %v", q, p)
	}
	if p.Kind != otlp.Span_SPAN_KIND_CONSUMER || q.Kind != otlp.Span_SPAN_KIND_PRODUCER || p.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR ||
		p.Status.GetMessage() != "it broke" || q.Status.GetCode() != otlp.Status_STATUS_CODE_UNSET {
		t.Errorf("kinds and states: %v, %v", p, q)
	}
	if p.StartTimeUnixNano == 0 || p.EndTimeUnixNano < q.EndTimeUnixNano {
		t.Errorf("times: %v, %v", p, q)
	}
	size, text := int64(0), ""
	for _, a := range p.Attributes {
		switch a.Key {
		case "messaging.message.body.size":
			size = a.Value.GetIntValue()
		case "messaging.message.id":
			text = a.Value.GetStringValue()
		}
	}
	if size != 3 || text != "m1" {
		t.Errorf("attributes: %v", p.Attributes)
	}
}

func TestNoEndpoint(t *testing.T) {
	for _, endpoint := range []string{"collector:4318", "ftp://collector", "http://", "%"} {
		if _, err := New(endpoint, "a", "b", slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s is taken", endpoint)
		}
	}
}
