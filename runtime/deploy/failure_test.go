package deploy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// TestBroken: a component that isn't as it should be is named, with its exit
// code and its last lines, and nothing that needs it is started.
func TestBroken(t *testing.T) {
	output := numbered(30)
	for name, tt := range map[string]struct {
		a       enginetest.Behaviour
		restart string
		plain   bool // without a health check
		timeout time.Duration
		reason  string
		check   string // its code and output; empty: it isn't what failed
		code    int    // -1: it hasn't ended
	}{
		"exits":              {a: enginetest.Behaviour{Exits: true, ExitCode: 3}, reason: "exited with code 3", code: 3},
		"exits, plain":       {a: enginetest.Behaviour{Exits: true, ExitCode: 3}, plain: true, reason: "exited with code 3", code: 3},
		"exits, on-failure":  {a: enginetest.Behaviour{Exits: true, ExitCode: 4}, restart: "on-failure:3", reason: "exited with code 4", code: 4},
		"crash loop":         {a: enginetest.Behaviour{Exits: true, ExitCode: 5}, restart: "always", reason: "exited with code 5", code: 5},
		"crash loop, plain":  {a: enginetest.Behaviour{Exits: true, ExitCode: 5}, restart: "unless-stopped", plain: true, reason: "exited with code 5", code: 5},
		"ends well, plain":   {a: enginetest.Behaviour{Exits: true}, restart: "always", plain: true, reason: "exited with code 0"},
		"ends well":          {a: enginetest.Behaviour{Exits: true}, restart: "always", reason: "exited with code 0"},
		"unhealthy":          {a: enginetest.Behaviour{Health: enginetest.NeverHealthy, CheckOutput: "no database\n"}, reason: "is unhealthy", check: "1 no database", code: -1},
		"never ready":        {a: enginetest.Behaviour{Health: enginetest.HealthWhenAsked}, timeout: 200 * time.Millisecond, reason: "was not ready after 200ms", check: "1 ", code: -1},
		"never ready, quiet": {a: enginetest.Behaviour{Health: enginetest.HealthWhenAsked, Output: []enginetest.Line{}}, timeout: 200 * time.Millisecond, reason: "was not ready after 200ms", check: "1 ", code: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.a.Output == nil {
				tt.a.Output = output
			}
			lines := []string{"a+:", "b: a+", "c: b"}
			if tt.plain {
				lines = []string{"a:", "b: a+", "c: b"}
			}
			w := newWorld(t, enginetest.Options{Exec: never, Services: map[string]enginetest.Behaviour{"a": tt.a}}, lines...)
			w.change("a", func(s *types.ServiceConfig) { s.Restart = tt.restart })
			begin := time.Now()
			_, err := w.up(w.ctx, func(r *deploy.UpRequest) {
				if tt.timeout != 0 {
					r.Timeout = tt.timeout
				}
			})
			e := wantComponentError(t, err, "a", tt.reason)
			if e.Exited != (tt.code >= 0) || e.Exited && e.ExitCode != tt.code {
				t.Errorf("exited: %v, code %d; want %d", e.Exited, e.ExitCode, tt.code)
			}
			check := ""
			if e.Check != nil {
				check = fmt.Sprint(e.Check.ExitCode, " ", strings.Join(e.Check.Output, "|"))
			}
			if check != tt.check {
				t.Errorf("its check: %q, want %q", check, tt.check)
			}
			if len(tt.a.Output) == 0 {
				if len(e.Logs) != 0 {
					t.Errorf("it wrote nothing: %q", e.Logs)
				}
			} else if n := len(e.Logs); n != 20 || e.Logs[n-1] != "line 30" {
				t.Errorf("%d lines: %q", n, e.Logs)
			}
			if started := w.begun(plan.Start); started != "a" {
				t.Errorf("started: %s", started)
			}
			if d := time.Since(begin); d > 10*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// TestRemovedBySomeoneElse: waiting for what is gone ends at once.
func TestRemovedBySomeoneElse(t *testing.T) {
	for _, condition := range []string{"+", "!"} {
		w := newWorld(t, enginetest.Options{Exec: never, Services: map[string]enginetest.Behaviour{"a": {Health: enginetest.HealthWhenAsked}}},
			"a+:", "b: a"+condition)
		_, err := w.upMeanwhile(func() {
			w.await(1, "container.start")
			if condition == "+" {
				w.await(1, "exec.create")
			}
			id := w.container("a").ID
			w.fake.SetBehaviour("a", enginetest.Behaviour{})
			if err := w.driver.Remove(w.ctx, id, true); err != nil {
				t.Error(err)
			}
		})
		var e *deploy.ComponentError
		if !errors.As(err, &e) || e.Service != "a" || e.Reason != "exited with code 137" && e.Reason != "was removed by someone else" {
			t.Errorf("%s: %v", condition, err)
		}
	}
	// One that doesn't run dies no more when it is removed.
	w := newWorld(t, enginetest.Options{Exec: never, Services: map[string]enginetest.Behaviour{"a": {Exits: true, ExitCode: 1}}}, "a:", "b: a!")
	w.change("a", func(s *types.ServiceConfig) { s.Restart = "on-failure" })
	_, err := w.upMeanwhile(func() {
		w.await(1, "container.start")
		if err := w.driver.Remove(w.ctx, w.container("a").ID, true); err != nil {
			t.Error(err)
		}
	})
	wantComponentError(t, err, "a", "was removed by someone else")
}

func TestStartFails(t *testing.T) {
	t.Run("port taken", func(t *testing.T) {
		w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {PortTaken: 8123}}}, "a+:", "b: a")
		w.change("a", func(s *types.ServiceConfig) {
			s.Ports = []types.ServicePortConfig{{Target: 80, Published: "8123", Protocol: "tcp", Mode: "ingress"}}
		})
		_, err := w.up(w.ctx)
		wantEngineError(t, err, deploy.PortTaken, "start container p-a-1")
		if started := w.begun(plan.Start); started != "a" {
			t.Errorf("started: %s", started)
		}
	})
	t.Run("command not found", func(t *testing.T) {
		w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {StartError: `exec: "nothing": executable file not found in $PATH`}}}, "a:")
		_, err := w.up(w.ctx)
		if e := wantComponentError(t, err, "a", `can't be started: "nothing" isn't in its image`); e.Remedy == "" || e.Started {
			t.Errorf("%+v", e)
		}
	})
	t.Run("name taken", func(t *testing.T) {
		w := newWorld(t, enginetest.Options{}, "a:")
		stranger := project("x:")
		stranger.Name, stranger.Networks = "other", nil
		id, err := w.driver.Create(w.ctx, stranger, deploy.ContainerSpec{Service: stranger.Services["x"], Name: "p-a-1"})
		if err != nil {
			t.Fatal(err)
		}
		res, err := w.up(w.ctx)
		wantEngineError(t, err, deploy.Conflict, "create container p-a-1")
		if err := res.Undo(w.ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := w.driver.Inspect(w.ctx, id); err != nil {
			t.Errorf("somebody else's container: %v", err)
		}
	})
}

