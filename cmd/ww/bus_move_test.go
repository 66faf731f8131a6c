package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/nats"
	"woodwork.dev/ww/runtime/bus/nats/embedded"
)

// TestMoveDeadOnNATS: the server takes no message twice with one id for a while,
// and what has died may come back to whom it was for.
func TestMoveDeadOnNATS(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := embedded.Start(embedded.Options{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	b, err := nats.Open(ctx, nats.Options{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got, first := make(chan string, 1), true
	for name, handle := range map[string]bus.Handler{
		"a": func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			if first {
				first = false
				return nil, bus.Permanent(fmt.Errorf("no"))
			}
			got <- string(m.Payload)
			return nil, nil
		},
		"b": refuse,
	} {
		ready := make(chan struct{})
		go func() { _ = b.Consume(ctx, bus.Consumer{Component: name, Handler: handle}, func() { close(ready) }) }() // ends with ctx
		<-ready
	}
	if err := b.Publish(ctx, text("m", "a", "s", "x")); err != nil {
		t.Fatal(err)
	}
	agent := &agent{bus: b}
	for _, way := range [][2]string{{"a", "b"}, {"b", "a"}} {
		for {
			ds, err := b.DeadLetters(ctx, way[0], 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(ds) > 0 {
				break
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("it doesn't die at %s", way[0])
			}
		}
		if n, err := agent.move(ctx, way[0], way[1], nil); n != 1 || err != nil {
			t.Fatalf("%v: %d, %v", way, n, err)
		}
	}
	select {
	case payload := <-got:
		if payload != `"x"` {
			t.Errorf("got %s", payload)
		}
	case <-time.After(20 * time.Second):
		t.Error("it is lost")
	}
}
