package commandline_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/commandline"
	"woodwork.dev/ww/runtime/component/componenttest"
)

// screen is a Stdout that tells when it shows a text.
type screen struct {
	mu      sync.Mutex
	text    string
	changed chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text += string(p)
	close(s.changed)
	s.changed = make(chan struct{})
	return len(p), nil
}

func (s *screen) waitFor(t *testing.T, want string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		text, changed := s.text, s.changed
		s.mu.Unlock()
		if strings.HasSuffix(text, want) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("it shows %q, want %q at the end", text, want)
		}
	}
}

// run starts a command line and returns its screen; the returned function
// stops it and checks that it ends without an error.
func run(t *testing.T, settings string, stdin io.Reader, work func(context.Context, bus.Message, func(bus.Message))) (*screen, func()) {
	t.Helper()
	env, _ := componenttest.Env(t, "input", "command_line", settings)
	componenttest.Worker(t, &env, work)
	out := &screen{changed: make(chan struct{})}
	env.Stdin, env.Stdout = stdin, out
	in, err := commandline.Build(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	return out, sync.OnceFunc(func() {
		select {
		case err := <-done:
			t.Errorf("it ended before it was stopped: %v", err)
		default:
		}
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("it doesn't stop")
		}
	})
}

func TestChat(t *testing.T) {
	var mu sync.Mutex
	sessions := map[string]bool{}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, stop := run(t, `{"timeout":"20s"}`, r, func(_ context.Context, m bus.Message, reply func(bus.Message)) {
		mu.Lock()
		sessions[m.SessionID] = true
		mu.Unlock()
		switch string(m.Payload) {
		case `"stream"`:
			reply(bus.Message{ID: m.ID + "0", StreamID: m.ID, Payload: json.RawMessage(`"one "`)})
			reply(bus.Message{ID: m.ID + "1", StreamID: m.ID, ChunkIndex: 1, Payload: json.RawMessage(`"two"`)})
			reply(bus.Message{StreamID: m.ID, IsFinal: true, Payload: json.RawMessage(`"one two three"`)})
		case `"fail"`:
			reply(bus.Message{Payload: json.RawMessage(`null`), Error: "out of order"})
		default:
			reply(bus.Message{Payload: m.Payload})
		}
	})
	for _, tt := range []struct{ line, want string }{
		{"hello\n", "hello\n"},
		{"\n  \nstream\r\n", "hello\none two three\n"},
		{"fail\n", "error: out of order\n"},
		{"\x1b[2J\n", `\u001b[2J` + "\n"},
		{strings.Repeat("x", 2<<20) + "\nafter\n", "after\n"},
		{strings.Repeat("y", 100_000) + "\n", strings.Repeat("y", 100_000) + "\n"},
	} {
		if _, err := io.WriteString(w, tt.line); err != nil {
			t.Fatal(err)
		}
		out.waitFor(t, tt.want)
	}
	stop() // while a read is waiting
	if len(sessions) != 1 {
		t.Errorf("%d sessions, want one", len(sessions))
	}
	_, _ = w.Close(), r.Close()
}

func echo(_ context.Context, m bus.Message, reply func(bus.Message)) {
	reply(bus.Message{Payload: m.Payload})
}

func TestStaysWithoutInput(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	for name, stdin := range map[string]io.Reader{"none": nil, "null device": null, "no line break": strings.NewReader("last")} {
		t.Run(name, func(t *testing.T) {
			out, stop := run(t, ``, stdin, echo)
			if name == "no line break" {
				out.waitFor(t, "last\n")
			}
			stop()
			if strings.Contains(out.text, ">") {
				t.Errorf("a prompt without a person: %q", out.text)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	out, stop := run(t, `{"timeout":"20ms"}`, strings.NewReader("x\n"), func(ctx context.Context, _ bus.Message, _ func(bus.Message)) { <-ctx.Done() })
	out.waitFor(t, "error: no answer within 20ms\n")
	stop()
}

func TestStopWhileWaiting(t *testing.T) {
	asked := make(chan struct{})
	_, stop := run(t, ``, strings.NewReader("x\n"), func(ctx context.Context, _ bus.Message, _ func(bus.Message)) {
		close(asked)
		<-ctx.Done()
	})
	<-asked
	stop()
}

func TestSettings(t *testing.T) {
	env, _ := componenttest.Env(t, "input", "command_line", ``)
	if _, err := commandline.Build(t.Context(), env); err == nil || !strings.HasPrefix(err.Error(), `setting "to" is missing`) {
		t.Errorf("got %v", err)
	}
	var _ component.Builder = commandline.Build
}