// TestStartedAgain: what a container did in an earlier life isn't held against
// it, be that before the look at what there is or during it.
func TestStartedAgain(t *testing.T) {
	for _, line := range []string{"a+:", "a:"} {
		w := newWorld(t, enginetest.Options{}, line)
		w.mustUp()
		id := w.container("a").ID
		w.fake.Exit("a", 3)
		w.mustUp()
		w.fake.Inject(enginetest.Fault{Op: "container.list", N: 1, Kind: enginetest.Late, Delay: 50 * time.Millisecond})
		n := len(w.fake.Calls("container.list"))
		_, err := w.upMeanwhile(func() {
			w.await(n+1, "container.list")
			w.fake.Exit("a", 4)
		})
		if c := w.container("a"); err != nil || c.ID != id || c.State != plan.Running {
			t.Errorf("%s: %v, %+v", line, err, c)
		}
	}
}

// TestDiesWhileLooking: a container ends after the look at what there is, which
// shows it running, and before there are events.
func TestDiesWhileLooking(t *testing.T) {
	w := newWorld(t, enginetest.Options{Exec: never, Services: map[string]enginetest.Behaviour{"a": {Health: enginetest.HealthWhenAsked}}}, "a+:", "b+: a+")
	_, err := w.up(w.ctx, func(r *deploy.UpRequest) { r.Timeout = 100 * time.Millisecond })
	wantComponentError(t, err, "a", "was not ready after 100ms")
	w.fake.Inject(enginetest.Fault{Op: "events", N: 1, Kind: enginetest.Late, Delay: 50 * time.Millisecond})
	n := len(w.fake.Calls("events"))
	_, err = w.upMeanwhile(func() {
		w.await(n+1, "events")
		w.fake.Exit("a", 9)
	})
	wantComponentError(t, err, "a", "exited with code 9")
}

