package dockerx

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func TestRestartPolicy(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		events, _, err := h.Events(h.ctx, h.project.Name, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		s := h.service("a", "exit", "4")
		s.Restart = "on-failure:2"
		h.started(s)
		for i := range 3 {
			await(t, events, deploy.ActionStart)
			if ev := await(t, events, deploy.ActionDie); ev.ExitCode != 4 {
				t.Errorf("end %d: exit code %d", i+1, ev.ExitCode)
			}
		}
		c := h.only()
		for (c.State == plan.Running || c.State == plan.Restarting) && h.ctx.Err() == nil {
			c = h.only() // an engine tells of the end a moment before its listings show it
		}
		if c.State != plan.Exited || c.ExitCode != 4 {
			t.Errorf("%+v", c)
		}
	})
}

// TestFakeControls holds what tests of others rely on.
func TestFakeControls(t *testing.T) {
	h := newFake(t, enginetest.Options{Images: []string{testImage}})
	h.service("a", "run")
	h.fake.SetBehaviour("a", enginetest.Behaviour{Health: enginetest.HealthWhenAsked})
	events, _, err := h.Events(h.ctx, h.project.Name, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	s := h.project.Services["a"]
	s.HealthCheck = &types.HealthCheckConfig{Test: []string{"CMD", "x"}}
	id := h.started(s)
	if c := h.only(); c.Health != plan.Starting {
		t.Errorf("before it is asked: %+v", c)
	}
	h.fake.SetHealth("a", true)
	await(t, events, deploy.ActionHealthy)
	h.fake.SetHealth("a", false)
	await(t, events, deploy.ActionUnhealthy)
	h.fake.Print("a", enginetest.Line{Text: "printed"})
	h.awaitLine(id, "printed")
	h.fake.Inject(enginetest.Fault{Op: "container.inspect", N: 2, Kind: enginetest.Late, Delay: time.Millisecond})
	h.fake.Inject(enginetest.Fault{Op: "container.inspect", N: 3, Kind: enginetest.Fail, Status: http.StatusNotFound, Message: "gone"})
	for i := range 3 {
		if _, err := h.Inspect(h.ctx, id); (err != nil) != (i == 2) {
			t.Errorf("inspect %d: %v", i+1, err)
		}
	}
	h.fake.Exit("a", 9)
	if ev := await(t, events, deploy.ActionDie); ev.ExitCode != 9 {
		t.Errorf("%+v", ev)
	}
	h.fake.Stop()
	_, err = h.Observe(h.ctx, h.project.Name, nil)
	wantKind(t, err, deploy.Unreachable)
}

// TestAtTheSameTime has the race detector look at what an executor does.
func TestAtTheSameTime(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		s := h.service("a", "run")
		var wg sync.WaitGroup
		errs := make(chan error, 64)
		for n := range 8 {
			wg.Go(func() {
				id, err := h.Create(h.ctx, h.project, h.spec(s, n+1))
				if err == nil {
					err = h.Start(h.ctx, id)
				}
				if err == nil {
					_, err = h.Observe(h.ctx, h.project.Name, h.project)
				}
				if err != nil {
					errs <- fmt.Errorf("container %d: %w", n+1, err)
				}
			})
		}
		wg.Wait()
		close(errs)
		for err := range errs {
			t.Error(err)
		}
		if o := h.observe(); len(o.Containers) != 8 || o.Containers[7].Number != 8 {
			t.Errorf("%+v", o.Containers)
		}
		if h.fake != nil && len(h.fake.Calls("ping")) != 1 {
			t.Errorf("%d pings", len(h.fake.Calls("ping")))
		}
	})
}

func TestRequestsNameTheEngine(t *testing.T) {
	h := newFake(t, newestFake())
	if h.transport.Proxy != nil {
		t.Error("requests to a socket would go through a proxy")
	}
	for host, want := range map[string]string{"tcp://engine.example:2375": "engine.example:2375", "tcp://engine.example": "engine.example:2375"} {
		e := openAt(t, host)
		req, err := request(t.Context(), e.client, http.MethodGet, "/events", nil, nil)
		if err != nil || req.Host != want || !strings.HasPrefix(req.URL.Path, "/v1.") {
			t.Errorf("%s: %v, %v", host, req, err)
		}
	}
}
