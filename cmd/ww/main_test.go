package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"woodwork.dev/ww/runtime/bus/bustest"
)

var update = flag.Bool("update", false, "rewrite the golden parts of scripts")

// binary is ww as users have it, for tests that run or kill it; inImages is the
// one for images, the same on Linux. They are built once.
var binary, inImages string

// cleaning removes a folder when the tests are done: Main doesn't return.
type cleaning struct {
	testscript.TestingM
	dir string
}

func (c cleaning) Run() int {
	defer os.RemoveAll(c.dir)
	code := c.TestingM.Run()
	// The image that the components of all tests have shared.
	removeImages(func(_, project string) bool { return strings.HasPrefix(project, "wwtest-") })
	return code
}

func TestMain(m *testing.M) {
	var tests testscript.TestingM = m
	if filepath.Base(os.Args[0]) != "ww" { // not as the command of a script
		dir, err := os.MkdirTemp("", "ww-test-binary-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		tests = cleaning{m, dir}
		binary = build(filepath.Join(dir, "ww"), runtime.GOOS)
		inImages = binary
		if runtime.GOOS != "linux" {
			inImages = build(filepath.Join(dir, "ww-linux-"+runtime.GOARCH), "linux")
		}
	}
	testscript.Main(tests, map[string]func(){
		"ww": func() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) },
	})
}

func build(name, goos string) string {
	c := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", name, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOFLAGS=-buildvcs=false")
	if out, err := c.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build ww: %v\n%s", err, out)
		os.Exit(1)
	}
	return name
}

// TestScripts runs what needs no engine: DOCKER_HOST leads nowhere.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			common(env)
			if !inProcess[scriptName(env)] {
				asUsersHaveIt(env)
			}
			env.Setenv("DOCKER_HOST", "unix://"+filepath.Join(env.WorkDir, "no.sock"))
			env.Setenv("PORT", bustest.FreePort())
			env.Setenv("PORT2", bustest.FreePort())
			env.Setenv("PORT3", bustest.FreePort())
			env.Setenv("EXAMPLES", abs("../../examples"))
			return nil
		},
		Cmds: commands,
	})
}

// TestEngine runs what needs the engine, and fails where there is none.
func TestEngine(t *testing.T) {
	needEngine(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/engine",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			common(env)
			asUsersHaveIt(env)
			project := "wwtest-" + scriptName(env)
			env.Setenv("COMPOSE_PROJECT_NAME", project)
			env.Setenv("PORT", bustest.FreePort())
			env.Setenv("PORT2", bustest.FreePort())
			env.Setenv("WW", binary)
			env.Setenv("EXAMPLES", abs("../../examples"))
			env.Defer(func() { removeProject(project) })
			return nil
		},
		Cmds: commands,
	})
}

// inProcess are the scripts that run systems in a ww process: there it is the
// binary of the tests, which looks for data races where they are looked for.
var inProcess = map[string]bool{"bus": true, "isolation": true, "local": true, "mixed": true, "parts": true, "scale": true, "up": true}

// asUsersHaveIt has a script run ww as users have it: it starts ten times as
// fast as the binary of the tests, and what it does besides is tested here as well.
func asUsersHaveIt(env *testscript.Env) {
	env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
}

func scriptName(env *testscript.Env) string {
	return strings.TrimPrefix(strings.ToLower(filepath.Base(env.WorkDir)), "script-")
}

func common(env *testscript.Env) {
	env.Setenv("WW_COMPONENT_BINARY", inImages)
	env.Setenv("NO_COLOR", "1")
	env.Setenv("HOME", env.WorkDir)
}

func abs(path string) string {
	p, err := filepath.Abs(path)
	if err != nil {
		panic(err)
	}
	return p
}

// needEngine fails a test where no engine answers, unless WW_TEST_ENGINE=off.
func needEngine(t testing.TB) {
	t.Helper()
	if os.Getenv("WW_TEST_ENGINE") == "off" {
		t.Skip("WW_TEST_ENGINE=off")
	}
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		t.Fatalf("this test needs a Docker Engine (WW_TEST_ENGINE=off leaves such tests out): %v\n%s", err, out)
	}
	for _, image := range []string{"redis:alpine", "busybox:stable"} {
		if err := exec.Command("docker", "image", "inspect", image).Run(); err != nil {
			t.Fatalf("this test needs the image %s: `make images` brings it", image)
		}
	}
}

// removeProject removes whatever a test has left, by the exact label.
func removeProject(name string) {
	label := "label=com.docker.compose.project=" + name
	for _, c := range [][2]string{{"ps -aq", "rm -f"}, {"network ls -q", "network rm"}, {"volume ls -q", "volume rm -f"}} {
		list := append(strings.Fields(c[0]), "--filter", label)
		out, err := exec.Command("docker", list...).Output()
		if err != nil {
			continue
		}
		for _, id := range strings.Fields(string(out)) {
			_ = exec.Command("docker", append(strings.Fields(c[1]), id)...).Run() // it may be gone
		}
	}
	removeImages(func(image, _ string) bool { return strings.HasPrefix(image, name+"-") })
}