// TestRestarting: a container between two crashes isn't ready, though it has no
// health check.
func TestRestarting(t *testing.T) {
	w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {Exits: true, ExitCode: 6, RestartAfter: 1500 * time.Millisecond}}}, "a:")
	w.change("a", func(s *types.ServiceConfig) { s.Restart = "always" })
	w.mustUp(func(r *deploy.UpRequest) { r.Options.Wait = false })
	if s := w.container("a").State; s != plan.Restarting {
		t.Fatalf("state %s", s)
	}
	_, err := w.up(w.ctx)
	wantComponentError(t, err, "a", "exited with code 6")
}

// TestEventsAreCut: a stream that is cut is taken up again, and what happened
// meanwhile counts.
func TestEventsAreCut(t *testing.T) {
	for name, happens := range map[string]struct {
		what func(*enginetest.Engine)
		want string
	}{
		"healthy":   {func(e *enginetest.Engine) { e.SetHealth("a", true) }, ""},
		"exited":    {func(e *enginetest.Engine) { e.Exit("a", 7) }, "a exited with code 7"},
		"unhealthy": {func(e *enginetest.Engine) { e.SetHealth("a", false) }, "a is unhealthy"},
	} {
		for _, fails := range []int{0, 2} {
			t.Run(fmt.Sprint(name, " ", fails), func(t *testing.T) {
				w := newWorld(t, enginetest.Options{Exec: never, Services: map[string]enginetest.Behaviour{"a": {Health: enginetest.HealthWhenAsked}}}, "a+:")
				_, err := w.upMeanwhile(func() {
					w.await(1, "container.start")
					w.await(1, "exec.create")
					for i := range fails {
						w.fake.Inject(enginetest.Fault{Op: "events", N: i + 1, Kind: enginetest.Fail, Message: "not yet"})
					}
					w.fake.CutStreams()
					w.await(2, "events")
					happens.what(w.fake)
				})
				if got := fmt.Sprint(err); err == nil && happens.want != "" || err != nil && got != happens.want {
					t.Errorf("%v, want %q", err, happens.want)
				}
				if n := len(w.fake.Calls("events")); n != fails+2 {
					t.Errorf("%d streams of events, want %d", n, fails+2)
				}
			})
		}
	}
}

// TestEngineGoes: when the engine is gone for good, waiting ends.
func TestEngineGoes(t *testing.T) {
	w := newWorld(t, enginetest.Options{Exec: never, Services: map[string]enginetest.Behaviour{"a": {Health: enginetest.HealthWhenAsked}}}, "a+:")
	begin := time.Now()
	res, err := w.upMeanwhile(func() {
		w.await(1, "exec.create")
		w.fake.Stop()
	})
	wantEngineError(t, err, deploy.Unreachable, "watch project p")
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
	if err := res.Undo(w.ctx); err == nil {
		t.Error("cleaning up without an engine succeeds")
	}
}

// TestTail: the last lines of a component, from both of its streams.
func TestTail(t *testing.T) {
	w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {Output: append(numbered(3), enginetest.Line{Text: "end\r"})}}}, "a+:")
	w.mustUp()
	id := w.container("a").ID
	if got := deploy.Tail(w.ctx, w.driver, id, 3); !slices.Equal(got, []string{"line 2", "line 3", "end"}) {
		t.Errorf("%q", got)
	}
	if got := deploy.Tail(w.ctx, w.driver, "nothing", 3); got != nil {
		t.Errorf("of what isn't there: %q", got)
	}
}
