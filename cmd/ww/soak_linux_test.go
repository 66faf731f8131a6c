package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// soaked is a mixed system under load, whose parts are killed on both sides.
type soaked struct {
	*turmoil
	pid int // of `ww up`
}

// figures are what the process of `ww up` takes.
type figures struct {
	at                             time.Duration
	rss                            int // KiB
	descriptors, routines, threads int
}

func (f figures) String() string {
	return fmt.Sprintf("%4.0f s: %d KiB, %d descriptors, %d goroutines, %d threads", f.at.Seconds(), f.rss, f.descriptors, f.routines, f.threads)
}

// writeMixed has the components of a turmoil on both sides: what is isolated, a
// relay and the sink on this one.
func (s *soaked) writeMixed(d time.Duration) {
	s.t.Helper()
	s.system.write("main.ww", fmt.Sprintf(`
ingest = core template { template: "{{ json .payload }}"  format: "json"  isolation: "process"  concurrency: 32  max_retries: 20  to: a }
a = core exec {
    image: "busybox:stable"  source: "./peer"  command: ["/app/peer", "-work=%s", "relay"]
    mode: "lines"  concurrency: 32  max_retries: 20  to: b
}
b = core exec { command: ["%s", "-work=%s", "relay"]  mode: "lines"  concurrency: 32  max_retries: 20  to: sink }
sink = core exec { command: ["%s", "-dir=%s", "sink"]  mode: "lines"  concurrency: 32  max_retries: 20  to: load }
load = core exec { image: "busybox:stable"  source: "./peer"  command: ["/app/peer"]  volumes: ["./out:/out"]  concurrency: 32 }
inside = docker {
    message_bus = %s {}
    components = { a = {}, load = { entrypoint = ["/app/peer", "-messages=1000000000", "-sessions=%d", "-window=%d", "-for=%s", "-pace=%s", "-patience=3m"] } }
}
edge = server { components = [ingest, b, sink], port = $PORT }
`, s.work, s.peer, s.work, s.peer, s.out(""), s.bus, s.sessions, s.window, d, 320*time.Millisecond))
}

// figures looks at the process.
func (s *soaked) figures(since time.Time) figures {
	s.t.Helper()
	f := figures{at: time.Since(since)}
	proc := fmt.Sprintf("/proc/%d/", s.pid)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		s.t.Fatalf("`ww up` is gone: %v", err)
	}
	f.rss, f.threads = valueIn(string(status), "VmRSS:"), valueIn(string(status), "Threads:")
	open, err := os.ReadDir(proc + "fd")
	if err != nil {
		s.t.Fatal(err)
	}
	f.descriptors = len(open)
	res, err := http.Get("http://127.0.0.1:" + s.port() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	f.routines = valueIn(string(text), "\ngo_goroutines ")
	http.DefaultClient.CloseIdleConnections() // it is no descriptor of what is looked at
	return f
}

// valueIn is the number behind a name; 0 where there is none.
func valueIn(text, name string) int {
	_, rest, _ := strings.Cut(text, name)
	words := strings.Fields(rest)
	if len(words) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(words[0])
	return n
}

// descendants are the processes that `ww up` has started, and that do its work.
func (s *soaked) descendants() (pids []int) {
	parents := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) > 1 {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			parents[pid], _ = strconv.Atoi(f[1])
		}
	}
	for pid := range parents {
		for p := parents[pid]; p > 1; p = parents[p] {
			if p != s.pid {
				continue
			}
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if strings.Contains(string(line), isolatedWord) || strings.HasPrefix(string(line), s.peer) {
				pids = append(pids, pid)
			}
			break
		}
	}
	slices.Sort(pids)
	return pids
}

// crash kills the process of a container as a crash does: the engine starts the
// container again.
func (s *soaked) crash(service string) string {
	s.t.Helper()
	name := s.container(service)
	pid := func() int {
		n, _ := strconv.Atoi(strings.TrimSpace(docker(s.t, "inspect", "--format", "{{.State.Pid}}", name)))
		return n
	}
	old := pid()
	if old <= 0 {
		return name + ", which was down"
	}
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		s.t.Fatalf("kill %s: %v", name, err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if now := pid(); now > 0 && now != old {
			return name
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s isn't started again", name)
		}
	}
}

// ofSoak is what goes wrong in a soak. Load is what counts, and stays.
var ofSoak = []struct {
	name string
	do   func(*soaked) string
}{
	{"container crashed", func(s *soaked) string { return s.crash("a") }},
	{"process killed", func(s *soaked) string {
		pids := s.descendants()
		if len(pids) == 0 {
			return "none, as all are being started"
		}
		pid := pids[s.rnd.IntN(len(pids))]
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Sprintf("%d, which has ended", pid)
		}
		return fmt.Sprint(pid)
	}},
	{"all processes killed", func(s *soaked) string {
		pids := s.descendants()
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
		return fmt.Sprint(pids)
	}},
	{"bus crashed", func(s *soaked) string { return s.crash("message-bus") }},
	{"bus restarted", func(s *soaked) string { docker(s.t, "restart", s.container("message-bus")); return "" }},
}

