package deploy_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (w *world) logs(opts deploy.LogOptions) []deploy.LogLine {
	w.t.Helper()
	var lines []deploy.LogLine
	err := deploy.Logs(w.ctx, w.driver, w.observe().Containers, opts, func(l deploy.LogLine) { lines = append(lines, l) })
	if err != nil {
		w.t.Fatal(err)
	}
	return lines
}

func text(lines []deploy.LogLine) []string {
	var out []string
	for _, l := range lines {
		s := l.Container.Service + " " + l.Text
		if l.Stderr {
			s += " (stderr)"
		}
		out = append(out, s)
	}
	return out
}

func TestLogsAreMerged(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "a+:", "b+:", "c+:")
	w.mustUp()
	var want []string
	for i := range 30 {
		service, stderr := string(rune('a'+i*7%3)), i%4 == 0
		w.fake.Print(service, enginetest.Line{Text: fmt.Sprint(i), Stderr: stderr})
		l := fmt.Sprint(service, " ", i)
		if stderr {
			l += " (stderr)"
		}
		want = append(want, l)
	}
	lines := w.logs(deploy.LogOptions{})
	if got := text(lines); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if !slices.IsSortedFunc(lines, func(a, b deploy.LogLine) int { return a.Time.Compare(b.Time) }) || lines[0].Time.IsZero() {
		t.Error("lines without their times, or out of order")
	}
	if got := text(w.logs(deploy.LogOptions{Tail: "1"})); len(got) != 3 || got[2] != want[29] {
		t.Errorf("the last of each: %q", got)
	}
}

func TestLogLines(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 3000) // 48,000 bytes, in three parts
	for _, tty := range []bool{false, true} {
		w := newWorld(t, enginetest.Options{}, "a+:")
		w.change("a", func(s *types.ServiceConfig) { s.Tty = tty })
		w.mustUp()
		for _, l := range []string{"", "plain", "with\r", "over\rwritten", long, "after", " spaced  ", "2026-01-02T03:04:05Z not the time"} {
			w.fake.Print("a", enginetest.Line{Text: l})
		}
		want := []string{"", "plain", "with", "over\rwritten", long, "after", " spaced  ", "2026-01-02T03:04:05Z not the time"}
		var got []string
		for _, l := range w.logs(deploy.LogOptions{}) {
			got = append(got, l.Text)
			if l.Time.IsZero() {
				t.Errorf("tty %v: no time at %.20q", tty, l.Text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("tty %v: got %.200q\nwant %.200q", tty, got, want)
		}
	}
}

// TestEndlessLine: what has no end is broken into pieces, none is lost, and
// they stay at their place.
func TestEndlessLine(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "a+:")
	w.mustUp()
	endless := strings.Repeat("x", 300_000)
	w.fake.Print("a", enginetest.Line{Text: "before"})
	w.fake.Print("a", enginetest.Line{Text: endless})
	w.fake.Print("a", enginetest.Line{Text: "after"})
	lines := w.logs(deploy.LogOptions{})
	if len(lines) < 5 || lines[0].Text != "before" || lines[len(lines)-1].Text != "after" {
		t.Fatalf("%d lines, %.20q first", len(lines), lines[0].Text)
	}
	var joined strings.Builder
	for _, l := range lines[1 : len(lines)-1] {
		joined.WriteString(l.Text)
		if len(l.Text) > 128<<10 || !l.Time.Equal(lines[1].Time) {
			t.Errorf("a piece of %d bytes at %v", len(l.Text), l.Time)
		}
	}
	if joined.String() != endless {
		t.Errorf("%d bytes, want %d", joined.Len(), len(endless))
	}
}

// TestLastLineHasNoEnd: what was written without a newline is shown as well.
func TestLastLineHasNoEnd(t *testing.T) {
	w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {Echo: true}}}, "a:")
	w.change("a", func(s *types.ServiceConfig) { s.StdinOpen = true })
	w.mustUp(func(r *deploy.UpRequest) { r.Options.Wait = false })
	var out strings.Builder
	if err := w.driver.Attach(w.ctx, w.container("a").ID, false, strings.NewReader("no newline\r"), &out, &out); err != nil {
		t.Fatal(err)
	}
	if got := text(w.logs(deploy.LogOptions{})); !slices.Equal(got, []string{"a no newline"}) {
		t.Errorf("%q", got)
	}
}

