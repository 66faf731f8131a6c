package inproc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	cexec "woodwork.dev/ww/runtime/component/exec"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/runtime/host/isolated"
	"woodwork.dev/ww/runtime/process"
)

// TestMain lets the test binary be a handler's process, and the guard.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "isolated":
			if isolated.Serve(context.Background(), os.Stdin, os.Stdout, map[string]component.Builder{"core mortal": mortal}) != nil {
				os.Exit(1)
			}
			return
		case "guard":
			process.Guard(os.Stdin)
			return
		}
	}
	os.Exit(m.Run())
}

// mortal builds a component that ends its process when it is told to.
func mortal(context.Context, component.Env) (*component.Instance, error) {
	return &component.Instance{Handle: func(_ context.Context, m bus.Message, _ component.Out) (json.RawMessage, error) {
		switch component.Text(m.Payload) {
		case "die":
			os.Exit(3)
		case "burn":
			for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
			}
		}
		return component.JSONString(fmt.Sprint(component.Text(m.Payload), " by ", os.Getpid())), nil
	}}, nil
}

func itself(word string) func() *exec.Cmd {
	return func() *exec.Cmd { return exec.Command("/proc/self/exe", word) }
}

// isolate makes a's handler run in a process of its own, b a program, and gives
// both no retries.
func (w *world) isolate() {
	w.opts.Isolate, w.opts.Guard = itself("isolated"), itself("guard")
	w.opts.Builders["core mortal"] = func(context.Context, component.Env) (*component.Instance, error) {
		return nil, errors.New("it isn't isolated")
	}
	w.opts.Builders["core exec"] = cexec.Build
	w.opts.Components = []inproc.Component{
		{Config: component.Config{Name: "b", Kind: "core", Type: "exec", Settings: json.RawMessage(`{"command":["cat"],"mode":"message"}`)}, Programs: true, Deployment: "edge"},
		{Config: component.Config{Name: "a", Kind: "core", Type: "mortal", Settings: json.RawMessage(`{"max_retries":0}`)}, Isolated: true, Deployment: "edge"},
		{Config: component.Config{Name: "c", Kind: "core", Type: "test"}, Deployment: "edge"},
	}
	w.opts.Servers[0].Components = []string{"a", "b", "c"}
}

// TestIsolated: a component's process that dies fails its message, and no other
// component; what its processes take is told.
func TestIsolated(t *testing.T) {
	w := newWorld(t)
	w.isolate()
	s := w.start()
	defer w.stop(s)
	url := "http://" + s.Addresses()["edge"]
	status, body := call(t, "POST", url+"/a/input", `{"value":"burn"}`)
	own := fmt.Sprint("by ", os.Getpid())
	if status != 200 || !strings.Contains(body, "burn by ") || strings.Contains(body, own) {
		t.Errorf("%d %s", status, body)
	}
	if status, body = call(t, "POST", url+"/a/input", `{"value":"die"}`); status != 502 || !strings.Contains(body, "process ended: exit status 3") {
		t.Errorf("%d %s", status, body)
	}
	for name, want := range map[string]string{"a": "x by ", "b": `"value":"x"`, "c": "x c"} {
		if status, body := call(t, "POST", url+"/"+name+"/input", `{"value":"x"}`); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s, afterwards: %d %s", name, status, body)
		}
	}
	_, body = call(t, "GET", url+"/components", "")
	var list []struct {
		Name   string
		CPU    *float64
		Memory *int64 `json:"memory_bytes"`
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != 3 {
		t.Fatalf("%s: %v", body, err)
	}
	if a := list[0]; a.CPU == nil || *a.CPU < 0.01 || a.Memory == nil || *a.Memory < 1<<20 {
		t.Errorf("a takes nothing: %s", body)
	}
	if list[1].CPU == nil || list[2].CPU != nil || list[2].Memory != nil {
		t.Errorf("b has processes, c has none: %s", body)
	}
	_, body = call(t, "GET", url+"/metrics", "")
	for _, want := range []string{`ww_process_cpu_seconds_total\{component="a",kind="core",type="mortal"\} 0\.\d`, `ww_process_resident_memory_bytes\{component="a",kind="core",type="mortal"\} \d\.\d+e\+`} {
		if !regexp.MustCompile(want).MatchString(body) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	if strings.Contains(body, `ww_process_cpu_seconds_total{component="c"`) {
		t.Error("the metrics tell of c, which can't be told apart")
	}
}

// TestIsolatedLeavesNothing: no process, descriptor or goroutine is left, however
// often.
func TestIsolatedLeavesNothing(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		u, _ := process.Own()
		return len(d) + u.Processes
	}
	var before, goroutines int
	for i := range 4 {
		w := newWorld(t)
		w.isolate()
		w.opts.Components[0].Config.Settings = json.RawMessage(`{"command":["sh","-c","sleep 1000 & cat"],"mode":"lines"}`)
		w.stop(w.start())
		if i == 0 {
			before, goroutines = count(), runtime.NumGoroutine()
		}
	}
	for end := time.Now().Add(5 * time.Second); count() > before || runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d descriptors and processes and then %d, %d goroutines and then %d", before, count(), goroutines, runtime.NumGoroutine())
		}
	}
}

// TestBenchStartIsolated: a component in a process of its own costs less than 30 ms
// to start, several at the same time.
func TestBenchStartIsolated(t *testing.T) {
	needBench(t)
	for _, n := range []int{1, 10, 30} {
		var took []time.Duration
		for range 5 {
			w := newWorld(t)
			w.isolate()
			w.opts.Components, w.opts.Servers = nil, nil
			for i := range n {
				w.opts.Components = append(w.opts.Components, inproc.Component{
					Config: component.Config{Name: fmt.Sprint("c", i), Kind: "core", Type: "mortal"}, Isolated: true})
			}
			if path := os.Getenv("WW_BENCH_BINARY"); path != "" { // what people run is larger than this test
				w.opts.Isolate = func() *exec.Cmd { return exec.Command(path, "isolated-component") }
				w.opts.Guard = func() *exec.Cmd { return exec.Command(path, "guard") }
				for i := range w.opts.Components {
					w.opts.Components[i].Config.Type = "template"
					w.opts.Components[i].Config.Settings = json.RawMessage(`{"template":"x"}`)
				}
			}
			begin := time.Now()
			s := w.start()
			took = append(took, time.Since(begin))
			w.stop(s)
		}
		slices.Sort(took)
		each := took[2] / time.Duration(n)
		t.Logf("%d isolated components: ready after %s, %s each (limit 30 ms)", n, took[2].Round(time.Microsecond), each)
		if each > 30*time.Millisecond {
			t.Errorf("%d isolated components: %s each", n, each)
		}
	}
}
