package dockerx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

const testImage = "wwtest-dockerx:latest"

// buildTestImage builds the image of the tests once, with what is tested.
var buildTestImage = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "wwtest")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "app"), "./testdata/app")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	e, err := Open(context.Background(), Options{})
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	_, err = e.Build(context.Background(), deploy.BuildSpec{Service: "app", Image: testImage, Build: &types.BuildConfig{
		Context: dir, DockerfileInline: "FROM scratch\nCOPY app /app\nENTRYPOINT [\"/app\"]\n",
	}}, nil)
	return err
})

// harness is an engine with a project of its own.
type harness struct {
	*Engine
	ctx     context.Context
	t       *testing.T
	fake    *enginetest.Engine // nil: a real engine
	project *types.Project
}

// eachEngine runs a test against fakes of several API versions and against the
// real engine.
func eachEngine(t *testing.T, f func(t *testing.T, h *harness)) {
	for _, api := range []string{"1.41", "1.44", "1.51"} {
		t.Run("fake "+api, func(t *testing.T) {
			t.Parallel()
			f(t, newFake(t, enginetest.Options{APIVersion: api, Images: []string{testImage}}))
		})
	}
	t.Run("real", func(t *testing.T) {
		if os.Getenv("WW_TEST_ENGINE") == "off" {
			t.Skip("WW_TEST_ENGINE=off: not run against a real engine")
		}
		if err := buildTestImage(); err != nil {
			t.Fatalf("the tests need a Docker Engine (WW_TEST_ENGINE=off leaves them out): %v", err)
		}
		f(t, newHarness(t, nil, Options{}))
	})
}

func newFake(t *testing.T, o enginetest.Options) *harness {
	t.Helper()
	if o.Exec == nil {
		o.Exec = fakeExec
	}
	fake := enginetest.Start(t, o)
	return newHarness(t, fake, Options{Host: fake.Host(), ConfigDir: t.TempDir()})
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

func newHarness(t *testing.T, fake *enginetest.Engine, o Options) *harness {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	e, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("wwtest-%s-%d", notInNames.ReplaceAllString(strings.ToLower(t.Name()), ""), os.Getpid())
	h := &harness{Engine: e, ctx: ctx, t: t, fake: fake, project: &types.Project{
		Name: name, WorkingDir: t.TempDir(), Services: types.Services{},
		Networks: types.Networks{"default": {Name: name + "_default"}}, Volumes: types.Volumes{},
	}}
	t.Cleanup(func() {
		cancel()
		if fake == nil {
			h.removeAll()
		}
		_ = e.Close()
	})
	return h
}

// removeAll removes what carries the project's label, and nothing else.
func (h *harness) removeAll() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o, err := h.Observe(ctx, h.project.Name, nil)
	errs := []error{err}
	for _, c := range o.Containers {
		errs = append(errs, h.Remove(ctx, c.ID, true))
	}
	for _, n := range o.Networks {
		errs = append(errs, h.RemoveNetwork(ctx, n.ID))
	}
	for _, v := range o.Volumes {
		errs = append(errs, h.RemoveVolume(ctx, v.Name))
	}
	if err := errors.Join(errs...); err != nil {
		h.t.Errorf("clean up: %v", err)
	}
}

// service declares a service that runs the tests' program.
func (h *harness) service(name string, cmd ...string) types.ServiceConfig {
	s := types.ServiceConfig{Name: name, Image: testImage, Command: cmd, NetworkMode: "none"}
	h.project.Services[name] = s
	if h.fake != nil {
		h.fake.SetBehaviour(name, behaviourOf(cmd))
	}
	return s
}

