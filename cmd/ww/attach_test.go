package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestNotAttached: a service with attach: false runs with the others, and its
// output isn't shown.
func TestNotAttached(t *testing.T) {
	s := newSystem(t, "attach", map[string]string{"compose.yaml": `services:
  quiet: {image: "busybox:stable", command: ["sh", "-c", "echo not for you; exec sleep 1000"], attach: false, stop_grace_period: 0s}
  loud: {image: "busybox:stable", command: ["sh", "-c", "echo hello; exec sleep 1000"], stop_grace_period: 0s, depends_on: [quiet]}
`})
	c := s.command("compose", "up")
	out := watch("loud-1 | hello")
	c.Stdout, c.Stderr = out, out
	shown := out.seen
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill() }()
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	out.wait(t, "the output isn't shown", shown)
	if logs := s.ww("compose", "logs", "quiet"); !strings.Contains(logs, "not for you") {
		t.Errorf("the service didn't run: %s", logs)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("after Ctrl-C: %v\n%s", err, out.String())
		}
	case <-time.After(time.Minute):
		t.Fatalf("it doesn't end\n%s", out.String())
	}
	if strings.Contains(out.String(), "not for you") {
		t.Errorf("attach: false is shown:\n%s", out.String())
	}
}

// TestAttachProxiesSignals: with --sig-proxy a signal is the container's, and
// attach ends with its exit code.
func TestAttachProxiesSignals(t *testing.T) {
	s := newSystem(t, "proxy", map[string]string{"compose.yaml": `services:
  web: {image: "busybox:stable", stop_grace_period: 0s, command: ["sh", "-c", "trap 'exit 5' INT; while :; do echo tick; sleep 0.2; done"]}
`})
	s.ww("compose", "up", "-d")
	c := s.command("compose", "attach", "--sig-proxy", "--no-stdin", "web")
	out := watch("tick")
	c.Stdout, c.Stderr = out, out
	shown := out.seen
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "the output isn't shown", shown)
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // the exit code tells
	if code := c.ProcessState.ExitCode(); code != 5 {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
	s.ww("compose", "down")
}
