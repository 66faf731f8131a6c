package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDiskFull: no room for a build context is an error that says so.
func TestDiskFull(t *testing.T) {
	s := newSystem(t, "full", map[string]string{"main.ww": small})
	folder := filepath.Join(s.dir, ".ww")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	// A small disk of its own, in name spaces of its own: no rights are needed.
	c := s.command()
	c.Path, c.Args = "/bin/sh", []string{"sh", "-c", `mount -t tmpfs -o size=1m none "$1" && exec "$2" compose up -d`, "sh", folder, binary}
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	text, err := c.CombinedOutput()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	code, out := c.ProcessState.ExitCode(), string(text)
	if code != exitBuild || !strings.Contains(out, "no space left") || !strings.Contains(out, "help: ") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if left := leftovers(t, s.name); left != "" {
		t.Errorf("left: %s", left)
	}
}
