package host

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"woodwork.dev/ww/runtime/bus"
)

type messageKey struct{}

// withMessage makes what is logged with ctx tell of which message it speaks.
func withMessage(ctx context.Context, m *bus.Message) context.Context {
	return context.WithValue(ctx, messageKey{}, m)
}

// contextHandler adds to each record the message that is being handled and its
// trace.
type contextHandler struct{ slog.Handler }

func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	if m, ok := ctx.Value(messageKey{}).(*bus.Message); ok {
		r.AddAttrs(slog.String("message_id", m.ID), slog.String("session_id", m.SessionID))
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h contextHandler) WithAttrs(as []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(as)}
}

func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}
