package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/sync/errgroup"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/templates"
)

// The figures of `ww compose` are ratios: to the engine calls that the work
// can't do without, made by bare loops with nothing between, and, where COMPOSE
// names one, to docker compose on the same exported file and images. Contenders
// take turns within each round, and medians count.

// contest is one project that is brought up and down by several contenders.
type contest struct {
	*system
	files  []string // -f of both tools, and what the bare calls load
	other  string   // path of docker compose; empty: none
	spoilt int      // networks that the engine can't remove any more
	calls  *types.Project
}

// foreign are services of other people's images, which need nothing and have
// their own checks.
func foreign(n int) string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range n {
		fmt.Fprintf(&b, "  c%d:\n    image: busybox:stable\n    command: [sh, -c, \"trap 'exit 0' TERM; touch /ready; sleep 100000 & wait\"]\n"+
			"    environment:\n      COMPONENT_NAME: c%d\n    healthcheck: {test: [CMD, test, -f, /ready], interval: 1s, timeout: 2s, retries: 30}\n", i, i)
	}
	return b.String()
}

func newContest(t *testing.T, components int, chain, others bool) *contest {
	if os.Getenv("WW_BENCH") == "" {
		t.Skip("`make bench` runs it")
	}
	// Engines may keep a network that they count wrongly: the next one has its own.
	s := newSystem(t, strings.ToLower(t.Name()[len("Test"):]), map[string]string{"main.ww": consoles(components)})
	s.ww("compose", "build", "--missing")
	text := s.ww("compose", "export")
	services := components + 1
	if others {
		text, services = foreign(components), components
	}
	// Checks every second are the terms; docker compose has to wait for them.
	text = regexp.MustCompile(`(?m)^(\s+interval:) \d+s$`).ReplaceAllString(text, "$1 1s")
	if chain {
		for i := 1; i < components; i++ {
			head := fmt.Sprintf("\n  c%d:", i)
			at := strings.Index(text, head)
			text = text[:at] + strings.Replace(text[at:], "depends_on:\n", fmt.Sprintf("depends_on:\n      c%d:\n        condition: service_healthy\n", i-1), 1)
		}
	}
	c := &contest{system: s, files: []string{"-f", "bench.yml"}, other: os.Getenv("COMPOSE")}
	c.write("bench.yml", text)
	c.write("changed.yml", strings.Replace(text, "COMPONENT_NAME: c3\n", "COMPONENT_NAME: c3\n      CHANGED: \"1\"\n", 1))
	if c.load(); len(c.calls.Services) != services {
		t.Fatalf("%d services", len(c.calls.Services))
	}
	if c.other == "" {
		fmt.Println("docker compose: not compared, COMPOSE names none")
	}
	return c
}

// load has the bare calls make what the file says.
func (c *contest) load() {
	c.t.Helper()
	l, err := compose.Load(c.t.Context(), compose.Request{Files: []string{filepath.Join(c.dir, "bench.yml")}, Name: c.name})
	if err != nil {
		c.t.Fatal(err)
	}
	c.calls = l.Project
}

// rename goes on with a project of another name, and so with a network of its own.
func (c *contest) rename() {
	c.t.Helper()
	before := c.name
	c.name = strings.TrimSuffix(c.name, fmt.Sprint("-", c.spoilt-1)) + fmt.Sprint("-", c.spoilt)
	name := c.name
	c.t.Cleanup(func() { removeProject(name) })
	c.env = append(c.env, "COMPOSE_PROJECT_NAME="+name)
	for _, file := range []string{"bench.yml", "changed.yml"} {
		c.write(file, strings.ReplaceAll(c.text(file), before, name))
	}
	c.load()
}

func (c *contest) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *contest) args(args ...string) []string {
	return slices.Concat([]string{"compose"}, c.files, args)
}

// ours runs ww compose.
func (c *contest) ours(args ...string) error { return c.run(c.command(c.args(args...)...)) }

// theirs runs docker compose.
func (c *contest) theirs(args ...string) error {
	cmd := exec.Command(c.other, slices.Concat(c.files, args)...)
	cmd.Dir, cmd.Env = c.dir, c.env
	return c.run(cmd)
}

func (c *contest) run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

// haunted is what is said of a network that the engine can't remove any more: some
// engines count its endpoints wrongly when many come and go, whoever asks them to.
var haunted = regexp.MustCompile("counts endpoints on it|has active endpoints")

