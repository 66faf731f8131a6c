// Package tracing follows work through the system: every message carries a W3C
// trace context, whether anyone collects traces or not. Where someone does,
// what a component does becomes spans, which are sent to them by OTLP; then,
// and only then, anything of that is set up.
package tracing

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"woodwork.dev/ww/runtime/bus"
)

// System is what the messages of ww go by in traces and metrics.
const System = "ww"

// exportTimeout is how long the collector has for one batch; meanwhile spans
// beyond a bound are dropped.
const exportTimeout = 10 * time.Second

// Tracer makes the spans of one component. The zero Tracer only hands trace
// contexts on.
type Tracer struct {
	tracer    trace.Tracer
	provider  *sdktrace.TracerProvider
	component string
}

// New returns the tracer of a component. endpoint is the URL that takes traces
// by OTLP over HTTP; none if it is empty. Nothing waits for whoever is there:
// what they don't take is logged once, and lost.
func New(endpoint, component, instance string, log *slog.Logger) (*Tracer, error) {
	t := &Tracer{component: component}
	if endpoint == "" {
		return t, nil
	}
	e, err := newCollector(endpoint)
	if err != nil {
		return nil, fmt.Errorf("send traces: %w", err)
	}
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&exporter{SpanExporter: e, log: log}, sdktrace.WithExportTimeout(exportTimeout)),
		sdktrace.WithResource(resource.NewWithAttributes(semconv.SchemaURL,
			semconv.ServiceName(component), semconv.ServiceInstanceID(instance))),
	)
	t.tracer = t.provider.Tracer("woodwork.dev/ww/runtime/host")
	return t, nil
}

// Close sends what is left, as far as ctx allows.
func (t *Tracer) Close(ctx context.Context) {
	if t.provider != nil {
		_ = t.provider.Shutdown(ctx) // the exporter says what failed
	}
}

// Process returns the context for handling m, in the trace that m belongs to,
// and what to call with the outcome.
func (t *Tracer) Process(ctx context.Context, m *bus.Message) (context.Context, func(error)) {
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": m.TraceParent})
	return t.start(ctx, "process "+t.component, trace.SpanKindConsumer, func() []attribute.KeyValue {
		return []attribute.KeyValue{
			semconv.MessagingOperationName("process"), semconv.MessagingOperationTypeProcess,
			semconv.MessagingDestinationName(t.component), semconv.MessagingMessageID(m.ID),
			semconv.MessagingMessageConversationID(m.SessionID), semconv.MessagingMessageBodySize(len(m.Payload)),
			attribute.String("ww.sender", m.Sender), attribute.Int("ww.attempt", m.RetryCount+1),
		}
	})
}

// Publish puts m into the trace of ctx, or into a new one, as something that is
// sent, and returns what to call when it is. Messages that are sent together
// may share what m says.
func (t *Tracer) Publish(ctx context.Context, m *bus.Message) func(error) {
	destination := m.Target
	switch {
	case m.Pattern == bus.PublishSubscribe:
		destination = m.Type
	case bus.IsInbox(m.Target):
		destination = "reply" // there are no two inboxes of one name
	}
	ctx, end := t.start(ctx, "publish "+destination, trace.SpanKindProducer, func() []attribute.KeyValue {
		return []attribute.KeyValue{
			semconv.MessagingOperationName("publish"), semconv.MessagingOperationTypeSend,
			semconv.MessagingDestinationName(destination), semconv.MessagingMessageConversationID(m.SessionID),
		}
	})
	m.TraceParent = Context(ctx)
	return end
}

// start begins a span, or what stands for one where nobody collects them.
func (t *Tracer) start(ctx context.Context, name string, kind trace.SpanKind, describe func() []attribute.KeyValue) (context.Context, func(error)) {
	if t.tracer == nil {
		return trace.ContextWithSpanContext(ctx, next(trace.SpanContextFromContext(ctx))), func(error) {}
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind))
	if span.IsRecording() {
		span.SetAttributes(semconv.MessagingSystemKey.String(System))
		span.SetAttributes(describe()...)
	}
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// next returns a new span of parent's trace, or of a new one.
func next(parent trace.SpanContext) trace.SpanContext {
	conf := trace.SpanContextConfig{TraceID: parent.TraceID(), TraceFlags: parent.TraceFlags()}
	if !parent.IsValid() {
		rand.Read(conf.TraceID[:]) // never fails
		conf.TraceFlags = trace.FlagsSampled
	}
	rand.Read(conf.SpanID[:])
	return trace.NewSpanContext(conf)
}

// Context returns the W3C trace context of ctx; empty if it has none.
func Context(ctx context.Context) string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c["traceparent"]
}

// NewContext returns the W3C trace context of a trace of its own.
func NewContext() string {
	return Context(trace.ContextWithSpanContext(context.Background(), next(trace.SpanContext{})))
}

// FromHeader returns ctx in the trace of a request that came in.
func FromHeader(ctx context.Context, h http.Header) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(h))
}

// exporter logs the first of several failures. It returns none, as there would
// be nobody to hear of it.
type exporter struct {
	sdktrace.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
}

func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err == nil:
		if e.failing.Swap(false) {
			e.log.Info("traces are taken again")
		}
	case errors.Is(err, context.Canceled):
	case !e.failing.Swap(true):
		e.log.Warn("traces are lost: nobody takes them", "error", err)
	}
	return nil
}
