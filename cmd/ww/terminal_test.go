package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// window is an emulated terminal that a program runs in.
type window struct {
	t    *testing.T
	keys *os.File
	cmd  *exec.Cmd
	done chan struct{}

	mu     sync.Mutex
	screen *vt.Emulator
	raw    strings.Builder
	next   chan struct{} // closed when there is more
}

func openWindow(t *testing.T, cmd *exec.Cmd, cols, rows int) *window {
	t.Helper()
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)})
	if err != nil {
		t.Fatal(err)
	}
	w := &window{t: t, keys: f, cmd: cmd, done: make(chan struct{}), screen: vt.NewEmulator(cols, rows), next: make(chan struct{})}
	go w.watch()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, if all went well
		f.Close()
		<-w.done
	})
	return w
}

func (w *window) watch() {
	defer close(w.done)
	buf := make([]byte, 64<<10)
	for {
		n, err := w.keys.Read(buf)
		w.mu.Lock()
		_, _ = w.screen.Write(buf[:n])
		w.raw.Write(buf[:n])
		close(w.next)
		w.next = make(chan struct{})
		w.mu.Unlock()
		if err != nil {
			return // the program has ended
		}
	}
}

// until waits for something to be seen.
func (w *window) until(what string) {
	w.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		w.mu.Lock()
		seen, next := strings.Contains(w.screen.String(), what), w.next
		w.mu.Unlock()
		if seen {
			return
		}
		select {
		case <-next:
		case <-w.done:
			w.t.Fatalf("it ended, and %q isn't seen:\n%s", what, w.text())
		case <-timeout:
			w.t.Fatalf("%q isn't seen:\n%s", what, w.text())
		}
	}
}

func (w *window) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.screen.String()
}

// exit waits for the end of the program.
func (w *window) exit() int {
	w.t.Helper()
	<-w.done
	err := w.cmd.Wait()
	var e *exec.ExitError
	if err != nil && !errors.As(err, &e) {
		w.t.Fatal(err)
	}
	return w.cmd.ProcessState.ExitCode()
}

// personal is the environment of someone at a terminal of their own.
func personal() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "CI=") || strings.HasPrefix(e, "NO_COLOR=") || strings.HasPrefix(e, "COMPOSE_")
	})
}

// TestTerminal: an up in a terminal shows a tree, then what the containers
// write; Ctrl-C takes it down with another tree, and leaves the terminal as it
// should be.
func TestTerminal(t *testing.T) {
	needEngine(t)
	project := "wwtest-terminal"
	t.Cleanup(func() { removeProject(project) })
	dir := t.TempDir()
	file := `services:
  talker:
    image: busybox:stable
    init: true
    command: ["sh", "-c", "echo I am here; echo and here >&2; exec sleep 600"]
    stop_grace_period: 1s
  listener:
    image: busybox:stable
    init: true
    command: ["sleep", "600"]
    depends_on: [talker]
    stop_grace_period: 1s
`
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "compose", "-f", "compose.yaml", "-p", project, "up")
	cmd.Dir = dir
	cmd.Env = append(personal(), "TERM=xterm-256color", "HOME="+dir)
	w := openWindow(t, cmd, 80, 24)
	w.until("Ctrl-C takes it down")
	w.until("talker-1    | I am here") // an engine keeps no order of the two streams
	w.until("talker-1    | and here")
	up := w.text()
	for _, want := range []string{"✔ talker", "✔ listener", "up " + project + ": 2 services in"} {
		if !strings.Contains(up, want) {
			t.Errorf("%q isn't seen:\n%s", want, up)
		}
	}
	if _, err := w.keys.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	if code := w.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	end := w.text()
	for _, want := range []string{"✔ talker", "removed", "down " + project + ": 2 containers, 1 network in"} {
		if !strings.Contains(end, want) {
			t.Errorf("%q isn't seen in the end:\n%s", want, end)
		}
	}
	raw := w.raw.String()
	if strings.Count(raw, ansi.HideCursor) != strings.Count(raw, ansi.ShowCursor) || strings.LastIndex(raw, ansi.HideCursor) > strings.LastIndex(raw, ansi.ShowCursor) {
		t.Error("the cursor stays hidden")
	}
	if strings.Count(raw, ansi.SetModeSynchronizedOutput) != strings.Count(raw, ansi.ResetModeSynchronizedOutput) {
		t.Error("the terminal is left waiting for the end of a frame")
	}
	if !strings.Contains(raw, "\x1b[32m") {
		t.Error("there are no colours")
	}
	if left := leftovers(t, project); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// TestBash: a bash that has read the script completes as people type.
func TestBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("this test needs bash")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.ww": "in = input api { to: greeting }\ngreeting = core template { template: \"x\"  to: out }\nout = output console {}\n",
		"rc":      "PS1='% '\nbind 'set bell-style none'\nbind 'set enable-bracketed-paste off'\nsource <(ww completion bash)\n",
		"one.ww":  "", "two.yml": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(bash, "--noprofile", "--rcfile", filepath.Join(dir, "rc"), "-i")
	cmd.Dir = dir
	cmd.Env = append(personal(), "TERM=xterm", "HOME="+dir, "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"),
		"DOCKER_HOST=unix://"+filepath.Join(dir, "no.sock"))
	w := openWindow(t, cmd, 120, 40)
	w.until("%")
	for typed, want := range map[string]string{
		"ww compos\t":                       "% ww compose ",
		"ww compose expo\t":                 "% ww compose export ",
		"ww compose logs gr\t":              "% ww compose logs greeting ",
		"ww compose up --det\t":             "% ww compose up --detach ",
		"ww compose up --progress=js\t":     "% ww compose up --progress=json ",
		"ww compose -f tw\t":                "% ww compose -f two.yml ",
		"ww help exi\t":                     "% ww help exit-codes ",
		"ww compose -f main.ww logs -f o\t": "% ww compose -f main.ww logs -f out ",
	} {
		if _, err := w.keys.Write([]byte(typed)); err != nil {
			t.Fatal(err)
		}
		// What is typed after it shows that the space is there.
		if _, err := w.keys.Write([]byte("#")); err != nil {
			t.Fatal(err)
		}
		w.until(want + "#")
		if _, err := w.keys.Write([]byte{'U' - '@'}); err != nil { // the line goes away
			t.Fatal(err)
		}
	}
	if _, err := w.keys.Write([]byte("exit\n")); err != nil {
		t.Fatal(err)
	}
	<-w.done
}
