package bustest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// NATS is a server that a test runs as a process of its own. It has JetStream
// and syncs every write.
type NATS struct {
	Addr string // host:port on the loopback interface
	URL  string

	t    testing.TB
	path string
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// StartNATS runs a NATS server for the length of a test and returns its URL.
func StartNATS(t testing.TB, args ...string) (url string) {
	t.Helper()
	return NewNATS(t, args...).URL
}

// NewNATS is StartNATS for tests that stop the server, or start it again. args
// are lines of its configuration.
func NewNATS(t testing.TB, conf ...string) *NATS {
	t.Helper()
	dir := t.TempDir()
	n := &NATS{t: t, path: filepath.Join(dir, "nats-server")}
	build := exec.Command("go", "build", "-o", n.path, "github.com/nats-io/nats-server/v2")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v: %s", err, out)
	}
	file := filepath.Join(dir, "nats.conf")
	lines := append([]string{
		"max_payload: 17MB", "max_pending: 256MB",
		fmt.Sprintf("jetstream { store_dir: %q, sync_interval: always }", filepath.Join(dir, "store")),
	}, conf...)
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Kill)
	var err error
	for range 5 { // another process may take the port before the server does
		var port int
		if port, err = freePort(); err != nil {
			break
		}
		n.Addr = fmt.Sprintf("127.0.0.1:%d", port)
		n.args = []string{"-c", file, "-a", "127.0.0.1", "-p", fmt.Sprint(port)}
		if err = n.start(); err == nil {
			n.URL = "nats://" + n.Addr
			return n
		}
	}
	t.Fatalf("start nats-server: %v", err)
	return nil
}

// Start starts a server that was killed, on the same address with the same
// data.
func (n *NATS) Start() {
	n.t.Helper()
	if err := n.start(); err != nil {
		n.t.Fatalf("start nats-server again: %v", err)
	}
}

func (n *NATS) start() error {
	cmd := exec.Command(n.path, n.args...)
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	done, ready := make(chan struct{}), make(chan struct{}, 1)
	var log []string // of a server that isn't ready; done guards it
	go func() {
		defer close(done)
		log = watchNATS(out, ready)
		_ = cmd.Wait() // it is killed
	}()
	n.cmd, n.done = cmd, done
	select {
	case <-ready:
	case <-done:
		return fmt.Errorf("it ended at once: %s", strings.Join(log, "; "))
	case <-time.After(patience):
		return fmt.Errorf("it isn't ready after %s", patience)
	}
	c, err := net.Dial("tcp", n.Addr)
	if err != nil {
		return err
	}
	return c.Close()
}

// watchNATS reads a server's log until its end, tells when it is ready, and
// returns what it said before.
func watchNATS(out io.Reader, ready chan<- struct{}) (before []string) {
	is := false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch {
		case is:
		case strings.Contains(lines.Text(), "Server is ready"):
			is = true
			ready <- struct{}{}
		default:
			before = append(before, lines.Text())
		}
	}
	return before
}

// Kill ends the server as a crash does, and waits for its end.
func (n *NATS) Kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill() // it may have ended by itself
	<-n.done
	n.cmd = nil
}
