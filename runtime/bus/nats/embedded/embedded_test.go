package embedded_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus/nats/embedded"
)

func start(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t *testing.T, s *embedded.Server, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(s.URL(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// What was acknowledged is there after a restart, and only in its store; nothing
// of what is usual is worth a warning.
func TestKeeps(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var warnings bytes.Buffer
	o := embedded.Options{StoreDir: t.TempDir(), Password: "secret",
		Log: slog.New(slog.NewTextHandler(&warnings, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	who := nats.UserInfo("ww", "secret")
	s := start(t, o)
	js := connect(t, s, who)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "s", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	if warnings.Len() > 0 {
		t.Errorf("warnings: %s", &warnings)
	}
	stream, err := connect(t, start(t, o), who).Stream(ctx, "s")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestMemoryOnlyLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s := start(t, embedded.Options{MemoryOnly: true})
	if _, err := connect(t, s).AccountInfo(t.Context()); err != nil {
		t.Error(err)
	}
	s.Shutdown()
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestProbe(t *testing.T) {
	s := start(t, embedded.Options{MemoryOnly: true, Password: "secret"})
	for password, want := range map[string]string{"secret": "", "other": "Authorization", "": "Authorization"} {
		err := embedded.Probe(t.Context(), s.Addr(), password)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("password %q: %v", password, err)
		}
	}
	s.Shutdown()
	if err := embedded.Probe(t.Context(), s.Addr(), "secret"); err == nil {
		t.Error("healthy after its end")
	}
}

func TestStartErrors(t *testing.T) {
	taken := start(t, embedded.Options{MemoryOnly: true})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]embedded.Options{
		"no store":    {},
		"bad address": {MemoryOnly: true, Addr: "here"},
		"taken":       {MemoryOnly: true, Addr: taken.Addr()},
		"bad store":   {StoreDir: filepath.Join(file, "x")},
	} {
		if s, err := embedded.Start(o); err == nil {
			s.Shutdown()
			t.Errorf("%s: started", name)
		} else if !strings.HasPrefix(err.Error(), "bus server: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
