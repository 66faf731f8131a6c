package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/registry"
)

// other makes a remote of which the other side does what f does.
func other(hard context.Context, f func(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) (int, error)) *remote {
	return &remote{name: "demo-in-1", hard: hard, run: f}
}

// writes is another side that writes and ends.
func writes(out, err string, code int) *remote {
	return other(context.Background(), func(_ context.Context, _ io.Reader, stdout, stderr io.Writer) (int, error) {
		_, _ = io.WriteString(stdout, out) // whoever reads may have heard enough
		_, _ = io.WriteString(stderr, err)
		return code, nil
	})
}

func ignore(json.RawMessage) error { return nil }

func TestRemoteFailures(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		r     *remote
		code  int
		words []string
	}{
		"a ww without the inner half": {writes("", "error: there is no command", exitUsage), exitConfig, []string{"can't look into the bus", "`ww compose up -d` replaces them"}},
		"killed":                      {writes("", "", 137), exitComponent, []string{"through demo-in-1 failed (exit code 137): it wrote nothing"}},
		"a failure of its own":        {writes("", "level=x\nno \x1b[2Jenvironment\n", 1), exitComponent, []string{`level=x no \x1b[2Jenvironment`}},
		"not JSON":                    {writes("hello\n", "", 0), exitFailed, []string{"isn't JSON: hello"}},
		"an error":                    {writes(`{"error":"no bus","remedy":"wait","code":1}`+"\n", "", 1), exitComponent, []string{"no bus", "wait"}},
		"a wrong command line":        {writes(`{"error":"no such","remedy":"look","code":2}`+"\n", "", 2), exitUsage, []string{"no such", "look"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.r.once(w.ctx, order{Op: opServices}, ignore)
			w.fails(err, c.code, c.words...)
		})
	}
	w.fails(writes(`{"item":1}`+"\n", "", 0).once(w.ctx, order{}, func(json.RawMessage) error { return io.ErrShortWrite }), exitFailed, io.ErrShortWrite.Error())
	_, err := only[look](w.ctx, writes("", "", 0), order{})
	w.fails(err, exitFailed, "0 results, want one")
	_, err = only[look](w.ctx, writes(`{"item":[]}`+"\n", "", 0), order{})
	w.fails(err, exitFailed, "isn't what was asked for")
}

// A bus that isn't there is said in one way, whichever command notices it and
// how.
func TestBusAway(t *testing.T) {
	for name, order := range map[string]func(w *world) error{
		"stats":    func(w *world) error { return w.tool.stats(w.ctx, w.remote, nil, true) },
		"services": func(w *world) error { return w.tool.services(w.ctx, w.remote, true) },
		"trace":    func(w *world) error { return w.tool.trace(w.ctx, w.remote, "s", true) },
		"tail":     func(w *world) error { return w.tool.tail(w.ctx, w.remote, nil, true) },
		"drain":    func(w *world) error { return w.tool.drain(w.ctx, w.remote, nil, time.Minute, true) },
		"dlq ls":   func(w *world) error { return w.tool.listDead(w.ctx, w.remote, deadRequest{limit: 1}) },
		"requeue":  func(w *world) error { return w.tool.requeueDead(w.ctx, w.remote, deadRequest{all: true}) },
		"publish": func(w *world) error {
			return w.tool.publish(w.ctx, w.remote, &bus.Message{Target: "greet", Payload: json.RawMessage("1")}, false, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.must(w.bus.Close())
			w.failing = errors.New("dial tcp: lookup message-bus: no such host")
			w.fails(order(w), exitComponent, "message-bus can't be used: dial tcp: lookup message-bus", remedyBus)
			w.remote.trouble = func(context.Context) string { return "exited (137) 2 seconds ago" }
			w.fails(order(w), exitComponent, "message-bus isn't running: exited (137) 2 seconds ago", remedyBus)
			if name == "services" {
				return // the registry of these tests is in no bus
			}
			w.failing = nil
			w.fails(order(w), exitComponent, "message-bus isn't running: exited (137) 2 seconds ago", remedyBus)
			w.remote.trouble = nil
			w.fails(order(w), exitComponent, "message-bus can't be used: "+bus.ErrClosed.Error(), remedyBus)
		})
	}
}

