package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
)

// faked is a project on an engine of the test's own, which does what the test
// wants, faults included.
type faked struct {
	t   *testing.T
	ctx context.Context
	*enginetest.Engine
}

func newFaked(t *testing.T, o enginetest.Options, files map[string]string) *faked {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	f := &faked{t, ctx, enginetest.Start(t, o)}
	inFolder(t, f.Host(), files)
	return f
}

// inFolder has run work in a folder of its own, on an engine.
func inFolder(t *testing.T, host string, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, value := range map[string]string{
		"DOCKER_HOST": host, "DOCKER_CONTEXT": "", "DOCKER_CONFIG": dir, "HOME": dir, "WW_COMPONENT_BINARY": binary,
		"COMPOSE_PROJECT_NAME": "p", "NO_COLOR": "1",
	} {
		t.Setenv(name, value)
	}
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// ww runs a command in this process, and gives its exit code and output.
func ww(args ...string) (code int, stdout, stderr string) {
	var out, err watched
	code = run(append([]string{"ww"}, args...), strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

// fails runs a command that has to end with a code and to say some things.
func (f *faked) fails(code int, says []string, args ...string) {
	f.t.Helper()
	wantFailure(f.t, code, says, args...)
	if left := f.left(); left != "" {
		f.t.Errorf("left: %s", left)
	}
}

func wantFailure(t *testing.T, code int, says []string, args ...string) {
	t.Helper()
	got, out, err := ww(args...)
	if got != code || out != "" {
		t.Errorf("%v: exit code %d, want %d; output %q", args, got, code, out)
	}
	for _, s := range append(says, "error: ", "help: ") {
		if !strings.Contains(err, s) {
			t.Errorf("%v doesn't say %q:\n%s", args, s, err)
		}
	}
}

func (f *faked) driver() *dockerx.Engine {
	f.t.Helper()
	d, err := dockerx.Open(f.ctx, dockerx.Options{Host: f.Host()})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = d.Close() })
	return d
}

// left lists what there is of the project.
func (f *faked) left() string {
	f.t.Helper()
	have, err := f.driver().Observe(f.ctx, "p", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	var names []string
	for _, c := range have.Containers {
		names = append(names, c.Name)
	}
	for _, n := range have.Networks {
		names = append(names, n.Name)
	}
	for _, v := range have.Volumes {
		names = append(names, v.Name)
	}
	return strings.Join(names, " ")
}

const (
	oneImage = `d = docker { components = { a = { image = "app:1"  healthcheck = { test = ["CMD", "check"] } } } }`
	onePort  = `d = docker { components = { a = { image = "app:1"  ports = ["127.0.0.1:8123:80"] } } }`
	oneBuild = `x = core exec { dockerfile: "own/Dockerfile"  command: ["cat"] }`
)

func apps(services map[string]enginetest.Behaviour) enginetest.Options {
	return enginetest.Options{Images: []string{"app:1", "redis:alpine"}, Services: services}
}

func TestFaultImageCantBePulled(t *testing.T) {
	f := newFaked(t, enginetest.Options{PullErrors: map[string]string{"app:1": "manifest for app:1 not found: manifest unknown"}}, map[string]string{"main.ww": oneImage})
	f.fails(exitEngine, []string{"pull image app:1", "manifest unknown"}, "compose", "up", "-d")
}

func TestFaultPortTaken(t *testing.T) {
	f := newFaked(t, apps(map[string]enginetest.Behaviour{"a": {PortTaken: 8123}}), map[string]string{"main.ww": onePort})
	f.fails(exitEngine, []string{"start container p-a-1", "host port 8123 is taken"}, "compose", "up", "-d")
}

func TestFaultNameTaken(t *testing.T) {
	f := newFaked(t, apps(nil), map[string]string{"main.ww": oneImage})
	other := &types.Project{Name: "other"}
	_, err := f.driver().Create(f.ctx, other, deploy.ContainerSpec{Service: types.ServiceConfig{Name: "x", Image: "app:1"}, Name: "p-a-1"})
	if err != nil {
		t.Fatal(err)
	}
	f.fails(exitEngine, []string{"create container p-a-1", "already in use", "docker ps -a"}, "compose", "up", "-d")
	if _, err := f.driver().Inspect(f.ctx, "p-a-1"); err != nil {
		t.Errorf("somebody else's container: %v", err)
	}
}

func TestFaultBuild(t *testing.T) {
	files := map[string]string{"main.ww": oneBuild, "own/Dockerfile": "FROM busybox\nRUN something\n"}
	for name, tt := range map[string]struct {
		msg  string
		code int
		says []string
	}{
		"fails":     {"The command '/bin/sh -c something' returned a non-zero code: 9", exitBuild, []string{"non-zero code: 9", "last lines of the build", "  | output of the failing step"}},
		"disk full": {"write /layer: no space left on device", exitEngine, []string{"no space left on device", "free some space", "docker system df"}},
	} {
		t.Run(name, func(t *testing.T) {
			inFolder(t, "unix:///nowhere", files)
			_, images, _ := ww("compose", "export", "--images")
			errs := map[string]string{}
			for _, image := range strings.Fields(images) {
				errs[image] = tt.msg
			}
			o := apps(nil)
			o.BuildErrors = errs
			f := newFaked(t, o, files)
			f.fails(tt.code, append(tt.says, "build image "), "compose", "up", "-d")
		})
	}
}

// TestFaultEngineDies: the engine ends while containers are started.
func TestFaultEngineDies(t *testing.T) {
	f := newFaked(t, apps(nil), map[string]string{"main.ww": oneImage})
	f.Inject(enginetest.Fault{Op: "container.start", Kind: enginetest.Hang})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		f.AwaitCalls(f.ctx, 1, "container.start")
		f.Stop()
	}()
	begin := time.Now()
	wantFailure(t, exitEngine, []string{" container p-", "start the engine behind", "warning: cleaning up", "`ww compose down` removes what is left"}, "compose", "up", "-d")
	<-stopped
	if d := time.Since(begin); d > 15*time.Second {
		t.Errorf("it took %v", d)
	}
	wantFailure(t, exitEngine, []string{"look at project p", "no engine answers"}, "compose", "ps")
}

func TestFaultEngineTooOld(t *testing.T) {
	f := newFaked(t, enginetest.Options{APIVersion: "1.23"}, map[string]string{"main.ww": oneImage})
	for _, command := range []string{"up", "ps", "down", "logs"} {
		wantFailure(t, exitEngine, []string{f.Host(), "API 1.23", "update the engine"}, "compose", command)
	}
}

func TestFaultUnreachable(t *testing.T) {
	for host, says := range map[string]string{
		"tcp://127.0.0.1:1": "check that an engine listens at tcp://127.0.0.1:1",
		"unix:///no/socket": "start the engine behind unix:///no/socket",
	} {
		t.Run(host, func(t *testing.T) {
			inFolder(t, host, map[string]string{"main.ww": oneImage})
			begin := time.Now()
			for _, command := range []string{"up", "ps", "down", "logs"} {
				wantFailure(t, exitEngine, []string{host, says}, "compose", command)
			}
			if d := time.Since(begin); d > 20*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// TestFaultDenied: a socket of another user's.
func TestFaultDenied(t *testing.T) {
	dir, err := os.MkdirTemp("", "ww-denied")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ww"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), filepath.Join(dir, "ww"), "compose", "-p", "p", "ps")
	c.Dir, c.Env = dir, []string{"DOCKER_HOST=unix://" + filepath.Join(dir, "s"), "HOME=" + dir, "NO_COLOR=1"}
	mode := os.FileMode(0o600)
	if os.Getuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	} else {
		mode = 0
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "s"), mode); err != nil {
		t.Fatal(err)
	}
	out, _ := c.CombinedOutput() // the exit code tells
	if code := c.ProcessState.ExitCode(); code != exitEngine {
		t.Errorf("exit code %d", code)
	}
	for _, s := range []string{"permission denied", "usermod -aG docker", filepath.Join(dir, "s")} {
		if !strings.Contains(string(out), s) {
			t.Errorf("it doesn't say %q:\n%s", s, out)
		}
	}
}

// TestNothingThere: commands about a project of which there is nothing.
func TestNothingThere(t *testing.T) {
	newFaked(t, apps(nil), map[string]string{"main.ww": oneImage})
	for _, tt := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"ps"}, exitOK, "NAME      IMAGE     COMMAND   SERVICE   CREATED   STATUS    PORTS\n", ""},
		{[]string{"ps", "-q"}, exitOK, "", ""},
		{[]string{"ps", "--format", "json"}, exitOK, "", ""},
		{[]string{"images", "--format", "json"}, exitOK, "[]\n", ""},
		{[]string{"stop"}, exitOK, "", "nothing to do: there is nothing of p"},
		{[]string{"stop", "a"}, exitOK, "", "nothing to do: there is nothing of p"},
		{[]string{"stop", "b"}, exitUsage, "", `there is no service "b"`},
		{[]string{"start", "a"}, exitConfig, "", `service "a" has no container to start`},
		{[]string{"exec", "a", "true"}, exitConfig, "", `service "a" isn't running: it has no container`},
		{[]string{"wait", "a"}, exitConfig, "", `service "a" isn't running`},
		{[]string{"top"}, exitOK, "", "nothing of p runs"},
		{[]string{"ls"}, exitOK, "NAME      STATUS    CONFIG FILES\n", ""},
		{[]string{"volumes", "-q"}, exitOK, "", ""},
		{[]string{"logs"}, exitOK, "", ""},
		{[]string{"logs", "a"}, exitUsage, "", "nothing of project \"p\" is running"},
		{[]string{"ps", "a"}, exitUsage, "", "nothing of project \"p\" is running"},
		{[]string{"down"}, exitOK, "", "nothing to do: there is nothing of p"},
		{[]string{"down", "-v", "--quiet"}, exitOK, "", ""},
	} {
		code, out, err := ww(append([]string{"compose"}, tt.args...)...)
		if code != tt.code || out != tt.stdout || !strings.Contains(err, tt.stderr) || tt.stderr == "" && err != "" {
			t.Errorf("%v: exit code %d, want %d\n%q\n%q", tt.args, code, tt.code, out, err)
		}
	}
}