// TestSoak: a mixed system whose containers, processes and bus die all the time
// loses nothing, answers each message once, and takes no more at the end than at
// the beginning. `make soak` runs it:
//
//	WW_SOAK        for how long
//	WW_SOAK_SEED   of what goes wrong
//	WW_SOAK_EVERY  seconds between two faults
//	WW_SOAK_BUS    redis or nats
func TestSoak(t *testing.T) {
	text := os.Getenv("WW_SOAK")
	if text == "" {
		t.Skip("WW_SOAK=10m says for how long")
	}
	length, err := time.ParseDuration(text)
	if err != nil || length < 30*time.Second {
		t.Fatalf("WW_SOAK=%s is no duration of 30s or more", text)
	}
	o := turmoilOptions{bus: "redis", replicas: 1, sessions: 400, window: 2000, work: 50 * time.Millisecond} // so that kills hit some
	if bus := os.Getenv("WW_SOAK_BUS"); bus != "" {
		o.bus = bus
	}
	o.seed = setting(t, "WW_SOAK_SEED", int(time.Now().Unix()))
	every := time.Duration(setting(t, "WW_SOAK_EVERY", 4)) * time.Second
	t.Logf("seed %d, bus %s, %s", o.seed, o.bus, length)
	s := &soaked{turmoil: newTurmoil(t, "soak", o)}
	s.writeMixed(length)

	up := s.command("up")
	told, out := watch("Ctrl-C takes it down"), watch("")
	up.Stderr, up.Stdout = told, out
	isUp := told.seen
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = up.Process.Kill() // it has ended, unless the test failed
		if t.Failed() {
			t.Logf("ww up: …%s", last(told.String(), 8000))
		}
	})
	s.pid = up.Process.Pid
	told.wait(t, "it isn't up", isUp)
	begin := time.Now()
	loads, _ := s.follow("all sent.")
	sent := loads.seen

	var all []figures
	for i := 0; time.Since(begin) < length; i++ {
		if i%len(ofSoak) == 0 {
			s.rnd.Shuffle(len(ofSoak), func(i, j int) { ofSoak[i], ofSoak[j] = ofSoak[j], ofSoak[i] })
		}
		f := ofSoak[i%len(ofSoak)]
		s.pause(every/2, every*3/2)
		what := f.do(s)
		s.faults[f.name]++
		now := s.figures(begin)
		all = append(all, now)
		t.Logf("%v; %s %s", now, f.name, what)
	}
	within := func(d time.Duration, seen <-chan struct{}, what string) {
		select {
		case <-seen:
		case <-time.After(d):
			t.Errorf("%s: not within %v of calm", what, d)
		}
	}
	within(time.Minute, sent, "all sent")
	within(4*time.Minute, loads.expect("finished."), "all drained")
	calm := s.figures(begin)
	report, _ := s.count()
	t.Logf("%s\n%v\nat the end: %v", report, s.faults, calm)
	if report.Acknowledged == 0 {
		t.Error("nothing was sent")
	}
	s.flat(all, calm, length)

	if err := up.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- up.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("at the end: %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("it doesn't end")
	}
	if left := s.descendants(); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// flat compares what the process took when it had run for a minute, or a third of
// a shorter time, with the last minute or third.
func (s *soaked) flat(all []figures, calm figures, length time.Duration) {
	s.t.Helper()
	part := min(time.Minute, length/3)
	median := func(from, to time.Duration, of func(figures) int) int {
		var values []int
		for _, f := range all {
			if f.at >= from && f.at < to {
				values = append(values, of(f))
			}
		}
		if len(values) == 0 {
			s.t.Fatalf("nobody looked between %s and %s", from, to)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	for _, q := range []struct {
		name  string
		of    func(figures) int
		slack func(early int) int
	}{
		{"KiB of memory", func(f figures) int { return f.rss }, func(early int) int { return early/4 + 4<<10 }},
		{"descriptors", func(f figures) int { return f.descriptors }, func(int) int { return 10 }},
		{"goroutines", func(f figures) int { return f.routines }, func(int) int { return 40 }},
	} {
		early, late := median(part, 2*part, q.of), median(length-part, length+time.Hour, q.of)
		s.t.Logf("%s: %d after %s, %d in the last %s, %d when all is calm", q.name, early, part, late, part, q.of(calm))
		if early == 0 {
			s.t.Errorf("there are no figures of %s", q.name)
		}
		if limit := early + q.slack(early); late > limit || q.of(calm) > limit {
			s.t.Errorf("%s grow from %d to %d, and %d when all is calm", q.name, early, late, q.of(calm))
		}
	}
}

// last is the end of a text.
func last(text string, n int) string { return text[max(0, len(text)-n):] }
