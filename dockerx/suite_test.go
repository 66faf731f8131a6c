package dockerx

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func TestLifecycle(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		id := h.create(h.service("a", "run"))
		if c := h.only(); c.ID != id || c.State != plan.Created || c.Service != "a" || c.Number != 1 ||
			c.OneOff || c.ConfigHash != "hash-of-a" || c.Image != testImage ||
			len(c.DependsOn) != 1 || c.DependsOn[0] != (plan.Dependency{Service: "bus", Condition: "service_healthy", Restart: true}) {
			t.Errorf("created: %+v", c)
		}
		for range 2 { // the second time it runs already
			if err := h.Start(h.ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		h.awaitLine(id, "ready")
		if c := h.only(); c.State != plan.Running || c.Health != "" || !strings.HasPrefix(c.Status, "Up ") {
			t.Errorf("running: %+v", c)
		}
		c, err := h.Inspect(h.ctx, id)
		if err != nil || c.Name != h.project.Name+"-a-1" || c.State != plan.Running || c.Service != "a" || c.Created.IsZero() {
			t.Errorf("inspect: %+v, %v", c, err)
		}
		if err := h.Pause(h.ctx, id); err != nil || h.only().State != plan.Paused {
			t.Errorf("paused: %+v, %v", h.only(), err)
		}
		if err := h.Unpause(h.ctx, id); err != nil || h.only().State != plan.Running {
			t.Errorf("unpaused: %+v, %v", h.only(), err)
		}
		for range 2 { // the second time it doesn't run any more
			if err := h.Stop(h.ctx, id, nil); err != nil {
				t.Fatal(err)
			}
		}
		if c := h.only(); c.State != plan.Exited || c.ExitCode != 0 {
			t.Errorf("stopped: %+v", c)
		}
		if err := h.Kill(h.ctx, id, "SIGKILL"); err != nil {
			t.Errorf("kill what doesn't run: %v", err)
		}
		for range 2 { // the second time it is gone
			if err := h.Remove(h.ctx, id, true); err != nil {
				t.Fatal(err)
			}
		}
		if o := h.observe(); len(o.Containers) != 0 {
			t.Errorf("removed: %+v", o.Containers)
		}
		if err := errors.Join(h.Stop(h.ctx, id, nil), h.Kill(h.ctx, id, "SIGTERM")); err != nil {
			t.Errorf("stop and kill what is gone: %v", err)
		}
		_, err = h.Inspect(h.ctx, id)
		wantKind(t, err, deploy.NotFound)
	})
}

func TestStopWithGrace(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		id := h.started(h.service("a", "stubborn"))
		h.awaitLine(id, "ready")
		ctx, cancel := context.WithTimeout(h.ctx, 50*time.Millisecond)
		defer cancel()
		long := time.Minute
		if err := h.Stop(ctx, id, &long); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("stop with a context that ends: %v", err)
		}
		short := 300 * time.Millisecond // rounded up to a second
		if err := h.Stop(h.ctx, id, &short); err != nil {
			t.Fatal(err)
		}
		if c := h.only(); c.State != plan.Exited || c.ExitCode != 137 {
			t.Errorf("killed after the grace: %+v", c)
		}
	})
}

// TestAwaitStops: a container that is being stopped for somebody who is gone is
// waited for, one that got another signal, or started again, or runs, isn't touched.
func TestAwaitStops(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		begin := time.Now().Add(-time.Second)
		runs, again := h.started(h.service("runs", "run")), h.started(h.service("again", "run"))
		told := h.service("told", "run")
		told.StopSignal = "SIGQUIT"
		signalled := h.started(told)
		if err := errors.Join(h.Kill(h.ctx, runs, "WINCH"), h.Kill(h.ctx, signalled, "SIGWINCH"), h.Kill(h.ctx, runs, "URG")); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(h.Stop(h.ctx, again, nil), h.Start(h.ctx, again)); err != nil {
			t.Fatal(err)
		}
		grace := types.Duration(2 * time.Second)
		stubborn := h.service("stubborn", "stubborn")
		stubborn.StopGracePeriod = &grace
		stopping := h.started(stubborn)
		h.awaitLine(stopping, "ready")
		ctx, cancel := context.WithTimeout(h.ctx, 100*time.Millisecond)
		defer cancel()
		if err := h.Stop(ctx, stopping, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("stop with a context that ends: %v", err)
		}
		if err := h.AwaitStops(h.ctx, h.project.Name, begin); err != nil {
			t.Fatal(err)
		}
		for _, c := range h.observe().Containers {
			if want := map[string]plan.State{runs: plan.Running, signalled: plan.Running, again: plan.Running, stopping: plan.Exited}[c.ID]; c.State != want {
				t.Errorf("%s is %s, want %s", c.Name, c.State, want)
			}
		}
	})
}

func TestEvents(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		ctx, cancel := context.WithCancel(h.ctx)
		defer cancel()
		events, ended, err := h.Events(ctx, h.project.Name, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now().Add(-time.Minute)
		id := h.started(h.service("a", "exit", "3"))
		for _, action := range []deploy.Action{deploy.ActionCreate, deploy.ActionStart, deploy.ActionDie} {
			ev := await(t, events, action)
			if ev.Container != id || ev.Service != "a" || ev.Number != 1 || ev.Name != h.project.Name+"-a-1" || ev.Time.Before(before) {
				t.Errorf("%s: %+v", action, ev)
			}
			if action == deploy.ActionDie && ev.ExitCode != 3 {
				t.Errorf("die: exit code %d", ev.ExitCode)
			}
		}
		// An engine tells of the end a moment before its listings show it.
		c := h.only()
		for c.State == plan.Running && h.ctx.Err() == nil {
			c = h.only()
		}
		if c.State != plan.Exited || c.ExitCode != 3 {
			t.Errorf("observed: %+v", c)
		}
		if err := h.Remove(h.ctx, id, false); err != nil {
			t.Fatal(err)
		}
		await(t, events, deploy.ActionDestroy)
		cancel()
		for range events { // until it is closed
		}
		if err := ended(); !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		// Those that are past are there for who asks for them.
		past, _, err := h.Events(h.ctx, h.project.Name, before)
		if err != nil {
			t.Fatal(err)
		}
		if ev := await(t, past, deploy.ActionDie); ev.ExitCode != 3 {
			t.Errorf("past die: %+v", ev)
		}
	})
}

