package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/templates"
)

// write puts a file into the system's folder.
func (s *system) write(name, content string) {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// watching is a ww that watches.
type watching struct {
	t   *testing.T
	cmd *exec.Cmd
	out *watched
}

func (s *system) watch(t *testing.T, args ...string) *watching {
	t.Helper()
	w := &watching{t, s.command(args...), watch("")}
	w.cmd.Stdout, w.cmd.Stderr = w.out, w.out
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if w.cmd.ProcessState == nil {
			_ = w.cmd.Process.Kill()
			_ = w.cmd.Wait()
		}
	})
	w.says("Ctrl-C ends it")
	return w
}

// says waits until the output goes on with something; what stands before that is
// forgotten.
func (w *watching) says(what string) {
	w.t.Helper()
	w.out.wait(w.t, "it doesn't say "+what, w.out.expect(what))
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	_, rest, _ := strings.Cut(spaces.ReplaceAllString(w.out.all.String(), " "), what)
	w.out.all.Reset()
	w.out.all.WriteString(rest)
}

// interrupt ends it as Ctrl-C does, and gives its exit code and last words.
func (w *watching) interrupt() (int, string) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = w.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		w.t.Fatalf("it doesn't end\n%s", w.out)
	}
	return w.cmd.ProcessState.ExitCode(), w.out.String()
}

func idOf(t *testing.T, container string) string {
	t.Helper()
	return strings.TrimSpace(docker(t, "inspect", "-f", "{{.Id}} {{.State.StartedAt}}", container))
}

const watchedCompose = `
services:
  web:
    build: .
    init: true
    command: ["sleep", "1000"]
    depends_on: {other: {condition: service_started}}
    develop:
      watch:
        - {path: ./src, action: sync, target: /app/src, initial_sync: true, ignore: [skip]}
        - {path: ./restart, action: sync+restart, target: /app/restart}
        - path: ./exec
          action: sync+exec
          target: /app/exec
          exec: {command: [sh, -c, "echo $$WHO saw $$(cat exec/a) in $$PWD"], working_dir: /app, environment: {WHO: it}}
        - {path: ., action: rebuild, include: [Dockerfile, "*.conf"]}
  other:
    image: busybox:stable
    init: true
    command: ["sleep", "1000"]
    read_only: true
    develop: {watch: [{path: ./ro, action: sync, target: /ro}, {path: ./poke, action: restart}]}
`

func TestWatchCompose(t *testing.T) {
	s := newSystem(t, "watch", map[string]string{"compose.yaml": watchedCompose})
	s.write("Dockerfile", "FROM busybox:stable\nWORKDIR /app\nCOPY one.conf /one.conf\n")
	s.write(".dockerignore", "Dockerfile\nsrc/ignored\n")
	s.write("one.conf", "1")
	s.write("src/a", "first")
	for _, dir := range []string{"restart", "exec", "ro"} {
		s.write(dir+"/a", "0")
	}
	web, other := s.name+"-web-1", s.name+"-other-1"
	read := func(path string) string { t.Helper(); return docker(t, "exec", web, "cat", path) }
	w := s.watch(t, "compose", "watch")
	if got := read("/app/src/a"); got != "first" {
		t.Errorf("initial_sync brought %q", got)
	}
	before := idOf(t, web)

	// Synced, with a new folder; what is ignored isn't.
	s.write("src/ignored", "x")
	s.write("src/skip", "x")
	s.write("src/deep/er/b", "second")
	s.write("src/a", "changed")
	w.says("synced web ")
	for read("/app/src/a") != "changed" {
		w.says("synced web ")
	}
	if got := read("/app/src/deep/er/b"); got != "second" {
		t.Errorf("b is %q", got)
	}
	if got := docker(t, "exec", web, "ls", "/app/src"); got != "a\ndeep\n" {
		t.Errorf("there is %q", got)
	}
	// Removed.
	if err := os.RemoveAll(filepath.Join(s.dir, "src/deep")); err != nil {
		t.Fatal(err)
	}
	w.says("synced web src/deep")
	if got := docker(t, "exec", web, "ls", "/app/src"); got != "a\n" {
		t.Errorf("there is %q", got)
	}
	// With a command after it.
	s.write("exec/a", "42")
	w.says("| it saw 42 in /app")
	if got := idOf(t, web); got != before {
		t.Errorf("it was %s, and is %s", before, got)
	}
	// Restarted: the same container.
	s.write("restart/a", "1")
	w.says("restarted web restart/a")
	if got := idOf(t, web); got == before || got[:64] != before[:64] {
		t.Errorf("it was %s, and is %s", before, got)
	}
	// One that can't be written says so, and stays as it is.
	s.write("ro/a", "1")
	w.says("its root is read-only")
	w.says("help: use the action rebuild")
	s.write("poke", "1")
	w.says("restarted other poke")

	// A build that fails leaves the old one.
	before = idOf(t, web)
	s.write("Dockerfile", "FROM busybox:stable\nRUN echo what went wrong; exit 9\n")
	w.says("what went wrong")
	w.says("web stays as it was")
	if got := idOf(t, web); got != before {
		t.Errorf("it was %s, and is %s", before, got)
	}
	// One that works replaces it, alone, and what it is made of.
	otherBefore, image := idOf(t, other), docker(t, "inspect", "-f", "{{.Image}}", web)
	s.write("one.conf", "2")
	s.write("Dockerfile", "FROM busybox:stable\nWORKDIR /app\nCOPY one.conf /one.conf\n")
	w.says("replaced web Dockerfile")
	w.says("synced web 1 file of src")
	if got := read("/one.conf"); got != "2" {
		t.Errorf("one.conf is %q", got)
	}
	if got := idOf(t, other); got != otherBefore {
		t.Error("other was touched")
	}
	if err := exec.Command("docker", "image", "inspect", strings.TrimSpace(image)).Run(); err == nil {
		t.Error("the old image is still there")
	}
	// It ends, and leaves it up.
	code, out := w.interrupt()
	if code != exitOK || !strings.Contains(out, "stays up") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if got := s.ww("compose", "up", "-d"); !strings.Contains(got, "nothing to do") {
		t.Errorf("an up after it changes something:\n%s", got)
	}
}

