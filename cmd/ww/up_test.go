package main

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestExampleLocal: the command line talks in the terminal, with the system in
// the same process.
func TestExampleLocal(t *testing.T) {
	c := exec.Command(binary, "up", "-f", abs("../../examples/local/main.ww"))
	c.Dir = t.TempDir()
	out := watch("HELLO BIG WORLD (3 words)")
	c.Stdout, c.Stderr = out, out
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill() }()
	if _, err := io.WriteString(in, "hello big world\n"); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "there is no answer", out.seen)
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("after Ctrl-C: %v\n%s", err, out.String())
		}
	case <-time.After(30 * time.Second):
		t.Errorf("it doesn't end after Ctrl-C\n%s", out.String())
	}
	if strings.Contains(out.String(), "level=") {
		t.Errorf("it warns:\n%s", out.String())
	}
}
