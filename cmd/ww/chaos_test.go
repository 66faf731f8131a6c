package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/chaos"
)

// turmoil is a system whose parts are killed, cut off and replaced.
type turmoil struct {
	*system
	turmoilOptions
	rnd       *rand.Rand
	peer      string         // program of package chaos, on this machine
	revisions map[string]int // of components that have been changed
	faults    map[string]int // how many there were, by kind
}

type turmoilOptions struct {
	bus      string
	replicas int // of each stage
	seed     int
	messages int // that load sends
	sessions int
	window   int           // messages of load's under way
	work     time.Duration // of a on each
	cutoff   time.Duration // how long a container is cut off at most
}

// stages are the components that numbers go through.
var stages = []string{"ingest", "a", "b", "sink"}

func newTurmoil(t *testing.T, name string, o turmoilOptions) *turmoil {
	t.Helper()
	c := &turmoil{
		system: newSystem(t, name, nil), turmoilOptions: o, rnd: rand.New(rand.NewPCG(uint64(o.seed), 0)),
		revisions: map[string]int{}, faults: map[string]int{},
	}
	c.peer = filepath.Join(c.dir, "peer", "peer")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", c.peer, "../../chaos/peer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Components run as nobody.
	if err := os.Mkdir(c.out(""), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(c.out(""), 0o777); err != nil {
		t.Fatal(err)
	}
	c.write()
	return c
}

func (c *turmoil) out(file string) string { return filepath.Join(c.dir, "out", file) }

// write writes the system down. A component with another revision is another
// one to ww, and does the same.
func (c *turmoil) write() {
	c.t.Helper()
	stage := fmt.Sprintf("concurrency: 32  replicas: %d", c.replicas)
	peer := `image: "busybox:stable"  source: "./peer"  ` + stage
	load := fmt.Sprintf(`["/app/peer", "-messages=%d", "-sessions=%d", "-window=%d"]`, c.messages, c.sessions, c.window)
	text := fmt.Sprintf(`
in = input api { port: $PORT  to: ingest }
ingest = core template { template: "{{/* %d */}}{{ json .payload }}"  format: "json"  %s  to: a }
a = core exec { %s  command: ["/app/peer", "-work=%s", "relay"]  mode: "lines"  environment: { REVISION: "%d" }  to: b }
b = core template { template: "{{/* %d */}}{{ json .payload }}"  format: "json"  %s  to: sink }
sink = core exec { %s  command: ["/app/peer", "sink"]  mode: "lines"  environment: { REVISION: "%d" }  volumes: ["./out:/out"]  to: load }
load = core exec { image: "busybox:stable"  source: "./peer"  command: ["/app/peer"]  volumes: ["./out:/out"]  concurrency: 32 }
d = docker { message_bus = %s {}  components = { load = { entrypoint = %s } } }
`, c.revisions["ingest"], stage, peer, c.work, c.revisions["a"], c.revisions["b"], stage, peer, c.revisions["sink"], c.bus, load)
	if err := os.WriteFile(filepath.Join(c.dir, "main.ww"), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// follow shows what load says until the test ends, or stop is called.
func (c *turmoil) follow(want string) (out *watched, stop func()) {
	c.t.Helper()
	out = watch(want)
	logs := c.command("compose", "logs", "-f", "--no-log-prefix", "load")
	logs.Stdout, logs.Stderr = out, io.Discard
	if err := logs.Start(); err != nil {
		c.t.Fatal(err)
	}
	stop = func() {
		_ = logs.Process.Kill() // it may have ended
		_ = logs.Wait()
	}
	c.t.Cleanup(stop)
	return out, stop
}

func (c *turmoil) pick(names ...string) string { return names[c.rnd.IntN(len(names))] }

func (c *turmoil) pause(least, most time.Duration) {
	select {
	case <-time.After(least + time.Duration(c.rnd.Int64N(int64(most-least)))):
	case <-c.t.Context().Done():
		c.t.Fatal(c.t.Context().Err())
	}
}

// container picks a replica of a service.
func (c *turmoil) container(service string) string {
	n := 1
	if slices.Contains(stages, service) {
		n += c.rnd.IntN(c.replicas)
	}
	return fmt.Sprintf("%s-%s-%d", c.name, service, n)
}

// fault is one thing that goes wrong, and is put right again. It tells to what.
type fault struct {
	name string
	do   func(*turmoil) string
}

// Kills are SIGKILLs by way of the engine, which takes them for somebody's
// decision: it starts nothing again by itself.
var faults = []fault{
	{"component killed", func(c *turmoil) string { return c.kill(c.pick(stages...)) }},
	{"bus killed", func(c *turmoil) string { return c.churning(func() string { return c.kill("message-bus") }) }},
	{"component cut off", func(c *turmoil) string { return c.cut(c.pick(stages...)) }},
	{"component replaced", func(c *turmoil) string { return c.replace(c.pick(stages...)) }},
	{"bus and component killed", func(c *turmoil) string {
		return c.churning(func() string { return c.kill("message-bus", c.pick(stages...)) })
	}},
	{"bus cut off", func(c *turmoil) string { return c.cut("message-bus") }},
}

func (c *turmoil) kill(services ...string) string {
	c.t.Helper()
	var names []string
	for _, s := range services {
		names = append(names, c.container(s))
	}
	docker(c.t, append([]string{"kill", "--signal", "KILL"}, names...)...)
	c.pause(0, 2*time.Second)
	docker(c.t, append([]string{"start"}, names...)...)
	return strings.Join(names, ", ")
}

func (c *turmoil) replace(service string) string {
	c.t.Helper()
	c.revisions[service]++
	c.write()
	c.ww("compose", "up", "-d", "--quiet")
	return service
}

// cut takes a container off its network. Where there is time it is often for
// longer than a replica may be silent.
func (c *turmoil) cut(service string) string {
	c.t.Helper()
	network, container := c.name+"_default", c.container(service)
	docker(c.t, "network", "disconnect", network, container)
	c.pause(500*time.Millisecond, c.cutoff)
	docker(c.t, "network", "connect", "--alias", service, network, container)
	return container
}

// churning does something while other processes keep the disk busy: that is
// when a bus that doesn't wait for its disk loses what it has promised.
func (c *turmoil) churning(do func() string) string {
	c.t.Helper()
	var busy []*exec.Cmd
	for range 2 {
		p := exec.Command(c.peer, "-dir", c.dir, "churn")
		if err := p.Start(); err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { _ = p.Process.Kill() }) // it is gone, unless the test failed
		busy = append(busy, p)
	}
	c.pause(300*time.Millisecond, time.Second)
	what := do()
	for _, p := range busy {
		_ = p.Process.Signal(os.Interrupt)
		if err := p.Wait(); err != nil {
			c.t.Fatalf("keep the disk busy: %v", err)
		}
	}
	return what
}

// rage deals faults, each kind once a round in a shuffled order: so many
// rounds, or, where that is 0, until done is closed and one round at the least.
func (c *turmoil) rage(every time.Duration, rounds int, done <-chan struct{}) {
	c.t.Helper()
	begin := time.Now()
	for round := 0; rounds == 0 || round < rounds; round++ {
		for _, i := range c.rnd.Perm(len(faults)) {
			if rounds == 0 && round > 0 && isClosed(done) {
				return
			}
			c.pause(every/2, every*3/2)
			f := faults[i]
			at := time.Now()
			what := f.do(c)
			c.faults[f.name]++
			c.t.Logf("%s %6.1f s: %s: %s, for %.1f s", at.UTC().Format("15:04:05.000"), at.Sub(begin).Seconds(), f.name, what, time.Since(at).Seconds())
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// count adds up what load, the sink and others have recorded.
func (c *turmoil) count(others ...chaos.Record) (chaos.Report, chaos.Ending) {
	c.t.Helper()
	all := others
	for _, file := range []string{chaos.LoadJournal, chaos.SinkJournal} {
		records, err := chaos.ReadJournal(c.out(file))
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, records...)
	}
	report := chaos.Count(all)
	var e chaos.Ending
	text, err := os.ReadFile(c.out(chaos.EndingFile))
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		c.t.Errorf("nothing is known about the end: %v", err)
	}
	if !report.OK() || len(e.Left) > 0 {
		c.t.Errorf("%s", report)
		for _, story := range report.Stories {
			c.t.Log(story)
		}
		c.t.Logf("the bus at the end: %s", text)
		c.keep()
	}
	return report, e
}

// keep saves what tells how it came, where somebody wants it.
func (c *turmoil) keep() {
	dir := os.Getenv("WW_CHAOS_KEEP")
	if dir == "" {
		return
	}
	logs := c.ww("compose", "logs", "--timestamps", "--no-color")
	err := os.WriteFile(c.out("logs.txt"), []byte(logs), 0o644)
	if err == nil {
		err = os.CopyFS(filepath.Join(dir, c.name+"-"+time.Now().UTC().Format("150405")), os.DirFS(c.out("")))
	}
	if err != nil {
		c.t.Errorf("keep the records: %v", err)
	}
}

// setting is a number that whoever runs the test may choose.
func setting(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("%s=%s is no number above 0", variable, text)
	}
	return n
}

// TestChaos: whatever is killed, cut off or replaced, every message that the
// bus has acknowledged comes out at the end, once, in the order of its session.
// `make chaos` runs it for long:
//
//	WW_CHAOS           how many messages
//	WW_CHAOS_SEED      of the faults
//	WW_CHAOS_BUS       redis or nats
//	WW_CHAOS_REPLICAS  of each component
//	WW_CHAOS_EVERY     seconds between faults
//	WW_CHAOS_KEEP      a folder for records and logs of what goes wrong
func TestChaos(t *testing.T) {
	t.Parallel()
	o := turmoilOptions{messages: 2000, sessions: 100, window: 400, work: 150 * time.Millisecond, cutoff: 3 * time.Second}
	every, rounds := 500*time.Millisecond, 1
	if os.Getenv("WW_CHAOS") != "" {
		o = turmoilOptions{
			messages: setting(t, "WW_CHAOS", 0), sessions: 400, window: 2000, work: 5 * time.Millisecond, cutoff: 8 * time.Second,
		}
		every, rounds = time.Duration(setting(t, "WW_CHAOS_EVERY", 3))*time.Second, 0
	}
	o.bus, o.replicas = cmp.Or(os.Getenv("WW_CHAOS_BUS"), "redis"), setting(t, "WW_CHAOS_REPLICAS", 1)
	o.seed = setting(t, "WW_CHAOS_SEED", int(time.Now().Unix()))
	t.Logf("seed %d, bus %s, %d messages of %d sessions, %d replicas", o.seed, o.bus, o.messages, o.sessions, o.replicas)
	c := newTurmoil(t, "chaos", o)
	c.ww("compose", "up", "-d")
	begin := time.Now()
	out, _ := c.follow("all sent.")
	sent := out.seen
	c.rage(every, rounds, sent)
	calm := time.Now()
	within := func(d time.Duration, seen <-chan struct{}, what string) {
		select {
		case <-seen:
		case <-time.After(d):
			t.Errorf("%s: not within %v of calm", what, d)
		}
	}
	within(2*time.Minute, sent, "all sent")
	within(3*time.Minute, out.expect("finished."), "all drained")
	report, _ := c.count()
	if report.Acknowledged != o.messages && !t.Failed() {
		t.Errorf("%d were to be sent", o.messages)
	}
	var kills []string
	for _, f := range faults {
		kills = append(kills, fmt.Sprintf("%s %d", f.name, c.faults[f.name]))
	}
	t.Logf("%s\n%s; %.0f s, of which %.0f s of faults", report, strings.Join(kills, ", "), time.Since(begin).Seconds(), calm.Sub(begin).Seconds())
	c.ww("compose", "down", "-v", "--quiet")
	if left := leftovers(t, c.name); left != "" {
		t.Errorf("left: %s", left)
	}
}