const watchedSystem = `
in = input api { port: $PORT  to: shout }
shout = core exec { image: "busybox:stable"  command: ["sh", "/app/shout.sh"]  source: "src"  to: out }
out = output console {}
`

// TestWatchSystem: components of a .ww file need no develop section, and a
// change of the file is applied.
// TestWatchOfSource: what a program's image is made of is watched, a folder without
// what its .dockerignore leaves out, and a file alone.
func TestWatchOfSource(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"main.ww":           "a = core exec { image: \"i\"  command: [\"x\"]  source: \"x.sh\" }\nb = core exec { image: \"i\"  command: [\"x\"]  source: \"src\" }\n",
		"x.sh":              "x",
		"y.sh":              "y",
		"src/z.sh":          "z",
		"src/.dockerignore": "*.txt\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := compose.Load(t.Context(), compose.Request{Files: []string{filepath.Join(dir, "main.ww")}, Binary: templates.Binary{Path: filepath.Join(dir, "x.sh")}})
	if err != nil || l.Diagnostics.HasErrors() {
		t.Fatal(err, l.Diagnostics)
	}
	for component, want := range map[string][]string{"a": {"x.sh"}, "b": {"src/z.sh"}} {
		rules, err := sourceRules(l, component)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, name := range []string{"x.sh", "y.sh", "src/z.sh", "src/notes.txt"} {
			for _, r := range rules {
				if _, ok := r.Match(filepath.Join(dir, name)); ok {
					got = append(got, name)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: watched are %q, want %q", component, got, want)
		}
	}
}

func TestWatchSystem(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "watchww", map[string]string{"main.ww": watchedSystem})
	s.write("src/shout.sh", "tr a-z A-Z\n")
	w := s.watch(t, "compose", "up", "--watch")
	send := func(want string) {
		t.Helper()
		if got := s.ww("send", "shout", "hello"); got != want+"\n" {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	send("HELLO")
	out := idOf(t, s.name+"-out-1")
	s.write("src/shout.sh", "tr a-z b-za\n")
	w.says("replaced shout src/shout.sh")
	send("ifmmp")
	// A mistake in the file changes nothing.
	shout := idOf(t, s.name+"-shout-1")
	s.write("main.ww", strings.Replace(watchedSystem, "to: out", "to: outt", 1))
	w.says("what runs stays as it was")
	send("ifmmp")
	if got := idOf(t, s.name+"-shout-1"); got != shout {
		t.Error("it was touched")
	}
	// A change is applied to whom it concerns.
	s.write("main.ww", strings.Replace(watchedSystem, `"sh", "/app`, `"sh", "-x", "/app`, 1)+"more = output console {}\n")
	w.says("applied " + s.name + " main.ww")
	if got := idOf(t, s.name+"-shout-1"); got == shout {
		t.Error("it wasn't replaced")
	}
	if got := idOf(t, s.name+"-out-1"); got != out {
		t.Error("out was touched")
	}
	idOf(t, s.name+"-more-1")
	// And what the new one says is watched.
	s.write("src/shout.sh", "tr a-z A-Z\n")
	w.says("replaced shout src/shout.sh")
	send("HELLO")
	code, last := w.interrupt()
	if code != exitOK && !s.miscounted(last) {
		t.Errorf("exit code %d\n%s", code, last)
	}
	if got := docker(t, "ps", "-aq", "--filter", "label=com.docker.compose.project="+s.name); got != "" {
		t.Errorf("left: %s", got)
	}
}

func TestWatchRefused(t *testing.T) {
	for _, tt := range []struct {
		file string
		says string
		args []string
		code int
	}{
		{"services: {a: {image: 'app:1'}}\n", "there is nothing to watch", []string{"compose", "watch"}, exitConfig},
		{"services: {a: {image: 'app:1', develop: {watch: [{path: ., action: rebuild}]}}}\n", "rebuild needs a build section", []string{"compose", "watch"}, exitConfig},
		{"services: {a: {image: 'app:1', develop: {watch: [{path: ., action: sync, target: x}]}}}\n", "absolute path in the container", []string{"compose", "up", "--watch"}, exitConfig},
		{"services: {a: {image: 'app:1', develop: {watch: [{path: ., action: sync, target: /x}]}}}\n", "exclude each other", []string{"compose", "up", "--watch", "-d"}, exitUsage},
	} {
		f := newFaked(t, enginetest.Options{Images: []string{"app:1"}}, map[string]string{"compose.yaml": tt.file})
		f.fails(tt.code, []string{tt.says}, tt.args...)
	}
}
