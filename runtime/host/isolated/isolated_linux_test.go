//go:build linux

package isolated

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/process"
)

// TestMain lets the test binary be the handler's process.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "isolated" {
		if err := Serve(context.Background(), os.Stdin, os.Stdout, map[string]component.Builder{"core test": builder}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func command() *exec.Cmd { return exec.Command("/proc/self/exe", "isolated") }

type settings struct {
	Key  string `json:"key"`
	Bad  string `json:"bad"`
	None string `json:"none"`
}

// builder makes a component that does what the payload says.
func builder(_ context.Context, env component.Env) (*component.Instance, error) {
	var s settings
	if err := env.Decode(&s); err != nil {
		return nil, err
	}
	if s.Bad != "" {
		return nil, errors.New(`setting "bad": it is`)
	}
	return &component.Instance{Timed: true, Capabilities: []string{"tricks"}, Handle: func(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error) {
		switch word := component.Text(m.Payload); word {
		case "nothing":
			return nil, nil
		case "null":
			return json.RawMessage("null"), nil
		case "secret":
			return component.JSONString(s.Key + s.None), nil
		case "environment":
			return component.JSONString(strings.Join(os.Environ(), "\n") + strings.Join(os.Args, "\n")), nil
		case "stream":
			for _, piece := range []string{`"a"`, `"b"`} {
				if err := out.Chunk(ctx, json.RawMessage(piece)); err != nil {
					return nil, err
				}
			}
			return json.RawMessage(`"ab"`), nil
		case "ask":
			return ask(ctx, env)
		case "submit":
			return nil, env.Submit(ctx, component.Submission{Payload: m.Payload})
		case "gather":
			all, err := env.Gather(ctx, "key", "part", json.RawMessage(`1`))
			return all["part"], err
		case "log":
			env.Log.With("with", "it").WarnContext(ctx, "careful", "n", 7)
			return nil, nil
		case "permanent":
			return nil, bus.Permanent(errors.New("never"))
		case "later":
			return nil, bus.RetryAfter(3*time.Second, errors.New("busy"))
		case "full":
			return nil, fmt.Errorf("publish: %w", bus.ErrFull)
		case "panic":
			panic("oh no")
		case "crash":
			go func() { panic("all is lost") }()
			select {}
		case "exit":
			os.Exit(3)
		case "stdout":
			fmt.Print("what is no frame and is long enough")
			select {}
		case "wait":
			<-ctx.Done()
			return nil, ctx.Err()
		case "hang":
			select {}
		case "hog":
			for all := [][]byte{}; ; all = append(all, bytes.Repeat([]byte{1}, 1<<20)) {
				if len(all) > 1024 {
					return nil, errors.New("nothing has ended it")
				}
			}
		}
		return m.Payload, nil
	}}, nil
}

func ask(ctx context.Context, env component.Env) (json.RawMessage, error) {
	answers, err := env.Ask(ctx, component.Submission{Payload: json.RawMessage(`"?"`)})
	if err != nil {
		return nil, err
	}
	var all []string
	for {
		m, err := answers.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		all = append(all, component.Text(m.Payload))
	}
	return component.JSONString(strings.Join(all, " ")), answers.Close()
}

// two answers and no more.
type two struct {
	n      int
	closed func()
}

func (t *two) Next(context.Context) (bus.Message, error) {
	if t.n++; t.n > 2 {
		return bus.Message{}, io.EOF
	}
	return bus.Message{Payload: json.RawMessage(fmt.Sprint(t.n))}, nil
}

func (t *two) Close() error { t.closed(); return nil }

type out struct {
	mu     sync.Mutex
	chunks []string
}

func (o *out) Chunk(_ context.Context, p json.RawMessage) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.chunks = append(o.chunks, string(p))
	return nil
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// world is a component in a process of its own and what is around it.
type world struct {
	*component.Instance
	env       component.Env
	log       *buffer
	submitted []string
	closed    int
}

type ctxKey struct{}

func newWorld(t *testing.T, config string, limits process.Limits) (*world, error) {
	t.Helper()
	w := &world{log: &buffer{}}
	keeper := process.NewKeeper(nil, slog.New(slog.NewTextHandler(w.log, nil)))
	w.env = component.Env{
		Config: component.Config{Name: "c", Kind: "core", Type: "test", Settings: json.RawMessage(config)},
		Log:    slog.New(slog.NewTextHandler(w.log, nil)), Processes: keeper.Group("c", limits),
		Secret: func(name string) (string, error) {
			if name == "KEY" {
				return "topsecret", nil
			}
			return "", fmt.Errorf("secret %s: %w", name, fs.ErrNotExist)
		},
		Submit: func(ctx context.Context, in component.Submission) error {
			if ctx.Value(ctxKey{}) == nil {
				return errors.New("the context isn't that of the message")
			}
			w.submitted = append(w.submitted, string(in.Payload))
			return nil
		},
		Ask: func(context.Context, component.Submission) (bus.Replies, error) {
			return &two{closed: func() { w.closed++ }}, nil
		},
		Gather: func(_ context.Context, key, part string, v json.RawMessage) (map[string]json.RawMessage, error) {
			return map[string]json.RawMessage{part: component.JSONString(key + string(v))}, nil
		},
	}
	t.Cleanup(func() {
		if err := w.env.Processes.Close(); err != nil {
			t.Error(err)
		}
	})
	i, err := Build(command)(t.Context(), w.env)
	if err == nil {
		w.Instance = i
		t.Cleanup(func() {
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return w, err
}

func mustWorld(t *testing.T, config string, limits process.Limits) *world {
	t.Helper()
	w, err := newWorld(t, config, limits)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) ask(t *testing.T, word string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), ctxKey{}, true), time.Minute)
	defer cancel()
	got, err := w.Handle(ctx, bus.Message{ID: "m", SessionID: "s", Payload: component.JSONString(word)}, &out{})
	return string(got), err
}

const secrets = `{"key":{"$secret":"KEY"},"none":{"$secret":"NONE","default":"!"}}`

func TestHandle(t *testing.T) {
	t.Setenv("VERY_SECRET", "topsecret")
	w := mustWorld(t, secrets, process.Limits{})
	if !w.Timed || w.Streams || !slices.Equal(w.Capabilities, []string{"tricks"}) {
		t.Errorf("what it says of itself: %+v", w.Instance)
	}
	for word, want := range map[string]string{
		"hello <&>": `"hello <&>"`, "nothing": "", "null": "null", "secret": `"topsecret!"`, "stream": `"ab"`, "ask": `"1 2"`,
		"submit": "", "gather": `"key1"`, "log": "",
	} {
		if got, err := w.ask(t, word); err != nil || got != want {
			t.Errorf("%s: got %s, %v", word, got, err)
		}
	}
	if w.closed != 1 || !slices.Equal(w.submitted, []string{`"submit"`}) {
		t.Errorf("closed %d, submitted %q", w.closed, w.submitted)
	}
	if !strings.Contains(w.log.String(), `level=WARN msg=careful n=7 with=it`) {
		t.Errorf("logged: %s", w.log.String())
	}
	if got, err := w.ask(t, "environment"); err != nil || strings.Contains(got, "topsecret") || !strings.Contains(got, "PATH=") {
		t.Errorf("its environment and arguments: %s, %v", got, err)
	}
	o := &out{}
	if _, err := w.Handle(t.Context(), bus.Message{Payload: json.RawMessage(`"stream"`)}, o); err != nil || !slices.Equal(o.chunks, []string{`"a"`, `"b"`}) {
		t.Errorf("pieces %q, %v", o.chunks, err)
	}
	large := strings.Repeat("x", 4<<20)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got, err := w.ask(t, large); err != nil || len(got) != len(large)+2 {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
}

func TestErrors(t *testing.T) {
	w := mustWorld(t, secrets, process.Limits{})
	for word, ok := range map[string]func(error) bool{
		"permanent": func(err error) bool { return bus.IsPermanent(err) && err.Error() == "never" },
		"later": func(err error) bool {
			d, ok := bus.RetryDelay(err)
			return ok && d == 3*time.Second && err.Error() == "busy"
		},
		"full": func(err error) bool { return errors.Is(err, bus.ErrFull) },
		"panic": func(err error) bool {
			return strings.Contains(bus.Stack(err).Value.String(), "isolated_linux_test.go") && strings.Contains(err.Error(), "oh no")
		},
	} {
		if _, err := w.ask(t, word); err == nil || !ok(err) {
			t.Errorf("%s: %v", word, err)
		}
	}
	for _, tt := range []struct{ config, want string }{
		{`{"key":5}`, `setting "key": want a string, got a number`},
		{`{"bad":"x"}`, `setting "bad": it is`},
		{`{"key":{"$secret":"NONE"}}`, `setting "key": secret NONE: file does not exist`},
	} {
		if _, err := newWorld(t, tt.config, process.Limits{}); err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v", tt.config, err)
		}
	}
}

// TestDeath: what ends the process fails the message that it handles, and no other.
func TestDeath(t *testing.T) {
	w := mustWorld(t, secrets, process.Limits{})
	for word, want := range map[string]string{
		"crash":  "the component's process ended: exit status 2: panic: all is lost",
		"exit":   "the component's process ended: exit status 3",
		"stdout": "the component's process ended: the other side sends",
	} {
		if _, err := w.ask(t, word); err == nil || !strings.HasPrefix(err.Error(), want) || bus.IsPermanent(err) {
			t.Errorf("%s: got %v, want %s", word, err, want)
		}
		if got, err := w.ask(t, "after"); err != nil || got != `"after"` {
			t.Errorf("after %s: %s, %v", word, got, err)
		}
	}
	if !strings.Contains(w.log.String(), "is started again") {
		t.Errorf("logged: %s", w.log.String())
	}
}

func TestMemory(t *testing.T) {
	w := mustWorld(t, secrets, process.Limits{Memory: 128 << 20})
	if _, err := w.ask(t, "hog"); err == nil || err.Error() != "the component's process was killed: it used more than its 128m" {
		t.Errorf("got %v", err)
	}
	if got, err := w.ask(t, "after"); err != nil || got != `"after"` {
		t.Errorf("%s, %v", got, err)
	}
}

// TestCancel: a handler learns that its time is over; one that doesn't care is
// killed.
func TestCancel(t *testing.T) {
	w := mustWorld(t, secrets, process.Limits{})
	for _, word := range []string{"wait", "hang"} {
		why := errors.New("its time is over")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
		if _, err := w.Handle(ctx, bus.Message{Payload: component.JSONString(word)}, &out{}); !errors.Is(err, why) {
			t.Errorf("%s: %v", word, err)
		}
		if got, err := w.ask(t, "after"); err != nil || got != `"after"` {
			t.Errorf("after %s: %s, %v", word, got, err)
		}
	}
	if n := strings.Count(w.log.String(), "is started again"); n > 1 {
		t.Errorf("it was started again %d times: only the one that hung is", n)
	}
}

// TestNothingIsLeft: no goroutine, descriptor or process, also where what runs is
// killed.
func TestNothingIsLeft(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		u, _ := process.Own()
		return len(d) + u.Processes
	}
	once := func() {
		t.Run("one", func(t *testing.T) {
			w := mustWorld(t, secrets, process.Limits{})
			_, _ = w.ask(t, "exit")
			if _, err := w.ask(t, "after"); err != nil {
				t.Error(err)
			}
		})
	}
	once()
	before, goroutines := count(), runtime.NumGoroutine()
	once()
	for end := time.Now().Add(5 * time.Second); count() > before || runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d and then %d are there\n%s", before, count(), buf[:runtime.Stack(buf, true)])
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x10{\"word\":\"call\"}\n"))
	f.Add([]byte("\xff\xff\xff\xff{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPeer(io.Discard)
		p.serve = func(context.Context, string, json.RawMessage) (any, error) { return nil, nil }
		_ = p.read(t.Context(), bytes.NewReader(data))
		if err := p.call(t.Context(), "any", nil, nil, nil); !errors.Is(err, errOver) {
			t.Errorf("a call after the end: %v", err)
		}
	})
}
