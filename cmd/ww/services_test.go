package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/registry"
)

// services --watch shows who is there each time that this changes.
func TestWatchServices(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(w.ctx)
	e := registry.Entry{Name: "greet", Kind: "core", Type: "template", Instance: "1", State: registry.Ready}
	w.must(w.registry.Announce(ctx, e))
	w.remote.deployments = map[string]string{"greet": "edge"}
	looks := 0
	w.tool.out = writer(func(p []byte) (int, error) {
		var a attendance
		w.must(json.Unmarshal(p, &a))
		switch looks++; {
		case looks == 1 && len(a.Services) == 1 && a.Services[0].Deployment == "edge" && a.Services[0].State == registry.Ready:
			e.State, e.Load = registry.Active, 0.5
			w.must(w.registry.Announce(ctx, e))
		case looks == 2 && len(a.Services) == 1 && a.Services[0].Load == 0.5:
			w.must(w.registry.Withdraw(ctx, "greet", "1"))
		case looks == 3 && a.Services != nil && len(a.Services) == 0:
			cancel()
		default:
			t.Errorf("look %d: %s", looks, p)
			cancel()
		}
		return len(p), nil
	})
	w.must(w.tool.watchServices(ctx, w.reach, time.Millisecond, true))
	if code := <-w.ended; looks != 3 || code != exitOK {
		t.Errorf("%d looks; the other side ends with %d", looks, code)
	}
}

// What is as it was is shown once.
func TestWatchServicesSame(t *testing.T) {
	w := newWorld(t)
	const greet = `{"item":{"services":[{"name":"greet","instance":"1","state":"ready"}]}}` + "\n"
	const none = `{"item":{"services":[]}}` + "\n"
	r := writes(greet+greet+none+none+greet, "", 0)
	reach := func(context.Context) (*remote, func(), error) { return r, func() {}, nil }
	w.must(w.tool.watchServices(w.ctx, reach, time.Millisecond, true))
	if got := w.printed(); strings.Count(got, "\n") != 3 || strings.Count(got, "greet") != 2 {
		t.Errorf("shown:\n%s", got)
	}
}