func TestLogsFail(t *testing.T) {
	w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {Output: numbered(1)}, "b": {Output: numbered(1)}}}, "a+:", "b+:")
	w.mustUp()
	cs := w.observe().Containers
	b := w.container("b")
	w.fake.Inject(enginetest.Fault{Op: "container.logs", Target: b.ID, N: 1, Kind: enginetest.Fail, Message: "broken"})
	n := 0
	err := deploy.Logs(w.ctx, w.driver, cs, deploy.LogOptions{}, func(deploy.LogLine) { n++ })
	var e *deploy.EngineError
	if !errors.As(err, &e) || n != 1 {
		t.Errorf("%v, %d lines; want an error, and the other's line", err, n)
	}
	// What has been removed since it was listed is no failure.
	if err := w.driver.Remove(w.ctx, b.ID, true); err != nil {
		t.Fatal(err)
	}
	if err := deploy.Logs(w.ctx, w.driver, cs, deploy.LogOptions{}, func(deploy.LogLine) {}); err != nil {
		t.Error(err)
	}
}

// tail is a Follow that is under way.
type tail struct {
	w        *world
	follower *deploy.Follower
	cancel   context.CancelFunc
	ended    chan struct{}
	err      error
	mu       sync.Mutex
	lines    []deploy.LogLine
	died     []deploy.Event
	before   []int // lines before each death
	changed  chan struct{}
}

func (w *world) follow(opts deploy.LogOptions, cs []plan.Container) *tail {
	return w.followSince(time.Now(), opts, cs)
}

func (w *world) followSince(since time.Time, opts deploy.LogOptions, cs []plan.Container) *tail {
	ctx, cancel := context.WithCancel(w.ctx)
	f := &tail{w: w, cancel: cancel, ended: make(chan struct{}), changed: make(chan struct{}, 1)}
	change := func(g func()) {
		f.mu.Lock()
		defer f.mu.Unlock()
		g()
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}
	f.follower = deploy.NewFollower(w.driver, deploy.FollowRequest{
		Project: w.project.Name, Since: since, Containers: cs, Options: opts,
		Wanted: func(s string) bool { return s != "unwanted" },
		Emit:   func(l deploy.LogLine) { change(func() { f.lines = append(f.lines, l) }) },
		Died: func(ev deploy.Event) {
			change(func() { f.died, f.before = append(f.died, ev), append(f.before, len(f.lines)) })
		},
	})
	before := len(w.fake.Calls("container.logs"))
	go func() {
		defer close(f.ended)
		f.err = f.follower.Run(ctx)
	}()
	w.await(before+len(cs), "container.logs")
	return f
}

// until waits until the text of the lines is as wanted. Those of one container are
// in order, and each begins with its service; two containers may be either way round.
func (f *tail) until(want ...string) {
	f.w.t.Helper()
	byService := func(a, b string) int { return cmp.Compare(a[:1], b[:1]) }
	want = slices.Clone(want)
	slices.SortStableFunc(want, byService)
	for {
		f.mu.Lock()
		got := text(f.lines)
		f.mu.Unlock()
		slices.SortStableFunc(got, byService)
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-f.changed:
		case <-f.w.ctx.Done():
			f.w.t.Fatalf("got %q\nwant %q", got, want)
		}
		if len(got) > len(want) {
			f.w.t.Fatalf("got %q\nwant %q", got, want)
		}
	}
}

// stop cancels it, and waits for its end.
func (f *tail) stop() error {
	f.w.t.Helper()
	f.cancel()
	select {
	case <-f.ended:
	case <-time.After(5 * time.Second):
		f.w.t.Fatal("it doesn't end when it is cancelled")
	}
	return f.err
}

