package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/memory"
	"woodwork.dev/ww/runtime/registry"
)

// world is a bus within the test and a remote that leads to it: the inner half
// of the commands runs in this process, behind the same pipes.
type world struct {
	*testing.T
	ctx      context.Context
	tool     *tool
	out, err *bytes.Buffer
	bus      *memory.Bus
	registry *registry.Memory
	remote   *remote
	ended    chan int // exit codes of the inner half
	failing  error    // of connecting to the bus
	sick     atomic.Bool
	// requeue is how the bus requeues, where it isn't nil.
	requeue func(ctx context.Context, component string, ids ...string) (int, error)
}

func newWorld(t *testing.T) *world {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	w := &world{T: t, ctx: ctx, out: &bytes.Buffer{}, err: &bytes.Buffer{}, bus: memory.New(memory.Options{}), registry: registry.NewMemory(), ended: make(chan int, 100)}
	t.Cleanup(func() { _ = w.bus.Close() })
	w.tool = &tool{in: strings.NewReader(""), out: w.out, err: w.err}
	w.remote = &remote{
		name: "demo-in-1", known: []string{"greet", "out"}, hard: ctx,
		note: func(s string) { fmt.Fprintln(w.err, "note:", s) },
		run: func(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
			inner := &tool{in: stdin, out: stdout, err: stderr}
			code := inner.report(inner.busAgent(ctx, func(context.Context) (bus.Bus, registry.Registry, error) {
				return open{w.bus, w}, w.registry, w.failing
			}))
			w.ended <- code
			return code, nil
		},
	}
	return w
}

// open stays open: each order has its own connection to a real bus.
type open struct {
	bus.Bus
	world *world
}

func (open) Close() error { return nil }

func (o open) Healthy(ctx context.Context) error {
	if o.world.sick.Load() {
		return errors.New("it is away")
	}
	return o.Bus.Healthy(ctx)
}

func (w *world) reach(context.Context) (*remote, func(), error) { return w.remote, func() {}, nil }

func (o open) Requeue(ctx context.Context, component string, ids ...string) (int, error) {
	if f := o.world.requeue; f != nil {
		return f(ctx, component, ids...)
	}
	return o.Bus.Requeue(ctx, component, ids...)
}

// consume runs a component until the test ends.
func (w *world) consume(component string, topics []string, h bus.Handler) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	var wg sync.WaitGroup
	ready := make(chan struct{})
	wg.Go(func() {
		if err := w.bus.Consume(ctx, bus.Consumer{Component: component, Topics: topics, Handler: h}, func() { close(ready) }); err != nil {
			w.Errorf("consume %s: %v", component, err)
		}
	})
	w.Cleanup(func() { cancel(); wg.Wait() })
	w.wait("the consumer", ready)
}

func (w *world) wait(what string, c <-chan struct{}) {
	w.Helper()
	select {
	case <-c:
	case <-w.ctx.Done():
		w.Fatalf("%s doesn't come", what)
	}
}