// A bus that goes while something waits for it ends that.
func TestBusGoes(t *testing.T) {
	for name, order := range map[string]func(*world) error{
		"tail":  func(w *world) error { return w.tool.tail(w.ctx, w.remote, nil, true) },
		"drain": func(w *world) error { return w.tool.drain(w.ctx, w.remote, nil, time.Hour, true) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.publish(text("m", "nobody", "s", "waits"))
			w.sick.Store(true) // it holds its tongue, and ends nothing by itself
			w.fails(order(w), exitComponent, "message-bus can't be used: it is away", remedyBus)
		})
	}
}

// Where the container goes, too, it is the system that isn't there.
func TestAllGoes(t *testing.T) {
	w := newWorld(t)
	r := writes("", "", 137)
	r.trouble = func(context.Context) string { return `nothing of project "demo" is` }
	w.fails(r.watch(w.ctx, order{Op: opTail}, ignore), exitComponent, `message-bus isn't running: nothing of project "demo" is`, remedyNothing)
}

// The engine's own failure is the command's.
func TestRemoteEngineError(t *testing.T) {
	w := newWorld(t)
	r := other(w.ctx, func(context.Context, io.Reader, io.Writer, io.Writer) (int, error) {
		return -1, &deploy.EngineError{Kind: deploy.Unreachable, What: "run", Err: errors.New("gone"), Remedy: "start it"}
	})
	w.fails(r.once(w.ctx, order{}, ignore), exitEngine, "run: gone", "start it")
}

// One that doesn't hear that it is to end is left behind, at the latest when
// the second signal comes.
func TestRemoteThatDoesNotEnd(t *testing.T) {
	w := newWorld(t)
	hard, kill := context.WithCancel(w.ctx)
	ctx, interrupt := context.WithCancel(w.ctx)
	told := make(chan struct{})
	r := other(hard, func(ctx context.Context, stdin io.Reader, _, _ io.Writer) (int, error) {
		interrupt()
		_, _ = io.Copy(io.Discard, stdin)
		close(told) // its input has ended
		kill()
		<-ctx.Done()
		return -1, ctx.Err()
	})
	begin := time.Now()
	if err := r.watch(ctx, order{Op: opTail}, ignore); err != nil {
		t.Error(err)
	}
	w.wait("the end of its input", told)
	if took := time.Since(begin); took > endWithin {
		t.Errorf("it took %v", took)
	}
}

func TestRemoteCancelled(t *testing.T) {
	w := newWorld(t)
	ctx, interrupt := context.WithCancel(w.ctx)
	r := other(w.ctx, func(_ context.Context, stdin io.Reader, _, _ io.Writer) (int, error) {
		interrupt()
		_, _ = io.Copy(io.Discard, stdin)
		return exitCancelled, nil
	})
	w.fails(r.once(ctx, order{}, ignore), exitCancelled)
}

func TestRemoteTimeout(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(w.ctx, time.Millisecond)
	defer cancel()
	r := other(w.ctx, func(_ context.Context, stdin io.Reader, _, _ io.Writer) (int, error) {
		_, _ = io.Copy(io.Discard, stdin)
		return 1, nil
	})
	w.fails(r.once(ctx, order{}, ignore), exitTimeout, "hasn't answered in time")
}

