package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

const talking = `
greet = core template { template: "Hello, {{ .payload }}!"  to: out }
out = output console {}
`

// agents tells whether a container runs the inner half of a command, once it
// had time to end.
func agents(s *system, container string) bool {
	s.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		if !strings.Contains(docker(s.t, "top", s.name+"-"+container, "-eo", "pid,args"), "bus-agent") {
			return false
		}
		if time.Now().After(deadline) {
			return true
		}
	}
}

// follow starts a command that goes on, and waits until it shows something: do,
// where it isn't nil, is called again and again until then.
func follow(s *system, until string, do func(), args ...string) (*exec.Cmd, *watched, <-chan error) {
	s.t.Helper()
	c, out := s.command(args...), watch(until)
	c.Stdout, c.Stderr = out, out
	seen := out.seen
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	s.t.Cleanup(func() { _ = c.Process.Kill() })
	late := time.After(time.Minute)
	for {
		now := make(chan struct{})
		if do != nil {
			close(now)
		}
		select {
		case <-seen:
			return c, out, done
		case <-late:
			s.t.Fatalf("ww %v shows no %q\n%s", args, until, out)
		case err := <-done:
			s.t.Fatalf("ww %v ends: %v\n%s", args, err, out)
		case <-now:
			do()
		}
	}
}

// TestTailEnds: messages are shown as they are published, and whichever way
// the command ends, nothing of it is left in the container.
func TestTailEnds(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "tail", map[string]string{"main.ww": talking})
	s.ww("compose", "up", "-d")
	publish := func() { s.ww("bus", "publish", "greet", "you") }

	c, out, done := follow(s, `greet → out`, publish, "bus", "tail")
	if !strings.Contains(out.String(), "Hello, you!") || !strings.Contains(out.String(), "cli → greet") {
		t.Errorf("it shows\n%s", out)
	}
	if !strings.Contains(docker(t, "top", s.name+"-greet-1", "-eo", "pid,args"), "bus-agent") {
		t.Error("the inner half isn't where it is looked for")
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ended(t, done, exitOK)
	if agents(s, "greet-1") {
		t.Error("after Ctrl-C its inner half goes on")
	}

	c, _, done = follow(s, `Hello, you!`, publish, "bus", "tail", "out", "--format", "json")
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ended(t, done, -1)
	if agents(s, "greet-1") {
		t.Error("after a kill its inner half goes on")
	}

	c, out, done = follow(s, "HANDLED/S", nil, "bus", "stats", "--watch")
	out.wait(t, "no second look", out.expect(" 0.0 "))
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended(t, done, exitOK)
	if agents(s, "greet-1") {
		t.Error("the inner half of stats goes on")
	}
}

// TestBusGoesAway: what looks at a bus says that it went, and ends or goes on;
// whatever begins then says the same.
func TestBusGoesAway(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "away", map[string]string{"main.ww": talking})
	s.ww("compose", "up", "-d")
	stats, looks, statsDone := follow(s, "HANDLED/S", nil, "bus", "stats", "--watch")
	_, shown, tailDone := follow(s, `greet → out`, func() { s.ww("bus", "publish", "greet", "you") }, "bus", "tail")
	gone := looks.expect("message-bus isn't running: exited (137)")
	docker(t, "kill", s.name+"-message-bus-1")
	ended(t, tailDone, exitComponent)
	if out := shown.String(); !strings.Contains(out, "error: message-bus isn't running: exited (137)") || !strings.Contains(out, "help: `ww compose up -d`") {
		t.Errorf("tail says\n%s", out)
	}
	looks.wait(t, "stats --watch doesn't notice", gone)
	for _, args := range [][]string{
		{"bus", "stats"}, {"bus", "tail"}, {"bus", "dlq", "ls"}, {"bus", "dlq", "requeue", "--all"}, {"bus", "drain"}, {"bus", "publish", "greet", "x"},
		{"trace", "s"}, {"services"},
	} {
		code, out := s.exit(args...)
		if code != exitComponent || !strings.Contains(out, "error: message-bus isn't running: exited (137)") || !strings.Contains(out, "help: "+remedyBus) {
			t.Errorf("ww %v: exit code %d\n%s", args, code, out)
		}
	}
	// What led to the bus is replaced, too, and there is somebody new to be seen.
	again := looks.expect("newcomer 0 ")
	s.write("main.ww", strings.Replace(talking, "to: out", "to: [out, newcomer]", 1)+"newcomer = output console {}\n")
	s.ww("compose", "up", "-d")
	looks.wait(t, "stats --watch doesn't get on", again)
	if err := stats.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ended(t, statsDone, exitOK)
}

func ended(t *testing.T, done <-chan error, code int) {
	t.Helper()
	select {
	case err := <-done:
		got := 0
		if e, ok := err.(*exec.ExitError); ok {
			got = e.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if got != code {
			t.Errorf("exit code %d, want %d", got, code)
		}
	case <-time.After(time.Minute):
		t.Fatal("it doesn't end")
	}
}

// TestDeadLettersByID: ids that one command prints are what others take, and
// what is printed for scripts is JSON and nothing else.
func TestDeadLettersByID(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "byid", map[string]string{"main.ww": strings.Replace(talking, ".payload", ".payload.n", 1)})
	s.ww("compose", "up", "-d")
	output := func(v any, args ...string) {
		t.Helper()
		c := s.command(append(args, "--format", "json")...)
		var stderr bytes.Buffer
		c.Stderr = &stderr
		b, err := c.Output()
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil || stderr.Len() > 0 {
			t.Fatalf("ww %v: %v\n%s%s", args, err, b, &stderr)
		}
	}
	var sent [3]published
	for i := range sent {
		output(&sent[i], "bus", "publish", "greet", "<text>", "--session", "s")
	}
	s.ww("bus", "drain")
	var list []deadEntry
	output(&list, "bus", "dlq", "ls")
	if len(list) != 3 || list[0].MessageID != sent[2].MessageID || list[2].MessageID != sent[0].MessageID {
		t.Fatalf("%+v, want those of %+v, the newest first", list, sent)
	}
	var whole deadLetter
	output(&whole, "bus", "dlq", "show", list[1].ID)
	if whole.Message.ID != sent[1].MessageID || plainText(whole.Message.Payload) != "<text>" || whole.Error == "" {
		t.Errorf("%+v", whole)
	}
	if text := s.ww("bus", "dlq", "show", "greet:"+list[1].ID); !strings.Contains(text, "payload\n  <text>\n") {
		t.Errorf("it shows\n%s", text)
	}
	var n []changed
	output(&n, "bus", "dlq", "rm", list[0].ID, sent[1].MessageID)
	if len(n) != 1 || n[0] != (changed{"greet", 2}) {
		t.Errorf("%+v", n)
	}
	output(&n, "bus", "dlq", "requeue", list[2].ID)
	s.ww("bus", "drain")
	output(&list, "bus", "dlq", "ls")
	if len(list) != 1 || list[0].MessageID != sent[0].MessageID {
		t.Errorf("%+v: it has failed a second time", list)
	}
	var hops []bus.Hop
	output(&hops, "trace", "s")
	if len(hops) != 4 {
		t.Errorf("%d deliveries, want 4: %+v", len(hops), hops)
	}
}
