package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/dockerx/enginetest"
)

// behind starts a proxy in front of the real engine, and gives the system whose
// ww goes through it.
func (s *system) behind() (*enginetest.Engine, *system) {
	s.t.Helper()
	socket, ok := strings.CutPrefix(cmp.Or(os.Getenv("DOCKER_HOST"), "unix:///var/run/docker.sock"), "unix://")
	if !ok {
		s.t.Fatalf("this test needs an engine at a unix socket, not at %s", os.Getenv("DOCKER_HOST"))
	}
	p := enginetest.Start(s.t, enginetest.Options{Behind: socket})
	through := *s
	through.env = append(slices.Clone(s.env), "DOCKER_HOST="+p.Host())
	return p, &through
}

// TestCallsOnEngine: an up of ten services takes at most thirty calls, and one
// that has nothing to do four.
func TestCallsOnEngine(t *testing.T) {
	checks := "services:\n  message-bus: {healthcheck: {interval: 1s}}\n"
	for i := range 9 {
		checks += fmt.Sprintf("  c%d: {healthcheck: {interval: 1s}}\n", i)
	}
	s := newSystem(t, "calls", map[string]string{"main.ww": consoles(9), "compose.override.yml": checks})
	s.env = append(s.env, "COMPOSE_FILE=main.ww:compose.override.yml")
	s.ww("compose", "build", "--missing", "--quiet")
	p, through := s.behind()
	var over []string
	count := func(most int, args ...string) {
		t.Helper()
		before := len(p.Calls())
		through.ww(args...)
		calls := p.Calls()[before:]
		told := fmt.Sprintf("ww %s: %d calls, at most %d: %s", strings.Join(args, " "), len(calls), most, counts(calls))
		t.Log(told)
		if len(calls) > most {
			over = append(over, told)
		}
	}
	// On a machine that is too busy to start ten containers in some seconds, ww
	// looks more often, and in other ways.
	for range 3 {
		over = nil
		count(30, "compose", "up", "-d")
		s.awaitChecks()
		count(4, "compose", "up", "-d")
		count(4, "compose", "ps")
		count(27, "compose", "down", "-v")
		if over == nil {
			return
		}
	}
	t.Errorf("three times too many calls, the last time:\n%s", strings.Join(over, "\n"))
}

// awaitChecks waits for the engine's own health checks, which come after ww's.
func (s *system) awaitChecks() {
	s.t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		starting := docker(s.t, "ps", "-q", "--filter", "label=com.docker.compose.project="+s.name, "--filter", "health=starting")
		switch {
		case starting == "":
			return
		case time.Now().After(deadline):
			s.t.Fatal("the engine has not checked all containers in a minute")
		}
	}
}

// TestFaultsOnEngine: whichever call to the engine goes wrong, and however, ww
// says so and leaves nothing; the next up works. WW_FAULTS=all has every call
// of an up and of a down go wrong in every way, and not a few.
func TestFaultsOnEngine(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "faults", map[string]string{"main.ww": small})
	s.ww("compose", "build", "--missing", "--quiet")
	up, down := []string{"compose", "up", "-d"}, []string{"compose", "down", "-v"}
	kinds := map[string]enginetest.Fault{
		"fails": {Kind: enginetest.Fail, Message: "broken"},
		"cut":   {Kind: enginetest.Cut},
		"lost":  {Kind: enginetest.Lost},
		"hangs": {Kind: enginetest.Hang},
		"late":  {Kind: enginetest.Late, Delay: 300 * time.Millisecond},
	}
	type trial struct {
		name string
		args []string
		enginetest.Fault
	}
	var trials []trial
	for _, args := range [][]string{up, down} {
		p, through := s.behind()
		through.ww(args...)
		nth := map[string]int{}
		for _, call := range p.Calls() {
			nth[call.Op]++
			for kind, fault := range kinds {
				fault.Op, fault.N = call.Op, nth[call.Op]
				trials = append(trials, trial{fmt.Sprintf("%s: %s %d %s", args[1], call.Op, fault.N, kind), args, fault})
			}
		}
	}
	slices.SortFunc(trials, func(a, b trial) int { return cmp.Compare(a.name, b.name) })
	if os.Getenv("WW_FAULTS") != "all" {
		rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
		rnd.Shuffle(len(trials), func(i, j int) { trials[i], trials[j] = trials[j], trials[i] })
		trials = trials[:6]
	}
	for _, tt := range trials {
		t.Run(tt.name, func(t *testing.T) {
			s := *s
			s.t = t
			if tt.args[1] == "down" {
				s.ww(up...)
			}
			p, through := s.behind()
			p.Inject(tt.Fault)
			c := through.command(tt.args...)
			var out bytes.Buffer
			c.Stdout, c.Stderr = &out, &out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if tt.Kind == enginetest.Hang {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				go func() {
					p.AwaitCalls(ctx, tt.N, tt.Op)
					_ = c.Process.Signal(os.Interrupt) // it may have ended
				}()
			}
			_ = c.Wait() // the exit code tells
			switch code := c.ProcessState.ExitCode(); {
			case code == exitOK: // the call was repeated, or wasn't needed after all
			case tt.Kind == enginetest.Late:
				t.Errorf("late: exit code %d\n%s", code, out.String())
			case tt.Kind == enginetest.Hang && code == exitCancelled:
			case code == exitEngine || code == exitComponent:
				if !strings.Contains(out.String(), "error: ") || !strings.Contains(out.String(), "help: ") {
					t.Errorf("exit code %d without a word on what to do\n%s", code, out.String())
				}
			default:
				t.Errorf("exit code %d\n%s", code, out.String())
			}
			if left := leftovers(t, s.name); tt.args[1] == "up" && c.ProcessState.ExitCode() != exitOK && left != "" {
				t.Errorf("it left %s\n%s", left, out.String())
			}
			told := s.ww(up...)
			if got := s.ww("send", "greet", "you"); got != "Hello, you!\n" {
				t.Fatalf("afterwards: %q\n%s", got, told)
			}
			s.ww(down...)
			if left := leftovers(t, s.name); left != "" {
				t.Errorf("a down afterwards left %s", left)
			}
		})
	}
}
