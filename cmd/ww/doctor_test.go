package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/plan"
)

// patientHere is what the checks look at in this folder and environment.
func patientHere(t *testing.T) (context.Context, *patient) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	tl := &tool{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	return ctx, tl.newPatient(ctx, cli.NewContext(cli.NewApp(), flag.NewFlagSet("doctor", flag.ContinueOnError), nil))
}

// diagnosed gives what one check finds, a line each.
func diagnosed(t *testing.T, name string) string {
	t.Helper()
	i := slices.IndexFunc(checks[:], func(c check) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no check %q", name)
	}
	ctx, p := patientHere(t)
	var lines []string
	for _, f := range examine(ctx, p, checks[i:i+1]) {
		if f.Verdict != fine && f.Remedy == "" {
			t.Errorf("%s: %q has no remedy", name, f.Evidence)
		}
		if strings.Contains(f.Evidence+f.Remedy, "\n") {
			t.Errorf("%s: more than a line: %q", name, f.Evidence)
		}
		lines = append(lines, string(f.Verdict)+" "+f.Evidence)
	}
	return strings.Join(lines, "\n")
}

// TestDoctorEngine has each check look at engines of one property each.
func TestDoctorEngine(t *testing.T) {
	taken, port := listen(t)
	portFile := fmt.Sprintf("services: {a: {image: 'app:1', ports: ['127.0.0.1:%d:80']}}", taken)
	for _, tt := range []struct {
		check  string
		opts   enginetest.Options
		file   string // compose.yaml
		want   string // begins a line
		before func(*testing.T, *faked)
	}{
		{check: "engine", want: "ok Docker Engine 0.0-enginetest (API 1.51) at unix://"},
		{check: "engine", opts: enginetest.Options{APIVersion: "1.40"}, want: "problem Docker Engine 0.0-enginetest (API 1.40) at"},
		{check: "engine", opts: enginetest.Options{APIVersion: "1.23"}, want: "problem talk to the engine at"},
		{check: "defects", want: "ok none is known"},
		{check: "defects", opts: info("ServerVersion", "20.10.24"), want: "warning engine 20.10.24: `pause`"},
		{check: "limits", want: "ok 2 CPUs"},
		{check: "limits", opts: info("SwapLimit", false), want: "warning 2 CPUs, 0 B of memory; limits that can't be set: swap"},
		{check: "limits", opts: info("Warnings", []string{"WARNING: bridge-nf-call-iptables is disabled"}), want: "warning 2 CPUs, 0 B of memory; the engine warns: WARNING: bridge"},
		{check: "clock", want: "ok the engine's clock"},
		{check: "clock", opts: info("SystemTime", time.Now().Add(time.Hour).Format(time.RFC3339Nano)), want: "warning the engine's clock is "},
		{check: "clock", opts: info("SystemTime", "2020-01-01T00:00:00Z"), want: "warning the engine's clock is "},
		{check: "proxy", want: "ok none here"},
		{check: "proxy", opts: info("HttpProxy", "http://u:secret@proxy:3128"), want: "ok the engine pulls through http://u:xxxxx@proxy:3128"},
		{check: "addresses", want: "ok networks have taken 0 of about 31"},
		{check: "addresses", file: "services: {a: {image: 'app:1'}}", want: "problem networks have taken 2 of about 2 address ranges, and this project needs 1 more",
			opts: info("DefaultAddressPools", []any{map[string]any{"Base": "10.0.0.0/23", "Size": 24}}), before: networks(2)},
		{check: "addresses", want: "warning networks have taken 28 of about 31", before: networks(28)},
		{check: "images", file: "services: {a: {image: 'app:1'}, b: {image: 'x/y:2'}}", opts: enginetest.Options{Images: []string{"app:1"}}, want: "ok 2 images: 1 there, 1 can be pulled"},
		{check: "images", file: "services: {a: {image: 'app:1'}}", opts: enginetest.Options{PullErrors: map[string]string{"app:1": "manifest for app:1 not found: manifest unknown"}},
			want: "problem image app:1 of a isn't here, and can't be pulled: manifest for app:1 not found"},
		{check: "images", file: "services: {a: {image: 'app:1', pull_policy: never}}", want: "problem image app:1 of a isn't here, and may not be pulled"},
		{check: "images", file: "services: {a: {build: {context: ., dockerfile_inline: \"FROM base:9\\nRUN x\\n\"}}}", opts: enginetest.Options{PullErrors: map[string]string{"base:9": "pull access denied"}},
			want: "problem base image base:9 of a isn't here, and can't be pulled: pull access denied"},
		{check: "ports", file: portFile, want: fmt.Sprintf("problem port %d, which a wants: ww.test (process %d) has it", taken, os.Getpid())},
		{check: "ports", file: fmt.Sprintf("services: {a: {image: 'app:1', ports: ['127.0.0.1:%d:80']}}", port), want: "ok 1 port: free"},
		{check: "ports", file: "services: {a: {image: 'app:1', ports: ['8123:80']}}", opts: apps(nil), want: "problem port 8123, which a wants: container q-a-1 of project q has it", before: up("q", onePort)},
		{check: "names", file: "services: {a: {image: 'app:1'}}", want: "ok nobody else has those of project p"},
		{check: "names", file: "services: {a: {image: 'app:1', container_name: q-a-1}}", opts: apps(nil), want: "problem container q-a-1 is there, and belongs to project q", before: up("q", onePort)},
		{check: "names", file: "services: {a: {image: 'app:1', networks: [n]}}\nnetworks: {n: {external: true, name: there}}", want: "problem network there is declared as external, and isn't there"},
		{check: "names", file: "services: {a: {image: 'app:1'}}", want: "warning network p_default is there, and belongs to no project",
			before: func(_ *testing.T, f *faked) { f.AddNetwork("p_default", nil) }},
		{check: "containers", want: "ok project p isn't running"},
		{check: "containers", opts: apps(nil), want: "ok 2 of 2 containers run", before: up("p", oneImage)},
		{check: "containers", opts: apps(map[string]enginetest.Behaviour{"a": {Output: []enginetest.Line{{Text: "no such table"}}}}), want: "problem p-a-1 exited with code 3; it said last: no such table",
			before: func(t *testing.T, f *faked) { up("p", oneImage)(t, f); f.Exit("a", 3) }},
		{check: "containers", opts: apps(nil), want: "problem p-a-1 is unhealthy",
			before: func(t *testing.T, f *faked) { up("p", oneImage)(t, f); f.SetHealth("a", false) }},
		{check: "containers", file: "services: {b: {image: 'app:1'}}", opts: apps(nil), want: "warning left over from services that the file has no more: p-a-1, p-message-bus-1", before: up("p", oneImage)},
		{check: "component image", opts: apps(nil), want: "ok 1 component run ww-component:", before: up("p", "out = output console {}")},
		{check: "bus", opts: apps(nil), want: "problem message-bus isn't running", before: func(t *testing.T, f *faked) {
			up("p", "out = output console {}")(t, f)
			f.Exit("message-bus", 1)
		}},
		{check: "bus", opts: answering(look{Components: map[string]bus.Stats{"out": {Depth: 2, Dead: 3, Consumers: 1}}}), want: "warning out has 3 dead letters", before: up("p", "out = output console {}")},
		{check: "bus", opts: answering(look{Components: map[string]bus.Stats{"out": {Depth: 2, Consumers: 1}}}), want: "ok it answers for 1 component; 2 messages wait", before: up("p", "out = output console {}")},
		{check: "bus", opts: answering(look{Components: map[string]bus.Stats{"out": {Depth: 2}}}), want: "problem 2 messages for out wait, and nobody takes them", before: up("p", "out = output console {}")},
	} {
		t.Run(tt.check+" "+tt.want[:strings.Index(tt.want, " ")], func(t *testing.T) {
			f := newFaked(t, tt.opts, nil)
			if tt.before != nil {
				tt.before(t, f)
			}
			if tt.file != "" {
				_ = os.Remove("main.ww") // what the project was made from, if it was
				if err := os.WriteFile("compose.yaml", []byte(tt.file), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := diagnosed(t, tt.check); !strings.Contains("\n"+got, "\n"+tt.want) {
				t.Errorf("%s:\n%s\nwant %s…", tt.check, got, tt.want)
			}
		})
	}
}

func info(key string, value any) enginetest.Options {
	return enginetest.Options{Info: map[string]any{key: value}}
}

func networks(n int) func(*testing.T, *faked) {
	return func(_ *testing.T, f *faked) {
		for i := range n {
			f.AddNetwork("n"+strconv.Itoa(i), nil)
		}
	}
}

// up brings a system up.
func up(project, file string) func(*testing.T, *faked) {
	return func(t *testing.T, _ *faked) {
		t.Helper()
		if err := os.WriteFile("main.ww", []byte(file), 0o644); err != nil {
			t.Fatal(err)
		}
		if code, _, err := ww("compose", "-p", project, "up", "-d", "--quiet"); code != exitOK {
			t.Fatal(err)
		}
	}
}

// answering is an engine on which the bus's agent tells of one look.
func answering(l look) enginetest.Options {
	o := apps(nil)
	o.Exec = func(x enginetest.Exec) int {
		item, err := json.Marshal(l)
		if err != nil {
			panic(err)
		}
		line, err := jsonLine(result{Item: item})
		if err != nil {
			panic(err)
		}
		_, _ = x.Stdout.Write(line)
		return 0
	}
	return o
}

// listen opens a port until the test ends, and gives it and one that is free.
func listen(t *testing.T) (taken, free int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	free, err = strconv.Atoi(bustest.FreePort())
	if err != nil {
		t.Fatal(err)
	}
	return l.Addr().(*net.TCPAddr).Port, free
}

// TestDoctorFile has the checks of the file look at files; there is no engine.
func TestDoctorFile(t *testing.T) {
	for _, tt := range []struct {
		check string
		files map[string]string
		want  string
	}{
		{"file", nil, "ok there is no .ww or compose file here"},
		{"file", map[string]string{"main.ww": oneImage}, "ok main.ww: 2 services in project p"},
		{"file", map[string]string{"main.ww": "a = output console {} }"}, "problem main.ww: "},
		{"file", map[string]string{"main.ww": "a = output console {}\nb = core template { template: \"x\"  to: \"topic\" }"}, "warning main.ww: "},
		{"file", map[string]string{"compose.yaml": "services: [1]"}, "problem "},
		{"variables", map[string]string{"main.ww": oneImage}, "ok all that the file names are set"},
		{"variables", map[string]string{"main.ww": "m = llm openai { model: \"x\"  api_key: $WW_TEST_KEY }"}, "problem \"m\" needs the variable $WW_TEST_KEY"},
		{"variables", map[string]string{"main.ww": "m = llm openai { model: \"x\"  api_key: $WW_TEST_KEY }", ".env": "WW_TEST_KEY=1"}, "ok "},
		{"variables", map[string]string{"compose.yaml": "services: {a: {image: 'x:${WW_TEST_TAG}'}}"}, "warning not set, and counted as empty: WW_TEST_TAG"},
		{"folder", map[string]string{"main.ww": oneImage}, "ok "},
		{"folder", map[string]string{"main.ww": oneImage, ".ww/secrets/x": "1"}, "ok "},
		{"folder", map[string]string{"main.ww": oneImage, ".ww": "1"}, "problem "},
		{"binary", nil, "ok components' images are made with "},
		{"engine", nil, "problem ask the engine about itself: no engine answers at unix:///no/socket"},
		{"disk", nil, "ok this folder's disk"},
		{"versions", nil, "ok ww "},
		{"images", map[string]string{"main.ww": oneImage}, ""},
		{"ports", map[string]string{"main.ww": onePort}, ""},
		{"containers", nil, ""},
		{"bus", nil, ""},
	} {
		inFolder(t, "unix:///no/socket", tt.files)
		got := diagnosed(t, tt.check)
		if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s of %v:\n%s\nwant %s…", tt.check, tt.files, got, tt.want)
		}
	}
}

// TestDoctorExit: what is wrong decides the exit code; JSON says the same.
func TestDoctorExit(t *testing.T) {
	newFaked(t, apps(nil), map[string]string{"main.ww": onePort})
	code, out, errs := ww("doctor")
	if code != exitOK || errs != "" || !strings.Contains(out, "\n0 problems, ") || !strings.HasPrefix(out, "ok       engine ") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	code, out, _ = ww("doctor", "--format", "json")
	var answer struct {
		Findings []finding
		Problems int
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != exitOK || answer.Problems != 0 || len(answer.Findings) < 10 {
		t.Errorf("exit code %d, %v\n%s", code, err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:8123")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if code, out, _ := ww("doctor"); code != exitFailed || !strings.Contains(out, "problem  ports ") || !strings.Contains(out, "help: stop that program") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if err := os.WriteFile("main.ww", []byte("a = "), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := ww("doctor"); code != exitConfig {
		t.Errorf("exit code %d\n%s", code, out)
	}
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	if code, out, _ := ww("doctor"); code != exitEngine || !strings.Contains(out, "(from DOCKER_HOST)") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if code, _, _ := ww("doctor", "--format", "xml"); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}

// TestDoctorDeadline: an engine that hangs, or a check that does, holds nothing
// up.
func TestDoctorDeadline(t *testing.T) {
	f := newFaked(t, apps(nil), map[string]string{"main.ww": onePort})
	f.Inject(enginetest.Fault{Op: "info", Kind: enginetest.Hang})
	begin := time.Now()
	code, out, _ := ww("doctor", "--timeout", "200ms")
	if code != exitEngine || !strings.Contains(out, "doesn't answer") || !strings.Contains(out, "ok       file ") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	release := make(chan struct{})
	defer close(release)
	found := examine(ctx, nil, []check{
		{"stuck", func(context.Context, *patient) []finding { <-release; return nil }},
		{"quick", func(context.Context, *patient) []finding { return []finding{ok("done")} }},
	})
	if len(found) != 2 || found[0].Verdict != warning || found[0].Check != "stuck" || found[1].Evidence != "done" {
		t.Errorf("%+v", found)
	}
}

func TestFromLines(t *testing.T) {
	value := "3.12"
	for text, want := range map[string]string{
		"FROM busybox\n": "busybox",
		"# c\nARG V=1\nFROM --platform=linux/amd64 a:$V AS b\nFROM b\nCOPY x y\n": "a:1",
		"ARG PY\nfrom python:${PY:-3}\n":                                          "python:3.12",
		"FROM scratch\n":                                                          "",
		"FROM golang as build\nARG X=9\nFROM c:${X:-2}\n":                         "golang c:2",
		"FROM\n": "",
	} {
		if got := strings.Join(fromLines(text, map[string]*string{"PY": &value}), " "); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestDiskFinding(t *testing.T) {
	for free, want := range map[int64]verdict{1 << 20: problem, 1 << 30: warning, 1 << 40: fine} {
		if f := diskFinding("x", free, 1<<41, "y"); f.Verdict != want {
			t.Errorf("%d: %s", free, f.Verdict)
		}
	}
}

func TestContainerFinding(t *testing.T) {
	for _, tt := range []struct {
		c    plan.Container
		want verdict
	}{
		{plan.Container{State: plan.Running, Health: plan.Healthy}, ""},
		{plan.Container{State: plan.Exited}, ""},
		{plan.Container{State: plan.Exited, ExitCode: 1, OneOff: true}, ""},
		{plan.Container{State: plan.Restarting, ExitCode: 1}, problem},
		{plan.Container{State: plan.Dead}, problem},
		{plan.Container{State: plan.Paused}, warning},
		{plan.Container{State: plan.Created}, warning},
	} {
		f := containerFinding(tt.c)
		if f == nil && tt.want != "" || f != nil && f.Verdict != tt.want {
			t.Errorf("%+v: %+v, want %s", tt.c, f, tt.want)
		}
	}
}

// TestDoctorReal: on a real engine, a system that runs is well, and one of which
// a part has died isn't.
func TestDoctorReal(t *testing.T) {
	s := newSystem(t, "doctor", map[string]string{"main.ww": small})
	s.ww("compose", "up", "-d")
	code, out := s.exit("doctor")
	for _, want := range []string{
		"ok engine Docker Engine", "ok clock the engine's clock", "ok disk the engine's disk", "ok file main.ww: 4 services", "ok ports 1 port",
		"ok names nobody else", "ok containers 4 of 4 containers run", "ok component image 3 components run ww-component:", "ok bus it answers for 2 components",
		"containers have the labels of compose ",
	} {
		if !strings.Contains(spaces.ReplaceAllString(out, " "), want) {
			t.Errorf("it doesn't say %q", want)
		}
	}
	if code != exitOK || t.Failed() {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	docker(t, "kill", s.name+"-greet-1")
	code, out = s.exit("doctor")
	if code != exitFailed || !strings.Contains(out, s.name+"-greet-1 exited with code 137; it said last: ") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
