package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/redis"
	"woodwork.dev/ww/runtime/component/componenttest"
	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/registry"
)

// What a component may take while it has nothing to do, and to start.
const (
	maxIdleMiB   = 20
	maxIdleCPU   = 0.5 // percent of one core
	maxStart     = 150 * time.Millisecond
	idleFor      = 10 * time.Second
	clockTicks   = 100 // of /proc, a second, on every Linux
	startsToTime = 11
)

// process is a component in a process of its own, as in its container.
type process struct {
	*exec.Cmd
	addr string
	log  *componenttest.Buffer
}

// spawn starts a component and returns how long it took until it was ready.
func spawn(t *testing.T, binary, url string, env ...string) (*process, time.Duration) {
	t.Helper()
	p := &process{addr: bustest.Nobody(), log: &componenttest.Buffer{}}
	p.Cmd = exec.Command(binary, "component", "c")
	p.Stderr = p.log
	p.Env = append([]string{"COMPONENT_NAME=c", "WW_PROJECT=p", "WOODWORK_MESSAGE_BUS=" + url, "WW_ADDR=" + p.addr, "WW_SECRETS_DIR=" + t.TempDir()}, env...)
	began := time.Now()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	if err := host.Probe(t.Context(), p.addr, patience); err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
	return p, time.Since(began)
}

// end stops it in order and returns how long that took.
func (p *process) end(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, p.log)
	}
	return time.Since(began)
}

// proc returns a line of a file of the process's in /proc.
func (p *process) proc(t *testing.T, file, prefix string) []string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.Process.Pid, file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.Fields(rest)
		}
	}
	t.Fatalf("%s has no %s", file, prefix)
	return nil
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (p *process) mib(t *testing.T, what string) float64 {
	t.Helper()
	return number(t, p.proc(t, "status", what+":")[0]) / 1024
}

// cpu returns the seconds of work that the process has done.
func (p *process) cpu(t *testing.T) float64 {
	t.Helper()
	f := p.proc(t, "stat", fmt.Sprintf("%d (ww) ", p.Process.Pid))
	return (number(t, f[11]) + number(t, f[12])) / clockTicks
}

const template = "COMPONENT_TYPE=core template"

// TestBenchHost measures a component in a process of its own, with Redis on
// loopback: how fast it gets ready, what it takes while it is idle, how it
// ends, and how soon the registry knows of its death.
func TestBenchHost(t *testing.T) {
	if os.Getenv("WW_BENCH") == "" || runtime.GOOS != "linux" {
		t.Skip("`make bench` runs it, on Linux")
	}
	binary := filepath.Join(t.TempDir(), "ww")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "woodwork.dev/ww/cmd/ww")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	url := bustest.StartRedis(t)
	config := `COMPONENT_CONFIG={"settings":{"template":"{{.payload}}"}}`

	var starts, ends []time.Duration
	for range startsToTime {
		p, took := spawn(t, binary, url, template, config)
		starts, ends = append(starts, took), append(ends, p.end(t))
	}
	slices.Sort(starts)
	slices.Sort(ends)
	start := starts[len(starts)/2]
	fmt.Printf("from start to ready: %d ms, median of %d (at most %d); to the end by SIGTERM: %d ms\n",
		start.Milliseconds(), len(starts), maxStart.Milliseconds(), ends[len(ends)/2].Milliseconds())
	if start > maxStart {
		t.Errorf("a component needs %s to get ready", start)
	}

	p, _ := spawn(t, binary, url, template, config)
	before := p.cpu(t)
	time.Sleep(idleFor) // it is measured, not waited for
	busy := 100 * (p.cpu(t) - before) / idleFor.Seconds()
	rss := p.mib(t, "VmRSS")
	fmt.Printf("idle for %s: %.1f MiB (at most %d; %.1f of it is memory, %.1f the binary), %.2f %% of a core (at most %.1f)\n",
		idleFor, rss, maxIdleMiB, p.mib(t, "RssAnon"), p.mib(t, "RssFile"), busy, maxIdleCPU)
	if rss > maxIdleMiB {
		t.Errorf("an idle component takes %.1f MiB", rss)
	}
	if busy > maxIdleCPU {
		t.Errorf("an idle component takes %.2f %% of a core", busy)
	}

	// In flight when the signal comes: it is finished, acknowledged, answered.
	slow, _ := spawn(t, binary, url, "COMPONENT_TYPE=core exec", "COMPONENT_NAME=c", `COMPONENT_CONFIG={"settings":{"command":["sh","-c","cat; sleep 3"]}}`, "PATH="+os.Getenv("PATH"), "WW_PROJECT=q")
	b, reg := connect(t, url, "q")
	replies, err := b.Request(t.Context(), bus.Message{Payload: json.RawMessage(`"hello"`), Target: "c"})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, reg, func(es []registry.Entry) bool { return len(es) == 1 && es[0].State == registry.Active })
	took := slow.end(t)
	if m, err := replies.Next(t.Context()); err != nil || m.Error != "" || string(m.Payload) != `"hello"` {
		t.Errorf("the message in flight: %+v, %v", m, err)
	}
	if err := replies.Close(); err != nil {
		t.Error(err)
	}
	if es, err := reg.List(t.Context()); err != nil || len(es) != 0 {
		t.Errorf("after the end the registry has %+v, %v", es, err)
	}
	fmt.Printf("a message in flight was finished on SIGTERM, in %d ms\n", took.Milliseconds())

	// Killed: gone from the registry by itself.
	_, reg = connect(t, url, "p")
	began := time.Now()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // killed
	watch(t, reg, func(es []registry.Entry) bool { return len(es) == 0 })
	gone := time.Since(began)
	fmt.Printf("gone from the registry %.1f s after it was killed (at most 15)\n", gone.Seconds())
	if gone > 15*time.Second {
		t.Errorf("a dead component is in the registry for %s", gone)
	}
}

func connect(t *testing.T, url, project string) (*redis.Bus, registry.Registry) {
	t.Helper()
	b, err := redis.Open(t.Context(), redis.Options{URL: url, Project: project})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b, b.Registry()
}

// watch returns when the registry has what is wanted.
func watch(t *testing.T, r registry.Registry, wanted func([]registry.Entry) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := false
	registry.Watch(ctx, r, func(es []registry.Entry) {
		if wanted(es) {
			seen = true
			cancel()
		}
	})
	if !seen {
		t.Error("the registry never had what was expected")
	}
}
