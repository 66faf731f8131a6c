package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/registry"
)

// watchedBus tells of each look at the queues.
type watchedBus struct {
	shared
	looks chan struct{}
}

func (b watchedBus) Stats(ctx context.Context) (map[string]bus.Stats, error) {
	select {
	case b.looks <- struct{}{}:
	default:
	}
	return b.shared.Stats(ctx)
}

// TestDrainedWaits: who asks whether the bus is empty is told what is left, and
// holds no component up that is to stop.
func TestDrainedWaits(t *testing.T) {
	s := newSystem(t)
	release, ready := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var consuming sync.WaitGroup
	t.Cleanup(func() { cancel(); consuming.Wait() })
	consuming.Go(func() {
		err := s.bus.Consume(ctx, bus.Consumer{Component: "slow", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
			<-release
			return nil, nil
		}}, func() { close(ready) })
		if err != nil {
			t.Error(err)
		}
	})
	<-ready
	t.Cleanup(func() { close(release) })
	if err := s.bus.Publish(t.Context(), bus.Message{Target: "slow", Payload: json.RawMessage(`1`)}); err != nil {
		t.Fatal(err)
	}
	o := s.options(component.Config{Name: "c"}, handler(func(context.Context, bus.Message, component.Out) (json.RawMessage, error) { return nil, nil }))
	looks := make(chan struct{}, 1)
	o.OpenBus = func(context.Context) (bus.Bus, registry.Registry, error) {
		return watchedBus{shared{s.bus}, looks}, s.registry, nil
	}
	o.Grace = 3 * patience
	r := start(t, o)
	if status, body := r.get("/drained?wait=1ms"); status != 200 || !strings.Contains(body, `"drained":false,"left":{"slow":1}`) {
		t.Errorf("%d %s", status, body)
	}
	for len(looks) > 0 {
		<-looks
	}
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		if res, err := http.Get("http://" + r.addr + "/drained?wait=5m"); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-looks
	if err := r.stop(); err != nil { // it fails where that takes longer than patience
		t.Error(err)
	}
	<-waiting
}

// mute says of its queues only what isn't for everybody.
type mute struct{ shared }

func (mute) Stats(context.Context) (map[string]bus.Stats, error) {
	return nil, errors.New("dial redis://someone:hidden@bus:6379: refused")
}

// TestDrainedHidesTheBus: how the bus fails is in the log, and not in an answer.
func TestDrainedHidesTheBus(t *testing.T) {
	s := newSystem(t)
	o := s.options(component.Config{Name: "c"}, handler(func(context.Context, bus.Message, component.Out) (json.RawMessage, error) { return nil, nil }))
	o.OpenBus = func(context.Context) (bus.Bus, registry.Registry, error) { return mute{shared{s.bus}}, s.registry, nil }
	r := start(t, o)
	status, body := r.get("/drained?wait=1s")
	if status != 503 || !strings.Contains(body, "can't say what waits") || strings.Contains(body, "hidden") {
		t.Errorf("%d %s", status, body)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(r.log.String(), "refused") {
		t.Errorf("the log doesn't say why:\n%s", r.log)
	}
}
