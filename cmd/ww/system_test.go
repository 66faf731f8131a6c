package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus/bustest"
)

// system is a project of a test's own, on the real engine.
type system struct {
	t    testing.TB
	dir  string
	name string
	env  []string
}

func newSystem(t testing.TB, name string, files map[string]string) *system {
	t.Helper()
	needEngine(t)
	s := &system{t: t, dir: t.TempDir(), name: "wwtest-" + name}
	for file, content := range files {
		if err := os.WriteFile(filepath.Join(s.dir, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.env = append(os.Environ(), "COMPOSE_PROJECT_NAME="+s.name, "WW_COMPONENT_BINARY="+inImages, "NO_COLOR=1", "PORT="+bustest.FreePort())
	t.Cleanup(func() { removeProject(s.name) })
	return s
}

func (s *system) command(args ...string) *exec.Cmd {
	c := exec.Command(binary, args...)
	c.Dir, c.Env = s.dir, s.env
	return c
}

// ww runs a command that has to succeed, and gives all that it printed.
func (s *system) ww(args ...string) string {
	s.t.Helper()
	out, err := s.command(args...).CombinedOutput()
	if err != nil && !s.miscounted(string(out)) {
		s.t.Fatalf("ww %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

const keptNetwork = "the engine counts endpoints on it that no container has any more"

// miscounted reports whether a command says that the engine counts endpoints on a
// network that no container has: that is none of ww's, which says so.
func (s *system) miscounted(out string) bool {
	s.t.Helper()
	is := strings.Contains(out, keptNetwork)
	if is {
		s.t.Log("a defect of the engine keeps a network:\n" + out)
	}
	return is
}

// exit runs a command and gives its exit code and all that it printed.
func (s *system) exit(args ...string) (int, string) {
	s.t.Helper()
	c := s.command(args...)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		s.t.Fatalf("ww %s: %v", strings.Join(args, " "), err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

func docker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// watched collects output and tells when something has been seen in it.
type watched struct {
	mu   sync.Mutex
	all  bytes.Buffer
	want string
	seen chan struct{} // closed when want is there
}

func watch(want string) *watched { return &watched{want: want, seen: make(chan struct{})} }

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(p)
	w.look()
	return len(p), nil
}

func (w *watched) look() {
	if w.want != "" && strings.Contains(spaces.ReplaceAllString(w.all.String(), " "), w.want) {
		w.want = ""
		close(w.seen)
	}
}

var spaces = regexp.MustCompile(` +`)

// expect waits for something else from now on.
func (w *watched) expect(what string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.want, w.seen = what, make(chan struct{})
	w.look()
	return w.seen
}

// wait fails a test when what is waited for doesn't come within a minute.
func (w *watched) wait(t *testing.T, what string, seen <-chan struct{}) {
	t.Helper()
	select {
	case <-seen:
	case <-time.After(time.Minute):
		t.Fatalf("%s\n%s", what, w.String())
	}
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}