func (w *world) publish(ms ...bus.Message) {
	w.Helper()
	if err := w.bus.Publish(w.ctx, ms...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) drained() {
	w.Helper()
	left, err := w.bus.Drain(w.ctx)
	if err != nil || len(left) > 0 {
		w.Fatalf("left: %v, %v", left, err)
	}
}

// printed returns what was printed since the last call.
func (w *world) printed() string {
	defer w.out.Reset()
	return w.out.String()
}

func (w *world) told() string {
	defer w.err.Reset()
	return w.err.String()
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// fails checks an error's exit code and its words, with those of its remedy.
func (w *world) fails(err error, code int, words ...string) {
	w.Helper()
	got, remedy := classify(err)
	if err == nil || got != code {
		w.Fatalf("exit code %d, want %d: %v", got, code, err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error()+"\n"+remedy, word) {
			w.Errorf("%q isn't in %q, %q", word, err, remedy)
		}
	}
}

func text(id, target, session, s string) bus.Message {
	payload, _ := json.Marshal(s) // of a string, it doesn't fail
	return bus.Message{ID: id, Target: target, SessionID: session, Type: "input", Sender: "test", Payload: payload}
}

func refuse(context.Context, bus.Message) ([]bus.Message, error) {
	return nil, bus.Permanent(errors.New("it is\nbad"))
}

func accept(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }

// match compares lines with patterns in which ‹…› stands for anything.
func (w *world) match(got, want string) {
	w.Helper()
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimLeft(want, "\n")), "‹…›", `[^\n]*?`)
	if !regexp.MustCompile(`^` + pattern + `$`).MatchString(got) {
		w.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBusStats(t *testing.T) {
	w := newWorld(t)
	w.consume("greet", nil, accept)
	w.consume("out", nil, refuse)
	w.publish(text("m1", "greet", "s", "a"), text("m2", "greet", "s", "b"), text("m3", "out", "s", "c"))
	w.publish(bus.Message{Pattern: bus.PublishSubscribe, Type: "nobody.cares"})
	w.drained()
	w.must(w.tool.stats(w.ctx, w.remote, nil, false))
	w.match(w.printed(), `
COMPONENT   DEPTH   IN FLIGHT   DELAYED   LAG   DEAD   OLDEST   HANDLED   RETRIED   REPLICAS
greet       0       0           0         0     0      -        2         0         1
out         0       0           0         0     1      -        ‹…›         0         1
dropped, on topics that nobody subscribes to (a server's component.output is one): 1
`)
	w.must(w.tool.stats(w.ctx, w.remote, nil, true))
	var l look
	w.must(json.Unmarshal([]byte(w.printed()), &l))
	if l.Components["greet"].Handled != 2 || l.Components["out"].Dead != 1 || l.Dropped != 1 || l.Time.IsZero() {
		t.Errorf("%+v", l)
	}
}

// What is gone and has left nothing isn't shown; where nobody knows what has
// containers, all is.
func TestLookOnly(t *testing.T) {
	all := map[string]bus.Stats{"greet": {}, "gone": {Handled: 3}, "left": {Depth: 1}, "dead": {Dead: 1}, "late": {Delayed: 1}, "there": {Consumers: 1}}
	for _, c := range []struct {
		known []string
		want  string
	}{{[]string{"greet"}, "dead greet late left there"}, {nil, "dead gone greet late left there"}} {
		l := look{Components: maps.Clone(all)}
		if err := l.only(nil, c.known); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(l.Components)), " "); got != c.want {
			t.Errorf("%v: %s", c.known, got)
		}
	}
}

// Components that are named are all that is shown, and one that isn't there is a
// wrong command line: also while one watches.
func TestBusStatsOfSome(t *testing.T) {
	w := newWorld(t)
	w.consume("greet", nil, accept)
	w.consume("other", nil, accept)
	w.publish(bus.Message{Pattern: bus.PublishSubscribe, Type: "nobody.cares"})
	w.must(w.tool.stats(w.ctx, w.remote, []string{"greet", "out"}, false))
	w.match(w.printed(), `
COMPONENT   DEPTH   IN FLIGHT   DELAYED   LAG   DEAD   OLDEST   HANDLED   RETRIED   REPLICAS
greet       0       0           0         0     0      -        0         0         1
out         0       0           0         0     0      -        0         0         0
`)
	w.fails(w.tool.stats(w.ctx, w.remote, []string{"gret"}, true), exitUsage, `there is no component "gret"`, `did you mean "greet"?`)
	w.fails(w.tool.watchStats(w.ctx, w.reach, []string{"nope"}, time.Millisecond, true), exitUsage, `there is no component "nope"`, "greet, other, out")
	if out := w.printed(); out != "" {
		t.Errorf("printed: %s", out)
	}
}

// A second look has rates; the end of the command ends the other side, and
// isn't an error.
func TestBusStatsWatch(t *testing.T) {
	w := newWorld(t)
	w.consume("greet", nil, accept)
	ctx, cancel := context.WithCancel(w.ctx)
	looks := 0
	w.tool.out = writer(func(p []byte) (int, error) {
		var l look
		if err := json.Unmarshal(p, &l); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		if _, ok := l.Rates["greet"]; ok != (looks > 0) {
			t.Errorf("look %d: %s", looks, p)
		}
		if looks++; looks == 3 {
			cancel()
		}
		return len(p), nil
	})
	w.must(w.tool.watchStats(ctx, w.reach, nil, time.Millisecond, true))
	if code := <-w.ended; looks < 3 || code != exitOK {
		t.Errorf("%d looks; the other side ends with %d", looks, code)
	}
}

// A bus that is away is something to see while one watches, and not the end.
func TestBusStatsWatchAway(t *testing.T) {
	w := newWorld(t)
	w.must(w.bus.Close())
	w.remote.trouble = func(context.Context) string { return "gone" }
	for _, asJSON := range []bool{true, false} {
		ctx, cancel := context.WithCancel(w.ctx)
		looks := 0
		w.tool.err = writer(func(p []byte) (int, error) {
			if looks++; looks == 1 {
				cancel()
			}
			return w.err.Write(p)
		})
		w.tool.out = writer(func(p []byte) (int, error) {
			if looks++; looks == 2 {
				cancel()
			}
			return w.out.Write(p)
		})
		w.must(w.tool.watchStats(ctx, w.reach, nil, time.Millisecond, asJSON))
		got, want := w.printed()+w.told(), 2
		if !asJSON {
			want = 1 // a person is told once
		}
		if strings.Count(got, "message-bus isn't running: gone") != want || strings.Contains(got, "isn't running: gone; trying again") == asJSON {
			t.Errorf("%d looks: %s", looks, got)
		}
	}
}

