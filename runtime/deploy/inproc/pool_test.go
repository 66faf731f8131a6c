package inproc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/registry"
	"woodwork.dev/ww/runtime/scale"
)

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// pooled is a world of one component whose handlers wait at a gate, and the bus
// and the registry that it is on.
type pooled struct {
	*world
	bus      bus.Bus
	registry registry.Registry
	gate     chan struct{}

	mu      sync.Mutex
	handled map[string]int
	scales  []string
}

func newPooled(t *testing.T, workers int, p *scale.Policy) *pooled {
	w := &pooled{world: newWorld(t), gate: make(chan struct{}), handled: map[string]int{}}
	w.opts.Components = w.opts.Components[:1]
	w.opts.Servers = nil
	w.opts.Components[0].Workers, w.opts.Components[0].Scale = workers, p
	w.opts.Components[0].Config.Settings = json.RawMessage(`{"concurrency": 1}`)
	w.opts.ScaleEvery = 5 * time.Millisecond
	open, tell := w.opts.OpenBus, w.opts.Report
	w.opts.OpenBus = func(ctx context.Context) (b bus.Bus, r registry.Registry, err error) {
		b, r, err = open(ctx)
		w.bus, w.registry = b, r
		return b, r, err
	}
	w.opts.Report = func(ev deploy.Progress) {
		tell(ev)
		if ev.Step.Op == plan.Scale && ev.Status == deploy.Running {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.scales = append(w.scales, ev.Step.Name+": "+ev.Step.Cause)
		}
	}
	w.handle = func(ctx context.Context, _ string, m bus.Message) (json.RawMessage, error) {
		select {
		case <-w.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.handled[m.SessionID]++
		return m.Payload, nil
	}
	return w
}

func (w *pooled) publish(from, to int) {
	w.t.Helper()
	for i := from; i < to; i++ {
		m := bus.Message{Pattern: bus.PointToPoint, Target: "b", Sender: "test", SessionID: fmt.Sprint(i), Payload: component.JSONString("x")}
		if err := w.bus.Publish(w.t.Context(), m); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *pooled) stats() bus.Stats {
	w.t.Helper()
	all, err := w.bus.Stats(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return all["b"]
}

// instances are those that the registry knows as ready.
func (w *pooled) instances() int {
	w.t.Helper()
	es, err := w.registry.List(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, e := range es {
		if e.Name == "b" && (e.State == registry.Ready || e.State == registry.Active) {
			ids[e.Instance] = true
		}
	}
	return len(ids)
}

// once checks that each of so many messages was handled, and once.
func (w *pooled) once(n int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.handled) != n {
		w.t.Errorf("%d of %d messages were handled", len(w.handled), n)
	}
	for id, times := range w.handled {
		if times != 1 {
			w.t.Errorf("message %s was handled %d times", id, times)
		}
	}
}

// TestWorkers: each has an id of its own, they share the messages, and all of them
// finish theirs at the end.
func TestWorkers(t *testing.T) {
	w := newPooled(t, 3, nil)
	s := w.start()
	if n := w.instances(); n != 3 {
		t.Errorf("%d instances are ready, want 3", n)
	}
	w.publish(0, 10)
	eventually(t, "each has a message", func() bool { return w.stats().InFlight == 3 })
	close(w.gate)
	w.stop(s)
	w.once(10)
}

// TestWorkersNotReady: it isn't up before all that it begins with are ready.
func TestWorkersNotReady(t *testing.T) {
	w := newPooled(t, 3, nil)
	var mu sync.Mutex
	built := 0
	w.build = func(string) error {
		mu.Lock()
		defer mu.Unlock()
		if built++; built == 2 {
			return fmt.Errorf("the second one is broken")
		}
		return nil
	}
	if s, err := inproc.Start(t.Context(), w.opts); err == nil || !strings.Contains(err.Error(), "the second one is broken") {
		t.Errorf("%v", err)
		if s != nil {
			w.stop(s)
		}
	}
}

// TestScale: more instances while messages wait, fewer when that is over, and each
// message is handled once, also by those that go.
func TestScale(t *testing.T) {
	w := newPooled(t, 1, &scale.Policy{Min: 1, Max: 4, Queue: 2, CPU: 50, Concurrency: 1, DownAfter: 100 * time.Millisecond, CoolDown: 50 * time.Millisecond})
	s := w.start()
	if n := w.instances(); n != 1 {
		t.Errorf("it begins with %d instances", n)
	}
	w.publish(0, 30)
	eventually(t, "four are ready", func() bool { return w.instances() == 4 && w.stats().InFlight == 4 })
	close(w.gate)
	eventually(t, "all but one are gone", func() bool { return w.instances() == 1 })
	w.publish(30, 40)
	eventually(t, "all is handled", func() bool { return w.stats().Depth == 0 })
	w.stop(s)
	w.once(40)
	if len(w.scales) < 2 || !strings.Contains(w.scales[0], "messages wait, 2 per instance are wanted") || !strings.Contains(w.scales[len(w.scales)-1], "needed") {
		t.Errorf("%q", w.scales)
	}
}

// TestScaleDownDrains: those that go finish what they have begun.
func TestScaleDownDrains(t *testing.T) {
	w := newPooled(t, 2, &scale.Policy{Min: 1, Max: 2, Queue: 100, Concurrency: 10, DownAfter: 50 * time.Millisecond})
	s := w.start()
	w.publish(0, 2)
	eventually(t, "each has a message", func() bool { return w.stats().InFlight == 2 })
	eventually(t, "one goes", func() bool { return w.instances() == 1 })
	if d := w.stats().Depth; d != 2 {
		t.Errorf("%d messages are there, want 2", d)
	}
	close(w.gate)
	eventually(t, "both are handled", func() bool { return w.stats().Depth == 0 })
	w.stop(s)
	w.once(2)
}

// TestScaleUpFails: instances that can't be had leave those that are there alone,
// and the end is in order.
func TestScaleUpFails(t *testing.T) {
	w := newPooled(t, 1, &scale.Policy{Min: 1, Max: 3, Queue: 1, Concurrency: 1, DownAfter: time.Minute, CoolDown: time.Minute})
	var mu sync.Mutex
	built := 0
	w.build = func(string) error {
		mu.Lock()
		defer mu.Unlock()
		if built++; built > 1 {
			return fmt.Errorf("there is room for one")
		}
		return nil
	}
	s := w.start()
	w.publish(0, 10)
	eventually(t, "more were tried", func() bool { mu.Lock(); defer mu.Unlock(); return built > 1 })
	close(w.gate)
	eventually(t, "all is handled", func() bool { return w.stats().Depth == 0 })
	if n := w.instances(); n != 1 {
		t.Errorf("%d instances are ready", n)
	}
	w.stop(s)
	w.once(10)
}

// TestWorkersMetrics: what instances count is added up.
func TestWorkersMetrics(t *testing.T) {
	w := newPooled(t, 3, nil)
	w.opts.Servers = []inproc.Server{{Name: "edge", Addr: net.JoinHostPort("127.0.0.1", "0"), Components: []string{"b"}, Health: true}}
	s := w.start()
	close(w.gate)
	w.publish(0, 9)
	eventually(t, "all is handled", func() bool { return w.stats().Depth == 0 })
	url := "http://" + s.Addresses()["edge"]
	status, body := call(t, "GET", url+"/metrics", "")
	for _, want := range []string{`ww_messages_handled_total{component="b",kind="core",type="test"} 9`, `ww_ready{component="b",kind="core",type="test"} 3`} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("%d, and no %s", status, want)
		}
	}
	if status, body := call(t, "GET", url+"/health", ""); status != 200 {
		t.Errorf("health: %d %s", status, body)
	}
	w.stop(s)
}
