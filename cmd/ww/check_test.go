package main

import (
	"fmt"
	"strings"
	"testing"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/connect"
	"woodwork.dev/ww/syntax"
)

// mistaken reports whether a check finds an error.
func mistaken(t *testing.T, format string, args ...any) bool {
	t.Helper()
	f, diags := syntax.Parse("main.ww", fmt.Appendf(nil, format, args...))
	if diags.HasErrors() {
		t.Fatalf("it doesn't parse: %v", diags)
	}
	_, diags = model.Resolve(f)
	return diags.HasErrors()
}

// The model doesn't know the bus: what it refuses of topics and URLs is what
// the bus would refuse.
func TestCheckKnowsTheBus(t *testing.T) {
	for _, topic := range []string{
		"a", "a.b", "a..b", ".a", "a.", "", ".", "*", ">", "a.*", "a.>", ">.a", "a.>.b", "*.a.*", "a*", "a b", "a:b", "a\tb", "ü.ß",
		"a\u00a0b", strings.Repeat("x", 512), strings.Repeat("x", 513), "a.>>", "a.**.b",
	} {
		if got, want := mistaken(t, `out = output console { subscribe: %q }`, topic), bus.CheckPattern(topic) != nil; got != want {
			t.Errorf("subscribe to %q: a mistake: %v; the bus refuses it: %v", topic, got, want)
		}
		if got, want := mistaken(t, `in = input command_line { to: %q }`, topic), bus.CheckTopic(topic) != nil; got != want {
			t.Errorf("publish on %q: a mistake: %v; the bus refuses it: %v", topic, got, want)
		}
	}
	for _, url := range []string{
		"redis://host", "rediss://host:1", "redis+cluster://host:1", "nats://host", "tls://host", "wss://host", "memory://",
		"amqp://host", "host", "REDIS://host", "redis://", "redis:host",
	} {
		if got, want := mistaken(t, `l = local { message_bus = %q }`, url), connect.Check(url) != nil; got != want {
			t.Errorf("%s: a mistake: %v; refused: %v", url, got, want)
		}
	}
}