// Where nothing leads to the bus, or the way ends, another is looked for.
func TestBusStatsWatchReaches(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(w.ctx)
	var lines []string
	w.tool.out = writer(func(p []byte) (int, error) {
		var l look
		if err := json.Unmarshal(p, &l); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		if lines = append(lines, l.Error); len(lines) == 3 {
			cancel()
		}
		return len(p), nil
	})
	ways := 0
	w.must(w.tool.watchStats(ctx, func(context.Context) (*remote, func(), error) {
		switch ways++; ways {
		case 1:
			return nil, nil, busNotRunning("it has no container")
		case 2:
			return writes("", "", 137), func() {}, nil
		}
		return w.remote, func() {}, nil
	}, nil, time.Millisecond, true))
	if len(lines) != 3 || !strings.Contains(lines[0], "message-bus isn't running: it has no container") || !strings.Contains(lines[1], "exit code 137") || lines[2] != "" {
		t.Errorf("%q", lines)
	}
	wrong := &usageError{errors.New("no such project"), ""}
	w.fails(w.tool.watchStats(w.ctx, func(context.Context) (*remote, func(), error) { return nil, nil, wrong }, nil, time.Millisecond, true), exitUsage)
}

type writer func([]byte) (int, error)

func (f writer) Write(p []byte) (int, error) { return f(p) }

func TestRates(t *testing.T) {
	at := time.Unix(1000, 0)
	before := look{Time: at, Components: map[string]bus.Stats{"a": {Handled: 10, Retried: 1}, "b": {Handled: 5}}}
	now := look{Time: at.Add(2 * time.Second), Components: map[string]bus.Stats{"a": {Handled: 13, Retried: 2}, "b": {}, "c": {Handled: 4}}}
	got := rates(before, now)
	want := map[string]rate{"a": {1.5, 0.5}, "b": {}, "c": {2, 0}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	if rates(look{}, now) != nil || rates(now, look{Time: at.Add(3 * time.Second), Error: "away"}) != nil {
		t.Error("rates of nothing")
	}
}

func TestBusDrain(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.consume("slow", nil, func(ctx context.Context, _ bus.Message) ([]bus.Message, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, nil
	})
	w.publish(text("m1", "slow", "s", "a"), text("m2", "slow", "s", "b"))
	for _, components := range [][]string{nil, {"slow"}} {
		err := w.tool.drain(w.ctx, w.remote, components, 10*time.Millisecond, false)
		w.fails(err, exitDrain, "not drained within 10ms: 2 messages are left", "ww bus stats")
		w.match(w.printed(), "COMPONENT   LEFT\nslow        2\n")
	}
	w.fails(w.tool.drain(w.ctx, w.remote, nil, time.Millisecond, true), exitDrain)
	w.match(w.printed(), "{\n  \"drained\": false,\n  \"left\": {\n    \"slow\": 2\n  }\n}\n")
	w.must(w.tool.drain(w.ctx, w.remote, []string{"greet"}, time.Millisecond, false)) // it has a container, and no queue
	w.fails(w.tool.drain(w.ctx, w.remote, []string{"slwo"}, time.Second, false), exitUsage, `did you mean "slow"?`)
	close(release)
	w.told()
	w.must(w.tool.drain(w.ctx, w.remote, []string{"slow"}, time.Minute, false))
	w.must(w.tool.drain(w.ctx, w.remote, nil, time.Minute, true))
	w.match(w.printed(), "{\n  \"drained\": true,\n  \"left\": {}\n}\n")
	w.match(w.told(), "drained: nothing waits on the bus for slow\n")
}

func TestBusPublish(t *testing.T) {
	w := newWorld(t)
	w.must(w.registry.Announce(w.ctx, registry.Entry{Name: "agent", Instance: "i"}))
	got := make(chan bus.Message, 10)
	keep := func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		got <- m
		return nil, nil
	}
	w.consume("greet", []string{"orders.*"}, keep)
	send := func(topic string, force bool, args ...string) (string, error) {
		m, err := w.tool.message(args, topic, false)
		if err == nil {
			err = w.tool.publish(w.ctx, w.remote, m, force, false)
		}
		return strings.TrimSpace(w.printed()), err
	}
	id, err := send("", false, "greet", "hello", "you")
	w.must(err)
	if m := <-got; m.ID != id || string(m.Payload) != `"hello you"` || m.Sender != "cli" || m.SessionID == "" || m.Type != "input" {
		t.Errorf("%+v", m)
	}
	id, err = send("orders.new", false, "1")
	w.must(err)
	if m := <-got; m.ID != id || m.Type != "orders.new" {
		t.Errorf("%+v", m)
	}
	// What comes to nothing is told, with another exit code.
	w.told()
	id, err = send("nobody.cares", false, "1")
	w.fails(err, exitFailed)
	if id == "" {
		t.Error("it has no id")
	}
	w.match(w.told(), "note: nobody subscribes to the topic \"nobody.cares\": the message is dropped\n")
	block, entered := make(chan struct{}), make(chan struct{}, 10)
	consumer, stop := context.WithCancel(w.ctx)
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- w.bus.Consume(consumer, bus.Consumer{Component: "tight", Topics: []string{"narrow"}, QueueLimit: 1, Overflow: bus.Divert,
			Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
				entered <- struct{}{}
				<-block
				return nil, nil
			}}, func() { close(ready) })
	}()
	w.wait("the consumer", ready)
	_, err = send("", false, "tight", "x")
	w.must(err)
	w.wait("the call", entered)
	_, err = send("", false, "tight", "y")
	w.fails(err, exitFailed)
	w.match(w.told(), "note: the queue of tight is full: the message went to its dead letters; ‹…›\n")
	m, err := w.tool.message([]string{"z"}, "narrow", false)
	w.must(err)
	w.fails(w.tool.publish(w.ctx, w.remote, m, false, true), exitFailed)
	var p published
	w.must(json.Unmarshal([]byte(w.printed()), &p))
	if len(p.DeadLetters) != 1 || p.DeadLetters[0] != "tight" || p.Dropped || p.MessageID != m.ID {
		t.Errorf("%+v", p)
	}
	close(block)
	stop()
	w.must(<-ended)
	_, err = send("", false, "agnet", "x")
	w.fails(err, exitUsage, `neither the bus nor the registry knows a component "agnet"`, `did you mean "agent"?`)
	_, err = send("", false, "nothing-like-it", "x")
	w.fails(err, exitUsage, "there are: agent, greet, out, tight", "--force")
	if _, err = send("", true, "nothing-like-it", "x"); err != nil {
		t.Error(err)
	}
	_, err = send("orders.*", false, "x")
	w.fails(err, exitUsage, "only subscriptions may")
	_, err = send("", false)
	w.fails(err, exitUsage, "name the component or the topic")
}