// do measures one thing. Where it ends with a network that the engine can't
// remove, it doesn't count, and all goes on with another one.
func (c *contest) do(m times, what string, f func() error) {
	c.t.Helper()
	begin := time.Now()
	err := f()
	took := time.Since(begin)
	switch {
	case err == nil:
		m[what] = append(m[what], took)
	case haunted.MatchString(err.Error()) && c.spoilt < 5:
		c.spoilt++
		c.t.Logf("the engine can't remove a network any more, a defect of its own: %q doesn't count this time", what)
		c.rename()
	default:
		c.t.Fatal(err)
	}
}

// times collects durations by what took them.
type times map[string][]time.Duration

func (m times) add(what string, f func()) {
	begin := time.Now()
	f()
	m[what] = append(m[what], time.Since(begin))
}

func (m times) median(what string) time.Duration {
	ds := slices.Sorted(slices.Values(m[what]))
	if len(ds) == 0 {
		return 0
	}
	return ds[len(ds)/2]
}

// best is the contender with the shortest median of those that begin like that.
func (m times) best(prefix string) string {
	found := ""
	for what := range m {
		if strings.HasPrefix(what, prefix) && (found == "" || m.median(what) < m.median(found)) {
			found = what
		}
	}
	return found
}

// ratio prints how a compares with b, and fails above the limit.
func (m times) ratio(t *testing.T, what, a, b string, limit float64) {
	t.Helper()
	if len(m[a]) == 0 || len(m[b]) == 0 {
		return
	}
	r := m.median(a).Seconds() / m.median(b).Seconds()
	verdict := "ok"
	if r > limit {
		verdict = "MISSED"
		t.Errorf("%s: %.2f, at most %.2f", what, r, limit)
	}
	fmt.Printf("%-58s %5.2f  (%.3f s to %.3f s; at most %.2f) %s\n", what, r, m.median(a).Seconds(), m.median(b).Seconds(), limit, verdict)
}

func TestBenchTen(t *testing.T)   { benchIndependent(t, false, 10, 5, []int{4, 8, 16}, 0.65) }
func TestBenchFifty(t *testing.T) { benchIndependent(t, false, 50, 3, []int{8, 16}, 0.85) }

func TestBenchTenOthers(t *testing.T)   { benchIndependent(t, true, 10, 5, []int{4, 8, 16}, 0.65) }
func TestBenchFiftyOthers(t *testing.T) { benchIndependent(t, true, 50, 3, []int{8, 16}, 0.85) }

// benchIndependent measures components that wait for nothing but the bus, or
// services of others that wait for nothing at all.
func benchIndependent(t *testing.T, others bool, n, rounds int, parallel []int, limit float64) {
	c := newContest(t, n, false, others)
	m := times{}
	if c.text("changed.yml") == c.text("bench.yml") {
		t.Fatal("nothing is changed")
	}
	// What isn't measured counts for nobody.
	for range rounds {
		c.do(m, "up", func() error { return c.ours("up", "-d", "--quiet") })
		c.settled()
		c.do(m, "nothing", func() error { return c.ours("up", "-d", "--quiet") })
		c.do(m, "change", func() error {
			return c.run(c.command("compose", "-f", "changed.yml", "up", "-d", "--quiet"))
		})
		c.do(m, "down", func() error { return c.ours("down", "--quiet") })
		c.do(m, "", func() error { return c.ours("down", "-v", "--quiet") })
		for _, p := range parallel {
			var ids map[string]string
			c.do(m, fmt.Sprint("bare up ", p), func() (err error) { ids, err = c.bareUp(p); return err })
			if p == parallel[0] {
				c.do(m, "bare change", func() (err error) { ids["c3"], err = c.bareChange(ids["c3"], "c3"); return err })
			}
			c.do(m, fmt.Sprint("bare down ", p), func() error { return c.bareDown(ids, p) })
			removeProject(c.name) // its volume
		}
		if c.other != "" {
			c.do(m, "their up", func() error { return c.theirs("up", "-d", "--wait") })
			c.settled()
			c.do(m, "their nothing", func() error { return c.theirs("up", "-d", "--wait") })
			c.do(m, "their down", func() error { return c.theirs("down") })
			c.do(m, "", func() error { return c.theirs("down", "-v") })
		}
	}
	kind := "components"
	if others {
		kind = "others"
	}
	what := func(s string) string { return fmt.Sprintf("%s, %d %s: ", s, n, kind) }
	up, down := m.best("bare up "), m.best("bare down ")
	m.ratio(t, what("up")+"to "+up, "up", up, 1.15)
	m.ratio(t, what("up")+"to docker compose", "up", "their up", limit)
	m.ratio(t, what("nothing to do")+"to docker compose", "nothing", "their nothing", 0.2)
	m.ratio(t, what("one changes")+"to one container's calls", "change", "bare change", 1.5)
	m.ratio(t, what("down")+"to "+down, "down", down, 1.1)
	m.ratio(t, what("down")+"to docker compose", "down", "their down", 1)
}

