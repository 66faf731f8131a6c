package memory_test

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/memory"
)

// One component, 64 publishers, 1 KiB each, and a consumer of 8 at a time.
func BenchmarkBus(b *testing.B) {
	m := memory.New(memory.Options{})
	defer m.Close()
	go m.Consume(b.Context(), bus.Consumer{Component: "a", Concurrency: 8,
		Handler: func(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }}, nil)
	payload := append(append([]byte{'"'}, bytes.Repeat([]byte("x"), 1022)...), '"')
	b.ReportAllocs()
	b.ResetTimer()
	var publishers sync.WaitGroup
	for i := range 64 {
		publishers.Go(func() {
			for range (b.N + i) / 64 {
				if err := m.Publish(b.Context(), bus.Message{Target: "a", Payload: payload}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	publishers.Wait()
	if left, err := m.Drain(b.Context()); err != nil || len(left) > 0 {
		b.Errorf("left %v, %v", left, err)
	}
}
