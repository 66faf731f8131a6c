package bustest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Redis is a server that a test runs.
type Redis struct {
	Addr string // host:port on the loopback interface
	URL  string

	t    testing.TB
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// StartRedis runs a Redis server for the length of a test and returns its URL.
// Where there is no redis-server the test fails, or is skipped if
// WW_TEST_ENGINE is "off".
func StartRedis(t testing.TB, args ...string) (url string) {
	t.Helper()
	return NewRedis(t, args...).URL
}

// NewRedis is StartRedis for tests that stop the server, or start it again.
// args are options of redis-server; without any, it keeps nothing on disk.
func NewRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("WW_TEST_ENGINE") == "off" {
			t.Skip("WW_TEST_ENGINE is off and there is no redis-server")
		}
		t.Fatal("this test needs redis-server: install it (apt-get install redis-server), or set WW_TEST_ENGINE=off to skip")
	}
	if len(args) == 0 {
		args = []string{"--appendonly", "no"}
	}
	r := &Redis{t: t, args: append([]string{"--save", "", "--dir", t.TempDir(), "--bind", "127.0.0.1"}, args...)}
	t.Cleanup(r.Kill)
	var err error
	for range 5 { // another process may take the port before the server does
		var port int
		if port, err = freePort(); err != nil {
			break
		}
		r.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if err = r.start(); err == nil {
			r.URL = "redis://" + r.Addr
			return r
		}
	}
	t.Fatalf("start redis-server: %v", err)
	return nil
}

// Start starts a server that was killed, on the same address with the same
// data.
func (r *Redis) Start() {
	r.t.Helper()
	if err := r.start(); err != nil {
		r.t.Fatalf("start redis-server again: %v", err)
	}
}

func (r *Redis) start() error {
	_, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return err
	}
	cmd := exec.Command("redis-server", append([]string{"--port", port}, r.args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	done, ready := make(chan struct{}), make(chan struct{}, 1)
	var log []string // of a server that isn't ready; done guards it
	go func() {
		defer close(done)
		log = watch(out, ready)
		_ = cmd.Wait() // it is killed
	}()
	r.cmd, r.done = cmd, done
	select {
	case <-ready:
		return nil
	case <-done:
		return fmt.Errorf("it ended at once: %s", strings.Join(log, "; "))
	case <-time.After(patience):
		return fmt.Errorf("it isn't ready after %s", patience)
	}
}

// watch reads a server's log until its end, tells when it accepts connections,
// and returns what it said before.
func watch(out io.Reader, ready chan<- struct{}) (before []string) {
	accepts := false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch {
		case accepts:
		case strings.Contains(strings.ToLower(lines.Text()), "ready to accept connections"):
			accepts = true
			ready <- struct{}{}
		default:
			before = append(before, lines.Text())
		}
	}
	return before
}

// Kill ends the server as a crash does, and waits for its end.
func (r *Redis) Kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill() // it may have ended by itself
	<-r.done
	r.cmd = nil
}