func TestHealth(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		events, _, err := h.Events(h.ctx, h.project.Name, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		s := h.service("a", "run")
		second := types.Duration(time.Second)
		s.HealthCheck = &types.HealthCheckConfig{Test: []string{"CMD", "/app", "check"}, Interval: &second}
		id := h.started(s)
		if ev := await(t, events, deploy.ActionHealthy); ev.Container != id {
			t.Errorf("%+v", ev)
		}
		if c := h.only(); c.Health != plan.Healthy {
			t.Errorf("observed: %+v", c)
		}
		if c, err := h.Inspect(h.ctx, id); err != nil || c.Health != plan.Healthy {
			t.Errorf("inspected: %+v, %v", c, err)
		}
	})
}

func TestLogs(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		id := h.started(h.service("a", "say", "to stdout", "to stderr"))
		var out, err bytes.Buffer
		if e := h.Logs(h.ctx, id, deploy.LogOptions{Follow: true}, &out, &err); e != nil {
			t.Fatal(e)
		}
		if out.String() != "to stdout\n" || err.String() != "to stderr\n" {
			t.Errorf("stdout %q, stderr %q", out.String(), err.String())
		}
		out.Reset()
		if e := h.Logs(h.ctx, id, deploy.LogOptions{Tail: "0"}, &out, &out); e != nil || out.Len() > 0 {
			t.Errorf("no lines: %q, %v", out.String(), e)
		}
		wantKind(t, h.Logs(h.ctx, "wwtest-none", deploy.LogOptions{}, nil, nil), deploy.NotFound)

		id = h.started(h.service("b", "run"))
		ctx, cancel := context.WithCancel(h.ctx)
		w := &lineWatcher{line: "ready", found: cancel}
		if e := h.Logs(ctx, id, deploy.LogOptions{Follow: true}, w, w); !errors.Is(e, context.Canceled) {
			t.Errorf("followed until the context ends: %v", e)
		}
	})
}

func TestExec(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		id := h.started(h.service("a", "run"))
		var out, errOut bytes.Buffer
		code, err := h.Exec(h.ctx, id, deploy.ExecSpec{Cmd: []string{"/app", "say", "one", "two"}, Stdout: &out, Stderr: &errOut})
		if err != nil || code != 0 || out.String() != "one\n" || errOut.String() != "two\n" {
			t.Errorf("say: %d, %v, %q, %q", code, err, out.String(), errOut.String())
		}
		if code, err = h.Exec(h.ctx, id, deploy.ExecSpec{Cmd: []string{"/app", "exit", "7"}}); err != nil || code != 7 {
			t.Errorf("exit: %d, %v", code, err)
		}
		out.Reset()
		input := strings.Repeat("through the container\n", 10_000)
		code, err = h.Exec(h.ctx, id, deploy.ExecSpec{Cmd: []string{"/app", "cat"}, Stdin: strings.NewReader(input), Stdout: &out})
		if err != nil || code != 0 || out.String() != input {
			t.Errorf("cat: %d, %v, %d bytes, want %d", code, err, out.Len(), len(input))
		}
		// What it doesn't read is lost, and nothing else is.
		out.Reset()
		code, err = h.Exec(h.ctx, id, deploy.ExecSpec{Cmd: []string{"/app", "peek"}, Stdin: strings.NewReader(input), Stdout: &out})
		if err != nil || code != 3 || out.String() != input[:1] {
			t.Errorf("peek: %d, %v, %q", code, err, out.String())
		}
		ctx, cancel := context.WithTimeout(h.ctx, 100*time.Millisecond)
		defer cancel()
		never, stop := blockingReader()
		defer stop()
		if _, err := h.Exec(ctx, id, deploy.ExecSpec{Cmd: []string{"/app", "cat"}, Stdin: never}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that ends: %v", err)
		}
		if err := h.Kill(h.ctx, id, "SIGKILL"); err != nil {
			t.Fatal(err)
		}
		_, err = h.Exec(h.ctx, id, deploy.ExecSpec{Cmd: []string{"/app", "exit", "0"}})
		wantKind(t, err, deploy.Conflict)
	})
}

func TestAttach(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		s := h.service("a", "cat")
		s.StdinOpen = true
		id := h.started(s)
		// Without this the end of the input would end the attachment only.
		var out bytes.Buffer
		r, w := blockingPipe()
		done := make(chan error, 1)
		go func() { done <- h.Attach(h.ctx, id, false, r, lineEnd(&out, w), nil) }()
		if _, err := w.Write([]byte("hello\n")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-w.closed:
		case <-h.ctx.Done():
			t.Fatal("nothing came back")
		}
		if err := h.Kill(h.ctx, id, "SIGKILL"); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("attach: %v", err)
		}
		if out.String() != "hello\n" {
			t.Errorf("output %q", out.String())
		}
		err := h.Attach(h.ctx, "wwtest-none", false, nil, nil, nil)
		wantKind(t, err, deploy.NotFound)
	})
}
