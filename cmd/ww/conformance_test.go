package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"woodwork.dev/ww/runtime/bus/bustest"
)

// manner is one way to run a system.
type manner struct {
	name string
	// declared is the deployment of a file with these components.
	declared func(components []string) string
	redis    bool // one that the test runs
	engine   bool
	compose  bool // brought up by `ww compose up`, and not by `ww up`
	server   bool // asked over HTTP
	// systems are those that it is tried with; all if there are none. A bus behaves
	// in containers as it does elsewhere, where each is tried with all systems, and
	// of a border it counts what crosses it.
	systems []string
}

func always(text string) func([]string) string { return func([]string) string { return text } }

// manners are all ways; what each of them answers is the same.
var manners = []manner{
	{name: "local-memory", declared: always(`deployment = local { message_bus = memory {} }`)},
	{name: "local-redis", declared: always(`deployment = local { message_bus = redis { url = $REDIS_URL } }`), redis: true},
	{name: "local-nats", declared: always(`deployment = local { message_bus = nats {} }`)},
	{name: "server", declared: always(`deployment = server { port = $PORT2 }`), server: true},
	{name: "docker-redis", declared: always(`deployment = docker { message_bus = redis {} }`), engine: true, compose: true},
	{name: "docker-nats", declared: always(`deployment = docker { message_bus = nats {} }`), engine: true, compose: true, systems: []string{"sessions", "stream"}},
	{name: "mixed", declared: everyOther, engine: true, systems: []string{"exec", "failing", "fan-in", "sessions", "stream"}},
}

// everyOther puts the first component and every second one after it into
// containers. Inputs stay outside, so that both sides of the border are crossed.
func everyOther(components []string) string {
	var inside, outside []string
	for i, name := range components {
		if i%2 == 0 && name != "in" {
			inside = append(inside, name)
		} else {
			outside = append(outside, name)
		}
	}
	return fmt.Sprintf("inside = docker { components = [%s] }\noutside = local { components = [%s] }",
		strings.Join(inside, ", "), strings.Join(outside, ", "))
}

var declaration = regexp.MustCompile(`(?m)^(\w+) = (?:input|core|output) `)

// TestConformance: a system does the same and answers the same however it is
// run. Each archive has a file without a deployment, what to do with it, and what
// is seen then; -update takes that from the first manner.
func TestConformance(t *testing.T) {
	paths, err := filepath.Glob("testdata/conformance/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no systems: %v", err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(name, func(t *testing.T) {
			for i, m := range manners {
				if len(m.systems) > 0 && !slices.Contains(m.systems, name) {
					continue
				}
				t.Run(m.name, func(t *testing.T) {
					a, err := txtar.ParseFile(path)
					if err != nil {
						t.Fatal(err)
					}
					if m.engine {
						needEngine(t)
					}
					if !*update {
						t.Parallel()
					}
					got := deployAndDo(t, m, partOf(a, "main.ww"), partOf(a, "do"))
					if *update && i == 0 && !t.Failed() {
						keepWanted(t, path, a, got)
					}
					if want := partOf(a, "want"); got != want {
						t.Errorf("it isn't what is to be seen:\n%s", differences(want, got))
					}
				})
			}
		})
	}
}

func partOf(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func keepWanted(t *testing.T, path string, a *txtar.Archive, want string) {
	t.Helper()
	for i := range a.Files {
		if a.Files[i].Name == "want" {
			a.Files[i].Data = []byte(want)
		}
	}
	if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

// differences shows both texts line by line; what is seen is short.
func differences(want, got string) string {
	var b strings.Builder
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		line := func(all []string) string {
			if i < len(all) {
				return all[i]
			}
			return ""
		}
		if line(w) == line(g) {
			fmt.Fprintf(&b, "  %s\n", line(w))
		} else {
			fmt.Fprintf(&b, "- %s\n+ %s\n", line(w), line(g))
		}
	}
	return b.String()
}

// deployAndDo runs a system in one manner, does what is to be done, and takes it
// down: it gives what was seen.
func deployAndDo(t *testing.T, m manner, file, script string) string {
	t.Helper()
	var components []string
	for _, found := range declaration.FindAllStringSubmatch(file, -1) {
		components = append(components, found[1])
	}
	test := strings.Split(t.Name(), "/")
	p := &performance{manner: m, t: t, system: &system{t: t, dir: t.TempDir(), name: "wwtest-conf-" + test[1] + "-" + m.name}}
	p.ports = [2]string{bustest.FreePort(), bustest.FreePort()}
	p.env = append(os.Environ(), "COMPOSE_PROJECT_NAME="+p.name, "WW_COMPONENT_BINARY="+inImages, "NO_COLOR=1",
		"PORT="+p.ports[0], "PORT2="+p.ports[1])
	if m.redis {
		p.env = append(p.env, "REDIS_URL="+bustest.StartRedis(t))
	}
	if m.engine {
		t.Cleanup(func() { removeProject(p.name) })
	} else {
		p.env = append(p.env, "DOCKER_HOST=unix://"+filepath.Join(p.dir, "no.sock"))
	}
	declared := m.declared(components)
	p.outInside = m.compose || regexp.MustCompile(`docker .*\bout\b`).MatchString(declared)
	p.write("main.ww", file+declared+"\n")
	down := p.up()
	seen := p.do(script)
	down()
	return seen
}

// up brings the system up, and gives what takes it down.
func (p *performance) up() (down func()) {
	p.t.Helper()
	if p.manner.compose {
		p.ww("compose", "up", "-d", "--quiet")
		return func() { p.ww("compose", "down", "-v", "--quiet") }
	}
	c := p.command("up")
	p.told, p.out = watch("Ctrl-C takes it down"), watch("")
	isUp := p.told.seen
	c.Stdout, c.Stderr = p.out, p.told
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Process.Kill() })
	ended := make(chan int, 1)
	go func() {
		_ = c.Wait() // the exit code tells
		ended <- c.ProcessState.ExitCode()
	}()
	end := func(what string, within time.Duration) int {
		select {
		case code := <-ended:
			return code
		case <-time.After(within):
			p.t.Fatalf("%s\n%s", what, p.told.String())
			return 0
		}
	}
	select {
	case <-isUp:
	case code := <-ended:
		p.t.Fatalf("it isn't up: exit code %d\n%s", code, p.told.String())
	case <-time.After(time.Minute):
		p.t.Fatalf("it isn't up\n%s", p.told.String())
	}
	return func() {
		if err := c.Process.Signal(os.Interrupt); err != nil {
			p.t.Error(err)
		}
		if code := end("it doesn't end", time.Minute); code != exitOK {
			p.t.Errorf("at the end: exit code %d\n%s", code, p.told.String())
		}
	}
}

// written are the lines that the output has shown so far.
func (p *performance) written() []string {
	p.t.Helper()
	var text []byte
	if p.outInside {
		c := p.command("compose", "logs", "--no-log-prefix", "--no-color", "out")
		var logs, diag bytes.Buffer
		c.Stdout, c.Stderr = &logs, &diag
		if err := c.Run(); err != nil {
			p.t.Fatalf("ww compose logs out: %v\n%s", err, diag.String())
		}
		text = logs.Bytes()
	} else {
		text = []byte(p.out.String())
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.TrimRight(line, "\n"))
	}
	return slices.DeleteFunc(lines, func(line string) bool { return notOfOut.MatchString(line) })
}

// notOfOut is what is logged, and what other containers write.
var notOfOut = regexp.MustCompile(`^\{"time"|^[\w-]+-\d+ +\| `)
