// Package componenttest is what the tests of the kinds have in common.
package componenttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"testing"

	"woodwork.dev/ww/runtime/component"
)

// Env returns the environment of a component named c whose only secret is
// KEY, with the value topsecret, and the log that it writes to.
func Env(t *testing.T, kind, typ, settings string) (component.Env, *Buffer) {
	t.Helper()
	logged := &Buffer{}
	return component.Env{
		Config: component.Config{Name: "c", Kind: kind, Type: typ, Settings: json.RawMessage(settings)},
		Log:    slog.New(slog.NewTextHandler(logged, nil)),
		Stdout: &Buffer{},
		Secret: func(name string) (string, error) {
			if name != "KEY" {
				return "", fmt.Errorf("secret %s: not here: %w", name, fs.ErrNotExist)
			}
			return "topsecret", nil
		},
	}, logged
}

// Buffer is a bytes.Buffer for several goroutines.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns all that was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Out keeps the chunks that a handler sends.
type Out struct {
	mu     sync.Mutex
	chunks []string
}

// Chunk keeps the payload.
func (o *Out) Chunk(_ context.Context, payload json.RawMessage) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.chunks = append(o.chunks, string(payload))
	return nil
}

// Chunks returns what was sent so far.
func (o *Out) Chunks() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.chunks...)
}
