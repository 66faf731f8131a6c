package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus/bustest"
)

// TestUpKilled: when ww is killed nothing that it has started is left: no handler's
// process, no program, and nothing that a program has started.
func TestUpKilled(t *testing.T) {
	dir, port := t.TempDir(), bustest.FreePort()
	pids := filepath.Join(dir, "pids")
	file := fmt.Sprintf(`a = core template { template: "x", isolation: "process" }
p = core exec { command: ["sh", "-c", "sleep 1000 & echo $! $$ >%s; cat"], mode: "lines" }
deployment = server { port = %s }
`, pids, port)
	if err := os.WriteFile(filepath.Join(dir, "main.ww"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ww", "up", "-q")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	until(t, "the system isn't up", func() bool {
		res, err := http.Get("http://127.0.0.1:" + port + "/health")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		b, _ := os.ReadFile(pids)
		return res.StatusCode == http.StatusOK && len(strings.Fields(string(b))) == 2
	})
	b, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	left := strings.Fields(string(b))
	kids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
	for _, path := range tasks { // a child is one of a thread
		b, _ := os.ReadFile(path)
		kids = append(append(kids, ' '), b...)
	}
	left = append(left, strings.Fields(string(kids))...)
	if len(left) < 4 { // the handler of a, the program of p, which is there twice, and what that has started
		t.Fatalf("there are %v", left)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for _, text := range left {
		if _, err := strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		until(t, "process "+text+" is left", func() bool {
			f, err := os.Open("/proc/" + text + "/stat")
			if err != nil {
				return true
			}
			defer f.Close()
			line, _ := bufio.NewReader(f).ReadString('\n')
			return line == "" || strings.Contains(line, ") Z ") // one that nobody waits for yet
		})
	}
	until(t, "control groups are left", func() bool {
		found, _ := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/*/ww-%d-*", cmd.Process.Pid))
		more, _ := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/ww-%d-*", cmd.Process.Pid))
		return len(found)+len(more) == 0
	})
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}
