package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/memory"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/componenttest"
)

const patience = 20 * time.Second

// steps writes records as text: "called a1" for each, and an id where it says
// "collected a1 x".
func steps(text string) []Record {
	var all []Record
	for s := range strings.SplitSeq(text, ", ") {
		f := append(strings.Fields(s), "")
		all = append(all, Record{Event: Event(f[0]), Number: Number{f[1][:1], int(f[1][1] - '0')}, ID: f[2]})
	}
	return all
}

// Whatever goes wrong is found: the proof is as good as this.
func TestCount(t *testing.T) {
	for text, want := range map[string]Report{
		"called a1, acknowledged a1, logged a1, collected a1":                        {Sent: 1, Acknowledged: 1},
		"called a1, unknown a1, called a1, acknowledged a1, logged a1, collected a1": {Sent: 1, Acknowledged: 1},
		"called a1, unknown a1": {Sent: 1, Unknown: 1},
		"called a1":             {Sent: 1, Unknown: 1},
		"called a1, unknown a1, logged a1, collected a1":                        {Sent: 1, Unknown: 1},
		"called a1, acknowledged a1":                                            {Sent: 1, Acknowledged: 1, Lost: 1},
		"called a1, acknowledged a1, logged a1":                                 {Sent: 1, Acknowledged: 1, Lost: 1},
		"called a1, acknowledged a1, collected a1":                              {Sent: 1, Acknowledged: 1, Unexpected: 1},
		"logged a1, collected a1":                                               {Unexpected: 1},
		"called a1, acknowledged a1, logged a1, logged a1, collected a1":        {Sent: 1, Acknowledged: 1, Repeated: 1},
		"called a1, acknowledged a1, logged a1, collected a1 x, collected a1 y": {Sent: 1, Acknowledged: 1, Duplicated: 1},
		"called a1, acknowledged a1, logged a1, collected a1 x, collected a1 x": {Sent: 1, Acknowledged: 1, Redelivered: 1},
		"called a1, called b1, called a2, logged a1, logged b1, logged a2, collected a1, collected a2, collected b1": {
			Sent: 3, Unknown: 3},
		"called a1, called a2, called a3, logged a1, logged a3, collected a1, collected a3": {Sent: 3, Unknown: 3},
		"called a1, called a2, logged a1, logged a2, collected a2, collected a1":            {Sent: 2, Unknown: 2, Disordered: 1},
		"called a1, called a2, logged a2, logged a1, collected a1, collected a2":            {Sent: 2, Unknown: 2, Disordered: 1},
		// What is handled again later doesn't count as out of order.
		"called a1, called a2, logged a1, logged a2, logged a1, collected a1, collected a2": {Sent: 2, Unknown: 2, Repeated: 1},
	} {
		got := Count(steps(text))
		if got.OK() == (len(got.Stories) > 0) {
			t.Errorf("%s: OK is %v, and there are the stories %q", text, got.OK(), got.Stories)
		}
		got.Stories = nil
		if got.String() != want.String() {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

// A writer that was killed in the middle of a line spoils no other.
func TestJournalAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	want := []Record{{Number: Number{"a", 1}, Event: Called, ID: "x"}, {Number: Number{"a", 2}, Event: Called}}
	for _, r := range want {
		if err := os.WriteFile(path, append(read(t, path), `{"s":"a","n":`...), 0o644); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Append(r); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ReadJournal(path); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return text
}

func TestStages(t *testing.T) {
	const in = `{"id":"1","session_id":"x","payload":{"s":"a","n":1}}` + "\n" + `{"id":"2","payload":{"s":"b","n":1}}` + "\n"
	path := filepath.Join(t.TempDir(), "journal")
	for name, stage := range map[string]func(io.Reader, io.Writer) error{
		"relay": func(r io.Reader, w io.Writer) error { return Relay(r, w, time.Millisecond) },
		"sink":  func(r io.Reader, w io.Writer) error { return Sink(r, w, path) },
	} {
		var out bytes.Buffer
		if err := stage(strings.NewReader(in), &out); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		slices.Sort(lines)
		if got := strings.Join(lines, " "); got != ` {"id":"1","payload":{"s":"a","n":1}} {"id":"2","payload":{"s":"b","n":1}}` {
			t.Errorf("%s: got %s", name, got)
		}
		if err := stage(strings.NewReader("nothing\n"), &out); err == nil {
			t.Errorf("%s: no error for what is no line", name)
		}
	}
	records, err := ReadJournal(path)
	if err != nil || len(records) != 2 || records[0].Event != Logged || records[1].Session != "b" {
		t.Errorf("the sink's records: %v, %v", records, err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// started is a Load at work on a bus in memory.
type started struct {
	t    *testing.T
	out  *componenttest.Buffer
	stop func()
}

func startLoad(t *testing.T, b bus.Bus, l *Load) *started {
	t.Helper()
	s := &started{t: t, out: &componenttest.Buffer{}}
	l.Bus = b
	instance, err := l.Build(t.Context(), component.Env{Log: slog.New(slog.DiscardHandler), Stdout: s.out})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		if err := instance.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	consume(t, ctx, &work, b, "load", func(ctx context.Context, m bus.Message) ([]bus.Message, error) {
		_, err := instance.Handle(ctx, m, nil)
		return nil, err
	})
	s.stop = sync.OnceFunc(func() {
		cancel()
		work.Wait()
		if err := instance.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

func consume(t *testing.T, ctx context.Context, work *sync.WaitGroup, b bus.Bus, name string, h bus.Handler) {
	work.Go(func() {
		if err := b.Consume(ctx, bus.Consumer{Component: name, Handler: h}, nil); err != nil {
			t.Error(err)
		}
	})
}

// A load that is stopped half-way goes on where it was; in the end every
// number is sent, whatever comes out is recorded, and the window is kept.
func TestLoad(t *testing.T) {
	b := memory.New(memory.Options{})
	t.Cleanup(func() { _ = b.Close() })
	dir := t.TempDir()
	load := func() *Load {
		return &Load{Target: "sink", Dir: dir, Messages: 50, Sessions: 7, Window: 10, Patience: patience}
	}
	journal, err := OpenJournal(filepath.Join(dir, SinkJournal))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = journal.Close() })

	first := startLoad(t, b, load())
	// With nothing to take them, as many as the window has are sent.
	eventually(t, "the window is sent", func() bool {
		stats, err := b.Stats(t.Context())
		return err == nil && stats["sink"].Depth == 10
	})
	first.stop()
	if stats, err := b.Stats(t.Context()); err != nil || stats["sink"].Depth != 10 {
		t.Errorf("%d are under way, the window is 10: %v", stats["sink"].Depth, err)
	}

	sinking, stopSink := context.WithCancel(t.Context())
	var work sync.WaitGroup
	t.Cleanup(func() { stopSink(); work.Wait() })
	consume(t, sinking, &work, b, "sink", func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		var n Number
		if err := json.Unmarshal(m.Payload, &n); err != nil {
			return nil, err
		}
		err := journal.Append(Record{Number: n, Event: Logged})
		return []bus.Message{{Pattern: bus.PointToPoint, Target: "load", Payload: m.Payload}}, err
	})
	second := startLoad(t, b, load())
	eventually(t, "everything came out", func() bool { return strings.Contains(second.out.String(), "finished.") })
	second.stop()
	var records []Record
	for _, file := range []string{LoadJournal, SinkJournal} {
		some, err := ReadJournal(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, some...)
	}
	got := Count(records)
	if want := (Report{Sent: 50, Acknowledged: 50}); got.String() != want.String() {
		t.Errorf("got %s\n%s", got, strings.Join(got.Stories, "\n"))
	}
	var e Ending
	if err := json.Unmarshal(read(t, filepath.Join(dir, EndingFile)), &e); err != nil || len(e.Left) > 0 || e.Stats["sink"].Depth != 0 {
		t.Errorf("the end: %+v, %v", e, err)
	}
}

// TestLoadForATime: what isn't sent in time isn't waited for.
func TestLoadForATime(t *testing.T) {
	b := memory.New(memory.Options{})
	t.Cleanup(func() { _ = b.Close() })
	dir := t.TempDir()
	consuming, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	t.Cleanup(func() { stop(); work.Wait() })
	consume(t, consuming, &work, b, "sink", func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		return []bus.Message{{Pattern: bus.PointToPoint, Target: "load", Payload: m.Payload}}, nil
	})
	l := startLoad(t, b, &Load{Target: "sink", Dir: dir, Messages: 1 << 30, Sessions: 7, Window: 10, Patience: patience,
		For: 200 * time.Millisecond, Pace: 10 * time.Millisecond})
	eventually(t, "it has finished", func() bool {
		_, err := os.Stat(filepath.Join(dir, EndingFile))
		return err == nil
	})
	l.stop()
	records, err := ReadJournal(filepath.Join(dir, LoadJournal))
	if err != nil {
		t.Fatal(err)
	}
	if r := Count(records); r.Acknowledged == 0 || r.Lost > 0 || r.Acknowledged > 7*20 {
		t.Errorf("%s", r)
	}
}
