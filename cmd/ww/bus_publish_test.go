package main

import (
	"testing"

	"woodwork.dev/ww/runtime/registry"
)

// TestTakesMessages: what says of itself that it takes none is told apart from
// what does, and from what doesn't say yet.
func TestTakesMessages(t *testing.T) {
	r := registry.NewMemory()
	for name, can := range map[string][]string{"in": {"http"}, "greet": {"messages"}, "new": nil} {
		if err := r.Announce(t.Context(), registry.Entry{Name: name, Instance: "1", Kind: "input", Type: "api", Capabilities: can}); err != nil {
			t.Fatal(err)
		}
	}
	a := &agent{registry: r}
	for name, want := range map[string]bool{"in": false, "greet": true, "new": true, "absent": true} {
		if err := a.takesMessages(t.Context(), name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