// TestBenchChain measures five components that each wait until the previous one
// is ready.
func TestBenchChain(t *testing.T) {
	c := newContest(t, 5, true, false)
	m := times{}
	for range 5 {
		c.do(m, "up", func() error { return c.ours("up", "-d", "--quiet") })
		c.do(m, "", func() error { return c.ours("down", "-v", "--quiet") })
		for _, p := range []int{1, 2, 4} {
			var ids map[string]string
			c.do(m, fmt.Sprint("bare up ", p), func() (err error) { ids, err = c.bareUp(p); return err })
			c.do(m, "", func() error { return c.bareDown(ids, 8) })
			removeProject(c.name) // its volume
		}
		if c.other != "" {
			c.do(m, "their up", func() error { return c.theirs("up", "-d", "--wait") })
			c.do(m, "", func() error { return c.theirs("down", "-v") })
		}
	}
	m.ratio(t, "chain of five: to the calls with no waiting between", "up", "bare up 1", 1.2)
	m.ratio(t, "chain of five: to docker compose", "up", "their up", 0.25)
}

func (c *contest) text(name string) string {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// settled waits until the engine has seen that all is healthy, so that nothing
// that is measured has to wait for that.
func (c *contest) settled() {
	c.t.Helper()
	deadline := time.Now().Add(3 * time.Minute) // a component's check comes once a minute
	for strings.Contains(docker(c.t, "ps", "--filter", "label=com.docker.compose.project="+c.name, "--format", "{{.Status}}"), "starting") {
		if time.Now().After(deadline) {
			c.t.Fatal("not healthy within three minutes")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// bare opens an engine for bare calls.
func (c *contest) bare(f func(context.Context, *dockerx.Engine) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := dockerx.Open(ctx, dockerx.Options{})
	if err != nil {
		return err
	}
	defer e.Close()
	return f(ctx, e)
}

// each calls f for every service, so many at a time, in order.
func (c *contest) each(parallel int, f func(service string) error) error {
	g := new(errgroup.Group)
	g.SetLimit(parallel)
	for _, name := range c.calls.ServiceNames() {
		g.Go(func() error { return f(name) })
	}
	return g.Wait()
}

// bareUp makes the calls of an up, and waits for nothing.
func (c *contest) bareUp(parallel int) (map[string]string, error) {
	ids := map[string]string{}
	var mu sync.Mutex
	err := c.bare(func(ctx context.Context, e *dockerx.Engine) error {
		if err := e.CreateNetwork(ctx, c.calls, "default"); err != nil {
			return err
		}
		if len(c.calls.Volumes) > 0 {
			if err := e.CreateVolume(ctx, c.calls, "bus-data"); err != nil {
				return err
			}
		}
		return c.each(parallel, func(name string) error {
			id, err := e.Create(ctx, c.calls, c.spec(name))
			if err != nil {
				return err
			}
			mu.Lock()
			ids[name] = id
			mu.Unlock()
			return e.Start(ctx, id)
		})
	})
	return ids, err
}

func (c *contest) spec(service string) deploy.ContainerSpec {
	return deploy.ContainerSpec{Service: c.calls.Services[service], Number: 1, Name: c.name + "-" + service + "-1", Labels: map[string]string{
		"com.docker.compose.project": c.name, "com.docker.compose.service": service, "com.docker.compose.container-number": "1",
		"com.docker.compose.oneoff": "False",
	}}
}

// bareEnd stops a container and removes it.
func bareEnd(ctx context.Context, e *dockerx.Engine, id string) error {
	if err := e.Stop(ctx, id, nil); err != nil {
		return err
	}
	return e.Remove(ctx, id, false)
}

// bareChange makes the calls that replace one container.
func (c *contest) bareChange(id, service string) (now string, err error) {
	err = c.bare(func(ctx context.Context, e *dockerx.Engine) (err error) {
		if err = bareEnd(ctx, e, id); err != nil {
			return err
		}
		if now, err = e.Create(ctx, c.calls, c.spec(service)); err != nil {
			return err
		}
		return e.Start(ctx, now)
	})
	return now, err
}

// bareDown makes the calls of a down: all that may be stopped at once, the bus
// after those that need it.
func (c *contest) bareDown(ids map[string]string, parallel int) error {
	return c.bare(func(ctx context.Context, e *dockerx.Engine) error {
		err := c.each(parallel, func(name string) error {
			if name == busService {
				return nil
			}
			return bareEnd(ctx, e, ids[name])
		})
		if id, ok := ids[busService]; ok && err == nil {
			err = bareEnd(ctx, e, id)
		}
		if err != nil {
			return err
		}
		return e.RemoveNetwork(ctx, c.calls.Networks["default"].Name)
	})
}

const busService = "message-bus"

// TestBenchChecks measures what the engine's health checks of 25 idle
// components and their bus cost: the CPU time of the engine, its containerd and
// all that they start, over two intervals.
func TestBenchChecks(t *testing.T) {
	if os.Getenv("WW_BENCH") == "" {
		t.Skip("`make bench` runs it")
	}
	s := newSystem(t, "checks", map[string]string{"main.ww": consoles(25)})
	s.ww("compose", "up", "-d", "--quiet")
	(&contest{system: s}).settled()
	const over = 80 * time.Second
	before := engineCPU(t)
	time.Sleep(over)
	share := (engineCPU(t) - before).Seconds() / over.Seconds()
	fmt.Printf("checks of 25 idle components: %.1f %% of a core (at most 5)\n", 100*share)
	if share > 0.05 {
		t.Error("beyond the limit")
	}
}

// engineCPU is the CPU time that the engine has used so far, with the processes
// that have ended under it.
func engineCPU(t *testing.T) time.Duration {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("/proc: %v", err)
	}
	ticks := 0
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		head, rest, _ := strings.Cut(string(b), ") ")
		_, comm, _ := strings.Cut(head, "(")
		if comm != "dockerd" && !strings.HasPrefix(comm, "containerd") {
			continue
		}
		var times [4]int // of the process and of its ended children
		if fields := strings.Fields(rest); len(fields) > 14 {
			for i := range times {
				_, _ = fmt.Sscan(fields[11+i], &times[i])
				ticks += times[i]
			}
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// TestBenchExport measures what a thousand components cost before any engine is
// asked.
func TestBenchExport(t *testing.T) {
	if os.Getenv("WW_BENCH") == "" {
		t.Skip("`make bench` runs it")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.ww"), []byte(consoles(1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	var most int64
	for range 5 {
		c := exec.Command(binary, "compose", "export", "-o", "out.yml", "--force")
		c.Dir = dir
		begin := time.Now()
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		took = append(took, time.Since(begin))
		if usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
			most = max(most, usage.Maxrss)
		}
	}
	slices.Sort(took)
	fmt.Printf("export of 1,000 components: %.2f s (at most 1), %d MiB (at most 300)\n", took[2].Seconds(), most>>10)
	if took[2] > time.Second || most>>10 > 300 {
		t.Error("beyond the limit")
	}
}

// TestBenchMany measures ps and plan beyond the listing call, with as many
// containers as a fake engine likes to list.
func TestBenchMany(t *testing.T) {
	if os.Getenv("WW_BENCH") == "" {
		t.Skip("`make bench` runs it")
	}
	const services = 1000
	f := newFaked(t, apps(nil), map[string]string{"main.ww": consoles(services - 1)})
	if code, _, err := ww("compose", "up", "-d", "--quiet"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, err)
	}
	d := f.driver()
	b, err := templates.FindBinary("")
	if err != nil {
		t.Fatal(err)
	}
	l, err := compose.Load(t.Context(), compose.Request{Files: []string{"main.ww"}, Binary: b})
	if err != nil {
		t.Fatal(err)
	}
	m := times{}
	for range 5 {
		m.add("listing", func() { _, err = d.Observe(t.Context(), l.Project.Name, l.Project) })
		if err != nil {
			t.Fatal(err)
		}
		var p plan.Plan
		m.add("plan", func() {
			p, err = deploy.Preview(t.Context(), d, deploy.UpRequest{Project: l.Project, Digests: digests()})
		})
		if err != nil || p.Changes() > 0 {
			t.Fatalf("%v, %d changes", err, p.Changes())
		}
		m.add("ps", func() { ww("compose", "-p", l.Project.Name, "ps", "-q") })
	}
	beyond := func(what string, limit time.Duration) {
		d := m.median(what) - m.median("listing")
		fmt.Printf("%s of %d services: %.2f s beyond the listing of %.2f s (at most %.1f)\n", what, services, d.Seconds(), m.median("listing").Seconds(), limit.Seconds())
		if d > limit {
			t.Errorf("%s takes %v", what, d)
		}
	}
	beyond("plan", 500*time.Millisecond)
	beyond("ps", time.Second)
}
