package main

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// inParts has two of three components in containers; the one in between takes as
// long as it is told to.
const inParts = `
in = core template { template: "{{ .payload }}", to: work }
work = core exec { image: "busybox:stable", command: ["sh", "-c", "read n; sleep $n; echo slept"], grace: 30s, to: last }
last = core template { template: "{{ .payload }}!" }
agents = docker { components = [work, last] }
edge = server { components = [in], port = $PORT }
`

// TestRoutine: what components log in containers is shown as in this process:
// from warnings on.
func TestRoutine(t *testing.T) {
	for line, want := range map[string]bool{
		`{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"ready","component":"a"}`: true,
		`{"time":"2026-01-02T03:04:05Z","level":"DEBUG-4","msg":""}`:                   true,
		`{"time":"2026-01-02T03:04:05Z","level":"WARN","msg":"slow"}`:                  false,
		`{"time":"2026-01-02T03:04:05Z","level":"odd","msg":"x"}`:                      false,
		`{"time":"2026-01-02T03:04:05Z"}`:                                              false,
		`{"time":"2026`:                                                                false,
		`{"answer":"level":"INFO"}`:                                                    false,
		`hello`:                                                                        false,
	} {
		if got := routine(line); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

// upInForeground starts a `ww up`, waits until it is up, and gives what ends with
// it.
func (s *system) upInForeground(args ...string) (*watched, func(os.Signal), <-chan int) {
	s.t.Helper()
	c := s.command(append([]string{"up"}, args...)...)
	out := watch("Ctrl-C takes it down")
	c.Stdout, c.Stderr = out, out
	up := out.seen
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Process.Kill() })
	ended := make(chan int, 1)
	go func() {
		_ = c.Wait() // the exit code tells
		ended <- c.ProcessState.ExitCode()
	}()
	select {
	case <-up:
	case code := <-ended:
		s.t.Fatalf("it isn't up: exit code %d\n%s", code, out.String())
	case <-time.After(2 * time.Minute):
		s.t.Fatalf("it isn't up\n%s", out.String())
	}
	return out, func(sig os.Signal) {
		if err := c.Process.Signal(sig); err != nil {
			s.t.Error(err)
		}
	}, ended
}

func (s *system) endsWith(out *watched, ended <-chan int, want int) {
	s.t.Helper()
	select {
	case code := <-ended:
		if code != want {
			s.t.Errorf("exit code %d, want %d\n%s", code, want, out.String())
		}
	case <-time.After(time.Minute):
		s.t.Errorf("it doesn't end\n%s", out.String())
	}
	label := "label=com.docker.compose.project=" + s.name
	if left := docker(s.t, "ps", "-aq", "--filter", label) + docker(s.t, "network", "ls", "-q", "--filter", label); left != "" {
		s.t.Errorf("left: %s\n%s", left, out.String())
	}
}

// TestMixedDrains: what was accepted is worked off on both sides before anything
// stops, and a second signal has nobody wait for that.
func TestMixedDrains(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "mixed-drains", map[string]string{"main.ww": inParts})
	take := func(seconds string) {
		t.Helper()
		res, err := http.Post("http://127.0.0.1:"+s.port()+"/in/messages", "application/json", strings.NewReader(`{"value": "`+seconds+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusAccepted {
			t.Fatalf("status %s", res.Status)
		}
	}
	out, signal, ended := s.upInForeground("--drain", "30s")
	take("2")
	signal(os.Interrupt)
	s.endsWith(out, ended, exitOK)
	if !strings.Contains(out.String(), "drained") {
		t.Errorf("nothing is said of the bus:\n%s", out.String())
	}

	out, signal, ended = s.upInForeground("--drain", "1s")
	take("20")
	signal(os.Interrupt)
	s.endsWith(out, ended, exitDrain)
	if !strings.Contains(out.String(), "it waits on the bus's volume: work 1") {
		t.Errorf("what is left isn't told:\n%s", out.String())
	}

	out, signal, ended = s.upInForeground("--drain", "1m")
	take("60")
	going := out.expect("going down")
	signal(os.Interrupt)
	out.wait(t, "it doesn't go down", going)
	begin := time.Now()
	signal(os.Interrupt)
	s.endsWith(out, ended, exitCancelled)
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("a second signal takes %s\n%s", took, out.String())
	}
}

// TestAsDocker: --as docker has all of a mixed file in containers, with a bus
// that has no port on this machine.
func TestAsDocker(t *testing.T) {
	s := newSystem(t, "mixed-as", map[string]string{"main.ww": inParts})
	out, signal, ended := s.upInForeground("--as", "docker")
	names := docker(t, "ps", "--format", "{{.Names}} {{.Ports}}", "--filter", "label=com.docker.compose.project="+s.name)
	if !strings.Contains(names, s.name+"-in-1") || strings.Contains(names, "127.0.0.1") {
		t.Errorf("containers: %s", names)
	}
	signal(os.Interrupt)
	s.endsWith(out, ended, exitOK)
}

// TestMixedBusGoes: what takes the bus from those in the process is refused, and
// where something else has taken it, that is a failure.
func TestMixedBusGoes(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "mixed-bus", map[string]string{"main.ww": `
in = core template { template: "{{ .payload }}", to: work }
work = core template { template: "{{ .payload }}!" }
agents = docker { components = [work] }
`})
	out, _, ended := s.upInForeground()
	for _, args := range [][]string{{"down"}, {"down", "-v", "message-bus"}} {
		code, stderr := s.exit(append([]string{"compose"}, args...)...)
		if code != exitFailed || !strings.Contains(stderr, "is running "+s.name+", and in in it would lose the bus") || !strings.Contains(stderr, "Ctrl-C") {
			t.Errorf("%s: exit code %d\n%s", args, code, stderr)
		}
	}
	if plan := s.ww("compose", "--dry-run", "down"); !strings.Contains(plan, "message-bus") {
		t.Errorf("it isn't told what would go:\n%s", plan)
	}
	for _, service := range []string{"work", "message-bus"} {
		docker(t, "stop", s.name+"-"+service+"-1")
	}
	s.endsWith(out, ended, exitComponent)
	if !strings.Contains(out.String(), "message-bus has ended with all other containers") {
		t.Errorf("it isn't told what happened:\n%s", out.String())
	}
}
