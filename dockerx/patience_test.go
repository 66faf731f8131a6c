package dockerx

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
)

// TestSilence: an engine that takes calls and doesn't answer is given up, with a
// word on what to do; one whose answer comes bit by bit isn't.
func TestSilence(t *testing.T) {
	fake := enginetest.Start(t, enginetest.Options{Images: []string{testImage}, Exec: fakeExec})
	h := newHarness(t, fake, Options{Host: fake.Host(), ConfigDir: t.TempDir(), Answer: 100 * time.Millisecond})
	id := h.started(h.service("a", "run"))
	for op, call := range map[string]func() error{
		"events":          func() error { _, _, err := h.Events(h.ctx, h.project.Name, time.Time{}); return err },
		"container.list":  func() error { _, err := h.Observe(h.ctx, h.project.Name, nil); return err },
		"container.start": func() error { return h.Start(h.ctx, id) },
		"container.kill":  func() error { return h.Kill(h.ctx, id, "HUP") },
	} {
		fake.Inject(enginetest.Fault{Op: op, N: 1, Kind: enginetest.Hang})
		e := wantKind(t, call(), deploy.Unreachable)
		if !strings.Contains(e.Error(), "not answered for 100ms") || !strings.Contains(e.Remedy, "docker info") {
			t.Errorf("%s: %v, %s", op, e, e.Remedy)
		}
		if err := call(); err != nil {
			t.Errorf("%s, the next time: %v", op, err)
		}
	}
	events, ended, err := h.Events(h.ctx, h.project.Name, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, func() { _ = h.Kill(h.ctx, id, "KILL") }) // the event tells
	if _, ok := <-events; !ok {
		t.Errorf("a stream ends with the patience for its beginning: %v", ended())
	}
}

// TestOwed: what may take as long as it likes has no bound.
func TestOwed(t *testing.T) {
	for call, want := range map[string]time.Duration{
		"GET /_ping":                        1,
		"HEAD /_ping":                       1,
		"GET /v1.41/containers/json":        1,
		"GET /v1.41/images/a/b:c/json":      1,
		"GET /v1.41/events":                 1,
		"GET /v1.41/containers/x/logs":      0,
		"GET /v1.41/containers/x/archive":   0,
		"PUT /v1.41/containers/x/archive":   0,
		"POST /v1.41/containers/create":     5,
		"POST /v1.41/containers/x/start":    1,
		"POST /v1.41/containers/x/stop":     0,
		"POST /v1.41/containers/x/restart":  0,
		"POST /v1.41/containers/x/wait":     0,
		"POST /v1.41/containers/x/exec":     1,
		"POST /v1.41/exec/x/start":          0,
		"POST /v1.41/networks/create":       1,
		"POST /v1.41/networks/x/connect":    1,
		"POST /v1.41/volumes/create":        1,
		"POST /v1.41/images/create":         0,
		"POST /v1.41/build":                 0,
		"DELETE /v1.41/volumes/x":           5,
		"DELETE /v1.41/containers/x?v=true": 5,
	} {
		method, url, _ := strings.Cut(call, " ")
		r, err := http.NewRequest(method, "http://engine"+url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := owed(r); got != want {
			t.Errorf("%s: %d, want %d", call, got, want)
		}
	}
}