func TestBusServices(t *testing.T) {
	w := newWorld(t)
	w.must(w.tool.services(w.ctx, w.remote, true))
	w.match(w.printed(), "[]\n")
	w.must(w.registry.Announce(w.ctx, registry.Entry{Name: "greet", Kind: "core", Type: "template", Instance: "i1", Address: "greet:8080",
		State: registry.Active, Started: time.Now().Add(-90 * time.Second), Load: 0.254, Capabilities: []string{"a", "b"}}))
	w.must(w.registry.Announce(w.ctx, registry.Entry{Name: "bare", Instance: "i2"}))
	w.must(w.tool.services(w.ctx, w.remote, false))
	w.match(w.printed(), `
NAME    KIND            STATE    LOAD   UP      ADDRESS      INSTANCE   CAPABILITIES
bare    -               -        0%     -       -            i2         -
greet   core template   active   25%    1m30s   greet:8080   i1         a, b
`)
	w.must(w.tool.services(w.ctx, w.remote, true))
	var entries []registry.Entry
	w.must(json.Unmarshal([]byte(w.printed()), &entries))
	if len(entries) != 2 || entries[1].Address != "greet:8080" {
		t.Errorf("%+v", entries)
	}
}

func TestClipDead(t *testing.T) {
	all := []deadEntry{{ID: "1", Component: "a"}, {ID: "2", Component: "a"}, {ID: "3", Component: "a"}, {ID: "4", Component: "b"}, {ID: "5", Component: "b"}}
	kept, more := clipDead(all, 2)
	if len(kept) != 4 || kept[3].ID != "5" || len(more) != 1 || more[0] != "a" {
		t.Errorf("kept %v, more %v", kept, more)
	}
	if kept, more := clipDead(all, 3); len(kept) != 5 || len(more) != 0 {
		t.Errorf("kept %v, more %v", kept, more)
	}
}