// behaviourOf is what the tests' program would do.
func behaviourOf(cmd []string) enginetest.Behaviour {
	ready := []enginetest.Line{{Text: "ready"}}
	switch cmd[0] {
	case "stubborn":
		return enginetest.Behaviour{Output: ready, IgnoresStop: true}
	case "say":
		return enginetest.Behaviour{Exits: true, Output: []enginetest.Line{{Text: cmd[1]}, {Text: cmd[2], Stderr: true}}}
	case "exit":
		n, _ := strconv.Atoi(cmd[1])
		return enginetest.Behaviour{Exits: true, ExitCode: n}
	case "cat":
		return enginetest.Behaviour{Echo: true}
	}
	return enginetest.Behaviour{Output: ready}
}

func fakeExec(x enginetest.Exec) int {
	switch x.Cmd[1] {
	case "say":
		_, _ = fmt.Fprintln(x.Stdout, x.Cmd[2])
		_, _ = fmt.Fprintln(x.Stderr, x.Cmd[3])
	case "exit":
		n, _ := strconv.Atoi(x.Cmd[2])
		return n
	case "cat":
		_, _ = io.Copy(x.Stdout, x.Stdin)
	case "peek":
		_, _ = io.CopyN(x.Stdout, x.Stdin, 1)
		return 3
	}
	return 0
}

func (h *harness) spec(s types.ServiceConfig, number int) deploy.ContainerSpec {
	return deploy.ContainerSpec{
		Service: s, Number: number, Name: fmt.Sprintf("%s-%s-%d", h.project.Name, s.Name, number),
		Labels: map[string]string{
			labelProject: h.project.Name, labelService: s.Name, labelNumber: strconv.Itoa(number),
			labelOneOff: "False", labelConfigHash: "hash-of-" + s.Name, labelDependsOn: "bus:service_healthy:true",
		},
	}
}

func (h *harness) create(s types.ServiceConfig) string {
	h.t.Helper()
	id, err := h.Create(h.ctx, h.project, h.spec(s, 1))
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *harness) started(s types.ServiceConfig) string {
	h.t.Helper()
	id := h.create(s)
	if err := h.Start(h.ctx, id); err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *harness) observe() plan.Observed {
	h.t.Helper()
	o, err := h.Observe(h.ctx, h.project.Name, h.project)
	if err != nil {
		h.t.Fatal(err)
	}
	return o
}

// only returns the only container of the project.
func (h *harness) only() plan.Container {
	h.t.Helper()
	o := h.observe()
	if len(o.Containers) != 1 {
		h.t.Fatalf("%d containers, want 1: %+v", len(o.Containers), o.Containers)
	}
	return o.Containers[0]
}

// awaitLine reads a container's log until it has a line.
func (h *harness) awaitLine(id, line string) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	seen := &lineWatcher{line: line, found: cancel}
	err := h.Logs(ctx, id, deploy.LogOptions{Follow: true}, seen, nil)
	if !strings.Contains(seen.text.String(), line) {
		h.t.Fatalf("container %s: no line %q: %v", id, line, err)
	}
}

type lineWatcher struct {
	text  strings.Builder
	line  string
	found func()
}

func (w *lineWatcher) Write(p []byte) (int, error) {
	w.text.Write(p)
	if strings.Contains(w.text.String(), w.line) {
		w.found()
	}
	return len(p), nil
}

// await returns the next event of an action.
func await(t *testing.T, events <-chan deploy.Event, action deploy.Action) deploy.Event {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				t.Fatalf("the events ended before %s", action)
			}
			if ev.Action == action {
				return ev
			}
		case <-deadline:
			t.Fatalf("no event %s within 30 s", action)
		}
	}
}

// wantKind fails the test unless err is of a kind, with a remedy.
func wantKind(t *testing.T, err error, kind deploy.ErrorKind) *deploy.EngineError {
	t.Helper()
	var e *deploy.EngineError
	if !errors.As(err, &e) {
		t.Fatalf("error %v is no EngineError, want %s", err, kind)
	}
	if e.Kind != kind || e.Remedy == "" || e.What == "" {
		t.Fatalf("error %v: kind %q, what %q, remedy %q; want kind %q with a remedy", err, e.Kind, e.What, e.Remedy, kind)
	}
	return e
}
