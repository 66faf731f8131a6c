package isolated

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
)

// logs sends what a component logs to the other side, as log/slog's JSON.
type logs struct {
	slog.Handler
	to *lines
}

// lines takes one record at a time.
type lines struct {
	peer *peer
	mu   sync.Mutex
	buf  bytes.Buffer
}

func newLogs(p *peer, level slog.Level) *logs {
	to := &lines{peer: p}
	return &logs{slog.NewJSONHandler(&to.buf, &slog.HandlerOptions{Level: level}), to}
}

// Handle implements slog.Handler.
func (l *logs) Handle(ctx context.Context, r slog.Record) error {
	l.to.mu.Lock()
	defer l.to.mu.Unlock()
	l.to.buf.Reset()
	if err := l.Handler.Handle(ctx, r); err != nil {
		return err
	}
	of, _ := ctx.Value(withinKey{}).(uint64)
	return l.to.peer.write(frame{Word: "log", Of: of, Body: bytes.TrimSpace(l.to.buf.Bytes())})
}

// WithAttrs implements slog.Handler.
func (l *logs) WithAttrs(as []slog.Attr) slog.Handler { return &logs{l.Handler.WithAttrs(as), l.to} }

// WithGroup implements slog.Handler.
func (l *logs) WithGroup(name string) slog.Handler { return &logs{l.Handler.WithGroup(name), l.to} }

// relog logs a record of the other side.
func relog(ctx context.Context, log *slog.Logger, raw json.RawMessage) {
	fields := map[string]any{}
	if json.Unmarshal(raw, &fields) != nil {
		return
	}
	var level slog.Level
	text, _ := fields[slog.LevelKey].(string)
	_ = level.UnmarshalText([]byte(text)) // info, where it says nothing
	message, _ := fields[slog.MessageKey].(string)
	for _, key := range []string{slog.LevelKey, slog.MessageKey, slog.TimeKey} {
		delete(fields, key)
	}
	var attrs []slog.Attr
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		attrs = append(attrs, slog.Any(key, fields[key]))
	}
	log.LogAttrs(ctx, level, message, attrs...)
}