// The inner half says what is wrong where its reader looks for it.
func TestAgentErrors(t *testing.T) {
	w := newWorld(t)
	ask := func(line string, err error) (int, string) {
		in, end := io.Pipe()
		defer end.Close()
		inner := &tool{in: io.MultiReader(strings.NewReader(line), in), out: w.out, err: w.err}
		code := inner.report(inner.busAgent(w.ctx, func(context.Context) (bus.Bus, registry.Registry, error) {
			return open{w.bus, w}, w.registry, err
		}))
		return code, w.printed()
	}
	if code, out := ask(`{"op":"dance"}`+"\n", nil); code != exitConfig || !strings.Contains(out, "doesn't know \\\"dance\\\"") {
		t.Errorf("%d %s", code, out)
	}
	if code, out := ask(`{"op":"stats"}`+"\n", errors.New("no bus")); code != exitComponent || !strings.Contains(out, `"error":"no bus"`) || !strings.Contains(out, `"away":true`) {
		t.Errorf("%d %s", code, out)
	}
	if code, out := ask(`{"op":"publish"}`+"\n", nil); code != exitFailed || !strings.Contains(out, "no message") {
		t.Errorf("%d %s", code, out)
	}
	if code, _ := ask("nonsense\n", nil); code != exitFailed || !strings.Contains(w.told(), "read the order") {
		t.Errorf("%d", code)
	}
}

func TestDoor(t *testing.T) {
	w := newWorld(t)
	c := func(service, component, phase string, state plan.State, health plan.Health) plan.Container {
		return plan.Container{Name: service, Service: service, State: state, Health: health, Status: "Exited (1) ago",
			Labels: map[string]string{deploy.LabelComponent: component, deploy.LabelPhase: phase}}
	}
	redis := c("message-bus", "", "bus", plan.Running, plan.Healthy)
	down := c("a", "a", "components", plan.Exited, "")
	sick := c("b", "b", "components", plan.Running, plan.Unhealthy)
	fine := c("c", "c", "components", plan.Running, plan.Healthy)
	once := c("d", "d", "components", plan.Running, plan.Healthy)
	once.OneOff = true
	foreign := c("db", "db", "backing", plan.Running, plan.Healthy)
	foreign.Labels[deploy.LabelKind] = "container"
	door := func(cs ...plan.Container) (plan.Container, []string, error) {
		return (&running{name: "demo", have: plan.Observed{Containers: cs}}).door(nil)
	}
	got, known, err := door(redis, down, foreign, once, sick, fine)
	if err != nil || got.Name != "c" || strings.Join(known, " ") != "a b c" {
		t.Errorf("%s of %v, %v", got.Name, known, err)
	}
	if got, _, err = door(redis, sick, down); err != nil || got.Name != "b" {
		t.Errorf("%s, %v: any is better than none", got.Name, err)
	}
	_, _, err = door()
	w.fails(err, exitComponent, `message-bus isn't running: nothing of project "demo" is`, remedyNothing)
	_, _, err = door(redis, down, foreign)
	w.fails(err, exitComponent, "no component of demo is running", "ww compose up")
	redis.State = plan.Exited
	_, _, err = door(fine, redis)
	w.fails(err, exitComponent, "message-bus isn't running: exited (1) ago", remedyBus)
	fine.Labels[labelDependsOn] = "db:service_started:false,message-bus:service_healthy:false"
	_, _, err = door(fine)
	w.fails(err, exitComponent, "message-bus isn't running: it has no container", remedyBus)
	redis.State = plan.Running
	if got, _, err = door(fine, redis); err != nil || got.Name != "c" {
		t.Errorf("%s, %v", got.Name, err)
	}
}

func TestBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0ms", 400 * time.Microsecond: "0.4ms", 15 * time.Millisecond: "15ms", 1500 * time.Millisecond: "1.5s",
		59 * time.Second: "59s", 200 * time.Second: "3m20s", 125 * time.Minute: "2h05m", 100 * time.Hour: "4d04h",
	} {
		if got := brief(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	if got := clip("übung", 4); got != "übu…" {
		t.Error(got)
	}
	if clip("übung", 5) != "übung" || clip("übung", 0) != "übung" {
		t.Error("it fits")
	}
}
