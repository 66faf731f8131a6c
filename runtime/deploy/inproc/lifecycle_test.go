package inproc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/memory"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/runtime/registry"
)

// TestOutlivesStart: what begins during the start goes on when the start's context
// has ended: consumers, the registry, and whoever tries again what has failed.
func TestOutlivesStart(t *testing.T) {
	w := newWorld(t)
	w.opts.OpenBus = func(context.Context) (bus.Bus, registry.Registry, error) {
		o := memory.Options{Log: slog.New(slog.DiscardHandler), Backoff: bus.Backoff{Min: time.Millisecond, Max: time.Millisecond}}
		return memory.New(o), registry.NewMemory(), nil
	}
	var attempts atomic.Int64
	w.handle = func(context.Context, string, bus.Message) (json.RawMessage, error) {
		if attempts.Add(1) < 3 {
			return nil, errors.New("not yet")
		}
		return component.JSONString("at last"), nil
	}
	ctx, end := context.WithCancel(t.Context())
	s, err := inproc.Start(ctx, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer w.stop(s)
	end()
	url := "http://" + s.Addresses()["edge"]
	if status, body := call(t, "POST", url+"/b/input", `{"value":"x"}`); status != http.StatusOK || attempts.Load() != 3 {
		t.Errorf("%d %s after %d attempts", status, body, attempts.Load())
	}
	if status, body := call(t, "GET", url+"/health", ""); status != http.StatusOK {
		t.Errorf("health: %d %s", status, body)
	}
}

// TestBusyHandler: one that only computes, and hands on to nobody, holds up neither
// the bus nor another component.
func TestBusyHandler(t *testing.T) {
	w := newWorld(t)
	var stop atomic.Bool
	begun := make(chan struct{})
	w.handle = func(_ context.Context, name string, m bus.Message) (json.RawMessage, error) {
		if name == "a" {
			close(begun)
			for !stop.Load() {
			}
		}
		return m.Payload, nil
	}
	s := w.start()
	defer w.stop(s)
	defer stop.Store(true)
	url := "http://" + s.Addresses()["edge"]
	call(t, "POST", url+"/a/messages", `{"value":"x"}`)
	<-begun
	for range 20 {
		if status, body := call(t, "POST", url+"/b/input", `{"value":"x"}`); status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
}

// TestBuiltTogether: those that don't depend on each other are built at the same
// time, around one bus, which is opened once.
func TestBuiltTogether(t *testing.T) {
	w := newWorld(t)
	w.opts.Components[1].DependsOn = nil
	var opened atomic.Int64
	open := w.opts.OpenBus
	w.opts.OpenBus = func(ctx context.Context) (bus.Bus, registry.Registry, error) {
		opened.Add(1)
		return open(ctx)
	}
	var building atomic.Int64
	all := make(chan struct{})
	w.build = func(string) error { // ends once all are being built
		if int(building.Add(1)) == len(w.opts.Components) {
			close(all)
		}
		select {
		case <-all:
			return nil
		case <-time.After(5 * time.Second):
			return errors.New("the others aren't being built")
		}
	}
	w.stop(w.start())
	if n := opened.Load(); n != 1 {
		t.Errorf("the bus was opened %d times", n)
	}
}

// TestWaitingCostsNoThread: many connections and handlers that wait need no thread
// each.
func TestWaitingCostsNoThread(t *testing.T) {
	const n = 200
	w := newWorld(t)
	w.opts.Components[0].Config.Settings = json.RawMessage(fmt.Sprintf(`{"concurrency": %d}`, n))
	gate := make(chan struct{})
	var begun, answered sync.WaitGroup
	begun.Add(n)
	w.handle = func(_ context.Context, _ string, m bus.Message) (json.RawMessage, error) {
		begun.Done()
		<-gate
		return m.Payload, nil
	}
	s := w.start()
	defer w.stop(s)
	threads := pprof.Lookup("threadcreate")
	before := threads.Count()
	url := "http://" + s.Addresses()["edge"] + "/b/input"
	for i := range n {
		answered.Go(func() {
			res, err := http.Post(url, "application/json", strings.NewReader(fmt.Sprintf(`{"value":"x","session":"%d"}`, i)))
			if err != nil {
				t.Error(err)
				return
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Error(res.Status)
			}
		})
	}
	begun.Wait()
	if more := threads.Count() - before; more > n/4 {
		t.Errorf("%d threads more for %d that wait", more, n)
	}
	close(gate)
	answered.Wait()
}

// TestNoEndpoints: a server has the endpoints that it is to have.
func TestNoEndpoints(t *testing.T) {
	w := newWorld(t)
	w.opts.Servers[0].Health, w.opts.Servers[0].Discovery = false, false
	s := w.start()
	defer w.stop(s)
	url := "http://" + s.Addresses()["edge"]
	for path, want := range map[string]int{"/health": http.StatusNotFound, "/components": http.StatusNotFound, "/metrics": http.StatusOK} {
		if status, body := call(t, "GET", url+path, ""); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
}

// TestNoMoreTime: what is being handled has as long as the bus has to empty, and is
// cut off where whoever waits has had enough.
func TestNoMoreTime(t *testing.T) {
	for _, test := range []struct {
		name  string
		drain time.Duration
		give  bool // up
	}{{"over", 50 * time.Millisecond, false}, {"given up", time.Hour, true}} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			begun := make(chan struct{})
			w.handle = func(ctx context.Context, _ string, _ bus.Message) (json.RawMessage, error) {
				close(begun)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			w.opts.Drain = test.drain
			for i := range w.opts.Components {
				w.opts.Components[i].Grace = time.Hour
			}
			s := w.start()
			b, _, err := s.Bus(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Publish(t.Context(), bus.Message{Target: "b", Payload: json.RawMessage("1")}); err != nil {
				t.Fatal(err)
			}
			<-begun
			ctx, end := context.WithCancel(t.Context())
			defer end()
			if test.give {
				end()
			}
			sum, err := s.Stop(ctx)
			if err != nil || sum.Left["b"] != 1 || len(sum.Forced) > 0 {
				t.Errorf("%+v, %v", sum, err)
			}
		})
	}
}

// TestListensWhereAsked: an address of version 4 opens nothing of version 6.
func TestListensWhereAsked(t *testing.T) {
	w := newWorld(t)
	w.opts.Servers[0].Addr, w.opts.Servers[0].Token = "0.0.0.0:0", "sesame"
	s := w.start()
	defer w.stop(s)
	if addr := s.Addresses()["edge"]; !strings.HasPrefix(addr, "0.0.0.0:") {
		t.Errorf("it listens on %s", addr)
	}
}