func TestFollow(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "a+:", "b+:", "unwanted+:")
	w.change("a", func(s *types.ServiceConfig) { s.Restart = "always" })
	w.mustUp()
	w.fake.Print("a", enginetest.Line{Text: "1"})
	f := w.follow(deploy.LogOptions{}, []plan.Container{w.container("a"), w.container("b")})
	f.until("a 1")
	w.fake.Print("b", enginetest.Line{Text: "2", Stderr: true})
	f.until("a 1", "b 2 (stderr)")
	// It goes on after a restart, from the first line on, and shows no line twice.
	w.fake.SetBehaviour("a", enginetest.Behaviour{Output: []enginetest.Line{{Text: "3"}}})
	w.fake.Exit("a", 9)
	f.until("a 1", "b 2 (stderr)", "a 3")
	w.fake.Print("a", enginetest.Line{Text: "4"})
	f.until("a 1", "b 2 (stderr)", "a 3", "a 4")
	// A container that is removed ends nothing else.
	if err := w.driver.Remove(w.ctx, w.container("b").ID, true); err != nil {
		t.Fatal(err)
	}
	w.fake.Exit("unwanted", 1)
	w.fake.Print("a", enginetest.Line{Text: "5"})
	f.until("a 1", "b 2 (stderr)", "a 3", "a 4", "a 5")
	// One that comes later is shown as well.
	w.fake.SetBehaviour("b", enginetest.Behaviour{Output: []enginetest.Line{{Text: "6"}}})
	w.mustUp()
	f.until("a 1", "b 2 (stderr)", "a 3", "a 4", "a 5", "b 6")
	if err := f.stop(); err != nil {
		t.Error(err)
	}
	if len(f.died) != 2 || f.died[0].ExitCode != 9 || f.died[1].Service != "b" {
		t.Errorf("died: %+v", f.died)
	}
	for _, l := range f.lines {
		if l.Time.IsZero() {
			t.Errorf("no time: %+v", l)
		}
	}
}

// TestFollowTail: of what there was only what was asked for, and everything
// after that, also of a component that had written nothing yet.
func TestFollowTail(t *testing.T) {
	w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {Output: numbered(4)}}}, "a+:")
	w.change("a", func(s *types.ServiceConfig) { s.Restart = "always" })
	w.mustUp()
	f := w.follow(deploy.LogOptions{Tail: "1"}, w.observe().Containers)
	f.until("a line 4")
	none := w.follow(deploy.LogOptions{Tail: "0"}, w.observe().Containers)
	w.fake.SetBehaviour("a", enginetest.Behaviour{Output: []enginetest.Line{{Text: "again"}}})
	w.fake.Exit("a", 1)
	f.until("a line 4", "a again")
	none.until("a again")
	for _, f := range []*tail{f, none} {
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestFollowIsCut: streams that the engine cuts are taken up, with every line
// once.
func TestFollowIsCut(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "a+:", "b+:")
	w.mustUp()
	f := w.follow(deploy.LogOptions{}, w.observe().Containers)
	var want []string
	for i := range 5 {
		for _, service := range []string{"a", "b"} {
			w.fake.Print(service, enginetest.Line{Text: fmt.Sprint(i)})
			want = append(want, fmt.Sprint(service, " ", i))
			f.until(want...)
		}
		logs, events := len(w.fake.Calls("container.logs")), len(w.fake.Calls("events"))
		w.fake.CutStreams()
		w.await(logs+2, "container.logs")
		w.await(events+1, "events")
	}
	w.fake.Exit("a", 4)
	for f.deaths() == 0 {
		select {
		case <-f.changed:
		case <-w.ctx.Done():
			t.Fatal("the event after the cut is missing")
		}
	}
	if err := f.stop(); err != nil {
		t.Error(err)
	}
}

// TestFollowTellsDeaths: a death is told after all that was written before it,
// however late that comes, and what is read can be waited for.
func TestFollowTellsDeaths(t *testing.T) {
	w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {Output: numbered(3)}}}, "a+:")
	w.mustUp()
	w.fake.Inject(enginetest.Fault{Op: "container.logs", Kind: enginetest.Late, Delay: 100 * time.Millisecond})
	f := w.follow(deploy.LogOptions{}, w.observe().Containers)
	w.fake.Exit("a", 3)
	f.follower.Read(w.ctx, w.container("a").ID)
	f.until("a line 1 (stderr)", "a line 2", "a line 3 (stderr)")
	for f.deaths() == 0 {
		select {
		case <-f.changed:
		case <-w.ctx.Done():
			t.Fatal("it isn't told")
		}
	}
	if f.before[0] != 3 {
		t.Errorf("told after %d of 3 lines", f.before[0])
	}
	f.follower.Read(w.ctx, w.container("a").ID)
	f.follower.Read(w.ctx, "unknown")
	if err := f.stop(); err != nil {
		t.Error(err)
	}
}

