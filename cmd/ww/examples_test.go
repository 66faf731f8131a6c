package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// example makes a system of an example as it is, with a file that says what a
// test has to have otherwise.
func example(t *testing.T, name, override string) *system {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("../../examples", name, "main.ww"))
	if err != nil {
		t.Fatal(err)
	}
	s := newSystem(t, "example-"+name, map[string]string{"main.ww": string(src), "override.yml": override})
	s.env = append(s.env, "COMPOSE_FILE=main.ww:override.yml")
	return s
}

const otherPort = `
services:
  in:
    ports: !override ["127.0.0.1:${PORT}:8080"]
`

func (s *system) port() string {
	for _, e := range s.env {
		if p, ok := strings.CutPrefix(e, "PORT="); ok {
			return p
		}
	}
	return ""
}

func TestExampleQuickstart(t *testing.T) {
	t.Parallel()
	s := example(t, "quickstart", otherPort)
	s.ww("compose", "up", "-d")
	client := &http.Client{Timeout: time.Minute}
	res, err := client.Post("http://127.0.0.1:"+s.port()+"/", "application/json", strings.NewReader(`{"value": "world"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(body), `"value":"Hello, world!"`) {
		t.Errorf("%v, %s", err, body)
	}
	if logs := s.ww("compose", "logs", "out"); !strings.Contains(logs, "Hello, world!") {
		t.Errorf("the console shows nothing: %s", logs)
	}
	s.ww("compose", "down", "-v")
	if left := leftovers(t, s.name); left != "" {
		t.Errorf("left: %s", left)
	}
}

// TestExampleChat runs the chat example against a real HTTP server that speaks
// OpenAI's protocol, in a container of the same project.
func TestExampleChat(t *testing.T) {
	t.Parallel()
	s := example(t, "chat", `
services:
  openai:
    build: ./openai
    environment: {ACCEPT_KEY: sk-right}
`)
	server := filepath.Join(s.dir, "openai")
	if err := os.Mkdir(server, 0o755); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(server, "server"), "./testdata/openai")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(server, "Dockerfile"), []byte("FROM scratch\nCOPY server /server\nENTRYPOINT [\"/server\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out := s.exit("compose", "up", "-d"); code != exitConfig || !strings.Contains(out, "$OPENAI_API_KEY, and it isn't set") {
		t.Errorf("without a key: exit code %d\n%s", code, out)
	}
	s.env = append(s.env, "OPENAI_API_KEY=sk-right", "OPENAI_BASE_URL=http://openai/v1")
	s.ww("compose", "up", "-d")
	if got := s.ww("send", "model", "how are you"); got != "HOW ARE YOU\n" {
		t.Errorf("send: %q", got)
	}
	if got := s.ww("send", "--json", "model", `"one two"`); !strings.Contains(got, `"chunk":"ONE "`) || !strings.Contains(got, `"answer":"ONE TWO"`) {
		t.Errorf("the answer doesn't stream: %q", got)
	}
	chat := s.command("chat")
	chat.Stdin = strings.NewReader("hello\nand again\n")
	if out, err := chat.CombinedOutput(); err != nil || string(out) != "HELLO\nAND AGAIN\n" {
		t.Errorf("chat: %v, %q", err, out)
	}
	t.Run("attach", func(t *testing.T) { attach(t, s) })

	// A wrong key is said at once, to whoever asked.
	s.env = append(s.env, "OPENAI_API_KEY=sk-wrong")
	s.ww("compose", "up", "-d", "--force-recreate", "model")
	code, out := s.exit("send", "model", "hi")
	if code != exitComponent || !strings.Contains(out, "401") || strings.Contains(out, "sk-wrong") {
		t.Errorf("a wrong key: exit code %d, %s", code, out)
	}
	s.ww("compose", "down", "-v")
	docker(t, "image", "rm", "-f", s.name+"-openai")
	if left := leftovers(t, s.name); left != "" {
		t.Errorf("left: %s", left)
	}
}

// attach talks to the command line input through its container's terminal.
func attach(t *testing.T, s *system) {
	c := s.command("compose", "attach", "in")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := watch("OVER THERE")
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	seen := out.seen
	if _, err := io.WriteString(in, "over there\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-seen:
	case <-time.After(30 * time.Second):
		t.Errorf("no answer: %q", out.String())
	}
	in.Close()
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("attach: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("attach doesn't end with its input")
		_ = c.Process.Kill()
	}
	if !strings.Contains(s.ww("compose", "ps"), "in-1") {
		t.Error("the component ended with the terminal")
	}
}