// removeImages removes those of the images that compose files had built which
// are told by their name and the project that built them.
func removeImages(which func(image, project string) bool) {
	const label = "com.docker.compose.project"
	out, err := exec.Command("docker", "image", "ls", "--filter", "label="+label, "--format", "{{.Repository}}:{{.Tag}}").Output()
	if err != nil {
		return // no engine, no images
	}
	for _, image := range strings.Fields(string(out)) {
		project, err := exec.Command("docker", "image", "inspect", "--format", `{{index .Config.Labels "`+label+`"}}`, image).Output()
		if err == nil && which(image, strings.TrimSpace(string(project))) {
			_ = exec.Command("docker", "image", "rm", "-f", image).Run() // another test may have been faster
		}
	}
}

// leftovers lists what there is of a project.
func leftovers(t testing.TB, name string) string {
	t.Helper()
	all, err := remaining(name, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// remaining lists what there is of a project, but for networks that the engine
// can't remove: those are logged.
func remaining(name string, logf func(format string, args ...any)) (string, error) {
	label := "label=com.docker.compose.project=" + name
	var all []string
	for _, list := range []string{"ps -aq", "network ls -q", "volume ls -q"} {
		out, err := exec.Command("docker", append(strings.Fields(list), "--filter", label)...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("docker %s: %w\n%s", list, err, out)
		}
		for _, id := range strings.Fields(string(out)) {
			if strings.HasPrefix(list, "network") && keptByEngine(id) {
				logf("a defect of the engine keeps the network %s", id)
				continue
			}
			all = append(all, id)
		}
	}
	return strings.Join(all, " "), nil
}

// keptByEngine reports whether an engine doesn't remove a network, for endpoints
// that no container has.
func keptByEngine(network string) bool {
	has, err := exec.Command("docker", "network", "inspect", "--format", "{{len .Containers}}", network).Output()
	if err != nil || strings.TrimSpace(string(has)) != "0" {
		return false
	}
	out, err := exec.Command("docker", "network", "rm", network).CombinedOutput()
	return err != nil && strings.Contains(string(out), "active endpoints")
}

// commands are what scripts can do besides running programs.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	// post URL BODY [HEADER: VALUE…] prints the answer to standard output.
	"post": func(ts *testscript.TestScript, neg bool, args []string) {
		req, err := http.NewRequest(http.MethodPost, args[0], strings.NewReader(args[1]))
		ts.Check(err)
		for _, h := range args[2:] {
			k, v, _ := strings.Cut(h, ": ")
			req.Header.Set(k, v)
		}
		client := &http.Client{Timeout: time.Minute}
		res, err := client.Do(req)
		ts.Check(err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		ts.Check(err)
		if (res.StatusCode >= 400) != neg {
			ts.Fatalf("status %s\n%s", res.Status, body)
		}
		fmt.Fprintf(ts.Stdout(), "%s\n", body)
	},
	// get URL prints the answer to standard output.
	"get": func(ts *testscript.TestScript, neg bool, args []string) {
		client := &http.Client{Timeout: time.Minute}
		res, err := client.Get(args[0])
		ts.Check(err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		ts.Check(err)
		if (res.StatusCode >= 400) != neg {
			ts.Fatalf("status %s\n%s", res.Status, body)
		}
		fmt.Fprintf(ts.Stdout(), "%s\n", body)
	},
	// reach URL waits until it answers with 200.
	"reach": func(ts *testscript.TestScript, neg bool, args []string) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(time.Minute); ; <-tick.C {
			res, err := http.Get(args[0])
			if err == nil {
				_ = res.Body.Close()
				if res.StatusCode == http.StatusOK {
					return
				}
			}
			if time.Now().After(end) {
				ts.Fatalf("%s doesn't answer with 200: %v", args[0], err)
			}
		}
	},
	// exits CODE COMMAND… checks the exit code of a program.
	"exits": func(ts *testscript.TestScript, neg bool, args []string) {
		err := ts.Exec(args[1], args[2:]...)
		code := 0
		if e, ok := err.(*exec.ExitError); ok {
			code = e.ExitCode()
		} else if err != nil {
			ts.Fatalf("%v", err)
		}
		if fmt.Sprint(code) != args[0] {
			ts.Fatalf("exit code %d, want %s", code, args[0])
		}
	},
	// registry sets $REGISTRY to the address of one.
	"registry": startRegistry,
	// gone checks that there is nothing of the script's project.
	"gone": func(ts *testscript.TestScript, neg bool, args []string) {
		left, err := remaining(ts.Getenv("COMPOSE_PROJECT_NAME"), ts.Logf)
		ts.Check(err)
		if left != "" {
			ts.Fatalf("left: %s", left)
		}
	},
	// down [FLAG…] is `ww compose down`, which has to do all that the engine can.
	"down": func(ts *testscript.TestScript, neg bool, args []string) {
		err := ts.Exec("ww", append([]string{"compose", "down"}, args...)...)
		if err != nil && strings.Contains(ts.ReadFile("stderr"), keptNetwork) {
			ts.Logf("a defect of the engine keeps a network")
			return
		}
		ts.Check(err)
	},
	// occupy opens $PORT until the script ends.
	"occupy": func(ts *testscript.TestScript, neg bool, args []string) {
		l, err := net.Listen("tcp", "127.0.0.1:"+ts.Getenv("PORT"))
		ts.Check(err)
		ts.Defer(func() { l.Close() })
	},
	// bytes FILE HEX… writes a file of raw bytes.
	"bytes": func(ts *testscript.TestScript, neg bool, args []string) {
		var b []byte
		for _, h := range args[1:] {
			var n byte
			_, err := fmt.Sscanf(h, "%02x", &n)
			ts.Check(err)
			b = append(b, n)
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
	},
}