// TestFollowPast: the events of the past belong to the containers that there are:
// a start that is known isn't one more, and what was replaced doesn't end now.
func TestFollowPast(t *testing.T) {
	w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {Output: numbered(1)}}}, "a+:", "b+:")
	w.mustUp()
	begin := time.Now().Add(-time.Second)
	w.change("a", func(s *types.ServiceConfig) { s.Environment = types.MappingWithEquals{"A": nil} })
	w.mustUp()
	w.fake.Exit("b", 4)
	f := w.followSince(begin, deploy.LogOptions{}, w.observe().Containers)
	f.until("a line 1 (stderr)")
	w.fake.Exit("a", 5)
	for f.deaths() < 2 {
		select {
		case <-f.changed:
		case <-w.ctx.Done():
			t.Fatalf("told: %+v", f.died)
		}
	}
	// And one that has ended is followed where it is started again.
	w.fake.SetBehaviour("b", enginetest.Behaviour{Output: []enginetest.Line{{Text: "again"}}})
	w.mustUp()
	f.until("a line 1 (stderr)", "a line 1 (stderr)", "b again")
	if err := f.stop(); err != nil {
		t.Error(err)
	}
	if len(f.died) != 2 || f.died[0].ExitCode != 4 || f.died[1].ExitCode != 5 {
		t.Errorf("told: %+v", f.died)
	}
}

// TestFollowTellsInTime: a death is told though the output doesn't end, and at
// the latest when following does.
func TestFollowTellsInTime(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "a+:")
	w.mustUp()
	w.fake.Inject(enginetest.Fault{Op: "container.logs", Kind: enginetest.Hang})
	for _, ends := range []bool{false, true} {
		f := w.follow(deploy.LogOptions{}, w.observe().Containers)
		id := w.container("a").ID
		w.fake.Exit("a", 3)
		short, cancel := context.WithTimeout(w.ctx, 50*time.Millisecond)
		f.follower.Read(short, id)
		cancel()
		for !ends && f.deaths() == 0 {
			select {
			case <-f.changed:
			case <-w.ctx.Done():
				t.Fatal("it isn't told")
			}
		}
		if err := f.stop(); err != nil {
			t.Error(err)
		}
		if f.deaths() != 1 {
			t.Errorf("told %d times", f.deaths())
		}
		w.mustUp()
	}
}

func (f *tail) deaths() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.died)
}

// TestFollowEnds: when the engine is gone it ends by itself, and says why; and
// a log that can't be read is no reason to end.
func TestFollowEnds(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "a+:", "b+:")
	w.mustUp()
	w.fake.Inject(enginetest.Fault{Op: "container.logs", Target: w.container("a").ID, Kind: enginetest.Fail, Status: 501, Message: "configured logging driver does not support reading"})
	f := w.follow(deploy.LogOptions{}, w.observe().Containers)
	w.fake.Print("b", enginetest.Line{Text: "1"})
	for {
		f.mu.Lock()
		got := strings.Join(text(f.lines), "\n")
		f.mu.Unlock()
		if strings.Contains(got, "b 1") && strings.Contains(got, "a its output can't be read") && strings.Contains(got, "does not support reading") {
			break
		}
		select {
		case <-f.changed:
		case <-w.ctx.Done():
			t.Fatalf("lines: %s", got)
		}
	}
	w.fake.Stop()
	select {
	case <-f.ended:
		wantEngineError(t, f.err, deploy.Unreachable, "watch project p")
	case <-time.After(20 * time.Second):
		t.Error("it doesn't end with the engine")
	}
	f.cancel()
}
