package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus/bustest"
)

// load sends so many messages at the same time, and checks that each is answered
// with its own answer.
func load(t *testing.T, port string, n int) {
	t.Helper()
	client := &http.Client{Timeout: 2 * time.Minute}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			res, err := client.Post("http://127.0.0.1:"+port+"/", "application/json", strings.NewReader(fmt.Sprintf(`{"value": "message %d."}`, i)))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if want := fmt.Sprintf(`"MESSAGE %d."`, i); err != nil || !strings.Contains(string(body), want) {
				t.Errorf("message %d: %v, %s", i, err, body)
			}
		})
	}
	wg.Wait()
}

// TestExampleAutoscale: the example in one process has more instances while there
// is much to do, and fewer when that is over.
func TestExampleAutoscale(t *testing.T) {
	src, err := os.ReadFile("../../examples/autoscale/main.ww")
	if err != nil {
		t.Fatal(err)
	}
	port := bustest.FreePort()
	dir := t.TempDir()
	text := strings.NewReplacer("8080", port, "10s", "1s", "5s", "500ms").Replace(string(src))
	if err := os.WriteFile(filepath.Join(dir, "main.ww"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(binary, "up", "--scale-interval", "100ms")
	c.Dir = dir
	out := watch("Ctrl-C takes it down")
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill() }()
	out.wait(t, "it isn't up", out.seen)
	load(t, port, 40)
	out.wait(t, "there are no more instances", out.expect("messages wait, 5 per instance are wanted"))
	out.wait(t, "there are no fewer instances", out.expect("is needed"))
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if n := strings.Count(out.String(), "MESSAGE "); n != 40 {
		t.Errorf("%d of 40 messages came out", n)
	}
}

// TestAutoscale: containers follow the load both ways, without the file, and an up
// in between leaves them. Nothing is lost, and each message is handled once.
func TestAutoscale(t *testing.T) {
	s := example(t, "autoscale", otherPort)
	src, err := os.ReadFile(filepath.Join(s.dir, "main.ww"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("main.ww", strings.NewReplacer("10s", "3s", "5s", "2s").Replace(string(src)))
	s.ww("compose", "up", "-d")
	scaling := exec.Command(binary, "compose", "-p", s.name, "--progress", "json", "autoscale", "--interval", "500ms")
	scaling.Dir = t.TempDir() // there is no file
	out := watch(`"text":"scaling work of`)
	scaling.Stdout, scaling.Stderr = out, out
	if err := scaling.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = scaling.Process.Kill() }()
	out.wait(t, "it doesn't scale", out.seen)
	work := func() int {
		return len(strings.Fields(docker(t, "ps", "-q", "--filter", "label=com.docker.compose.project="+s.name, "--filter", "label=com.docker.compose.service=work")))
	}
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		load(t, s.port(), 80)
	}()
	out.wait(t, "there are no more containers", out.expect("messages wait, 5 per instance are wanted"))
	bustest.Until(t, "there are several", func() bool { return work() > 1 })
	s.ww("compose", "up", "-d")
	if n := work(); n < 2 {
		t.Errorf("up has left %d containers", n)
	}
	<-loaded
	out.wait(t, "there are no fewer containers", out.expect("is needed"))
	bustest.Until(t, "there is one", func() bool { return work() == 1 })
	if err := scaling.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := scaling.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), `"op":"scale"`) || !strings.Contains(out.String(), `"name":"work 1 → `) {
		t.Errorf("the decisions aren't told:\n%s", out.String())
	}
	logs := s.ww("compose", "logs", "out")
	for i := range 80 {
		if n := strings.Count(logs, fmt.Sprintf("MESSAGE %d.", i)); n != 1 {
			t.Errorf("message %d came out %d times", i, n)
		}
	}
	s.ww("compose", "down", "-v")
	if left := leftovers(t, s.name); left != "" {
		t.Errorf("left: %s", left)
	}
}