// TestPsJSON: an object a line, with the fields that docker compose has.
func TestPsJSON(t *testing.T) {
	newFaked(t, apps(nil), map[string]string{"main.ww": oneImage})
	if code, _, err := ww("compose", "up", "-d", "--quiet"); code != exitOK || err != "" {
		t.Fatalf("exit code %d, %q", code, err)
	}
	_, out, _ := ww("compose", "ps", "--format", "json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var first map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(lines) != 2 || first["Name"] != "p-a-1" || first["Health"] != "healthy" ||
		first["Kind"] != "container" {
		t.Errorf("%v: %s", err, out)
	}
}

func consoles(n int) string {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "c%d = output console {}\n", i)
	}
	return b.String()
}

// counts gives how many calls of each operation there are, as text.
func counts(calls []enginetest.Call) string {
	n := map[string]int{}
	for _, c := range calls {
		n[c.Op]++
	}
	var all []string
	for op, k := range n {
		all = append(all, fmt.Sprint(op, " ", k))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// TestCallsOfUp holds how often the engine is called: for each container to
// create it and to start it; and besides, whatever their number, four to look at
// the project, four again once the image is built, one each for the build, the
// network, the volume and the events, and a few for all addresses. A second up
// only looks.
func TestCallsOfUp(t *testing.T) {
	for _, n := range []int{10, 50} {
		f := newFaked(t, apps(nil), map[string]string{"main.ww": consoles(n)})
		if code, _, err := ww("compose", "up", "-d", "--quiet"); code != exitOK {
			t.Fatalf("exit code %d: %s", code, err)
		}
		first := f.Calls()
		t.Logf("up of %d components and their bus: %d calls: %s", n, len(first), counts(first))
		// A component that takes its time is asked by a command; here that is
		// the machine's fault.
		asked := 0
		for _, c := range first {
			if strings.HasPrefix(c.Op, "exec.") {
				asked++
			}
		}
		if most := 2*(n+1) + 12 + 4; len(first)-asked > most {
			t.Errorf("%d components: %d calls, at most %d: %s", n, len(first), most, counts(first))
		}
		code, out, err := ww("compose", "up", "-d")
		if code != exitOK || out != "" || !strings.Contains(err, "nothing to do") {
			t.Errorf("the second time: exit code %d, %s", code, err)
		}
		// An inspection that the first one had given up may come in late.
		again, late := f.Calls()[len(first):], 0
		for _, c := range again {
			if c.Op == "container.inspect" {
				late++
			}
		}
		if len(again)-late > 5 || late >= n/2 {
			t.Errorf("%d components: %d calls the second time: %s", n, len(again), counts(again))
		}
		if code, _, err := ww("compose", "down", "-v", "--quiet"); code != exitOK || f.left() != "" {
			t.Errorf("down: exit code %d, %s, left: %s", code, err, f.left())
		}
	}
}

// TestLogsOfLongLines: what is printed for people and scripts is whole lines.
func TestLogsOfLongLines(t *testing.T) {
	long := strings.Repeat("0123456789", 4000)
	newFaked(t, apps(map[string]enginetest.Behaviour{"a": {Output: []enginetest.Line{{Text: long}, {Text: "end\r"}}}}), map[string]string{"main.ww": oneImage})
	if code, _, err := ww("compose", "up", "-d", "--quiet"); code != exitOK {
		t.Fatal(err)
	}
	if code, out, err := ww("compose", "logs", "--no-log-prefix"); code != exitOK || out != long+"\nend\n" {
		t.Errorf("exit code %d, %d bytes, %.100q, %s", code, len(out), out, err)
	}
}
