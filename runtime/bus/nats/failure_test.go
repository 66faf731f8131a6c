package nats_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/nats/embedded"
)

// A replica that is cut off in the middle of a message loses it to another,
// and what it finishes afterwards is void, whatever became of the message.
func TestTakeover(t *testing.T) {
	for name, heir := range map[string]error{"handled": nil, "given up": bus.Permanent(errors.New("no"))} {
		t.Run(name, func(t *testing.T) {
			server := start(t, embedded.Options{})
			proxy := bustest.NewProxy(t, server.Addr())
			zombie := open(t, fast("nats://"+proxy.Addr, "p"))
			b := open(t, fast(server.URL(), "p"))
			out := sink(t, b, "out")
			entered, gate := make(chan string, 10), make(chan struct{})
			stopZombie := consume(t, zombie, bus.Consumer{Component: "a", Instance: "zombie",
				Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
					entered <- "zombie"
					<-gate
					return []bus.Message{message("out", 1)}, nil
				}})
			m := message("a", 1)
			m.SessionID = "s"
			publish(t, b, m)
			if who := receive(t, entered, "the first call"); who != "zombie" {
				t.Fatalf("called %s", who)
			}
			proxy.Cut()
			consume(t, b, bus.Consumer{Component: "a", Instance: "heir",
				Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
					entered <- "heir"
					return []bus.Message{message("out", 2)}, heir
				}})
			if who := receive(t, entered, "the takeover"); who != "heir" {
				t.Fatalf("called %s", who)
			}
			drained(t, b)
			proxy.Mend()
			close(gate)
			stopZombie() // ends when the zombie has told the bus what it did
			drained(t, b)
			want := 1
			if heir != nil {
				want = 0
			}
			if len(out) != want {
				t.Errorf("%d outputs, want %d", len(out), want)
			}
		})
	}
}

// A handler may take longer than the lease as long as its replica lives.
func TestLongHandlerKeepsMessage(t *testing.T) {
	o := fast(start(t, embedded.Options{MemoryOnly: true}).URL(), "p")
	b, other := open(t, o), open(t, o)
	calls := make(chan struct{}, 10)
	c := bus.Consumer{Component: "a", Instance: "1", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
		calls <- struct{}{}
		<-time.After(3 * o.Lease) // what is tested is that time passes
		return nil, nil
	}}
	consume(t, b, c)
	c.Instance = "2"
	consume(t, other, c)
	publish(t, b, message("a", 1))
	receive(t, calls, "the call")
	drained(t, b)
	if len(calls) > 0 {
		t.Error("handled twice")
	}
}

// The server is killed again and again: what was published is handled, in
// order, and publishers and consumers go on by themselves.
func TestRestartLosesNothing(t *testing.T) {
	server := bustest.NewNATS(t)
	b, other := open(t, fast(server.URL, "p")), open(t, fast(server.URL, "p"))
	out := sink(t, b, "out")
	const n, kills, sessions = 300, 3, 7
	for i, replica := range []bus.Bus{b, other} {
		consume(t, replica, bus.Consumer{Component: "a", Instance: fmt.Sprint(i), Concurrency: 4,
			Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
				return []bus.Message{{Target: "out", Payload: m.Payload}}, nil
			}})
	}
	published := make(chan error, 1)
	progress := make(chan int, n)
	go func() {
		for i := range n {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			m := message("a", i)
			m.SessionID = fmt.Sprint("s", i%sessions)
			err := b.Publish(ctx, m)
			cancel()
			if err != nil {
				published <- fmt.Errorf("message %d: %w", i, err)
				return
			}
			progress <- i
		}
		published <- nil
	}()
	for i := 1; i <= kills; i++ {
		for receive(t, progress, "progress") < i*n/(kills+1) {
		}
		server.Kill()
		server.Start()
	}
	if err := receive(t, published, "the publisher"); err != nil {
		t.Fatal(err)
	}
	last := map[string]int{}
	for range n {
		m := receive(t, out, "an output")
		i := 0
		fmt.Sscan(string(m.Payload), &i)
		if before, ok := last[m.SessionID]; ok && i != before+sessions || !ok && i >= sessions {
			t.Errorf("session %s: %d after %d", m.SessionID, i, before)
		}
		last[m.SessionID] = i
	}
	drained(t, b)
	if len(out) > 0 {
		t.Errorf("%d outputs too many", len(out))
	}
}

// Messages that wait for a retry, or behind one, survive the death of all.
func TestRestartKeepsAllPlaces(t *testing.T) {
	server := bustest.NewNATS(t)
	proxy := bustest.NewProxy(t, server.Addr)
	o := fast("nats://"+proxy.Addr, "p")
	o.Backoff = bus.Backoff{Min: 3 * time.Second, Max: 3 * time.Second}
	dying := open(t, o)
	consume(t, dying, bus.Consumer{Component: "a", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
		return nil, errors.New("later")
	}})
	b := open(t, fast(server.URL, "p"))
	for i := range 3 {
		m := message("a", i)
		m.SessionID = "s"
		publish(t, b, m)
	}
	bustest.Until(t, "a retry with two behind it", func() bool {
		s, err := b.Stats(t.Context())
		return err == nil && s["a"].Depth == 3 && s["a"].Delayed == 1
	})
	proxy.Cut()
	server.Kill()
	server.Start()
	got := make(chan bus.Message, 10)
	consume(t, b, bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		got <- m
		return nil, nil
	}})
	for i := range 3 {
		m := receive(t, got, "a message")
		if want := map[bool]int{true: 1}[i == 0]; string(m.Payload) != fmt.Sprint(i) || m.RetryCount != want {
			t.Errorf("got %s with retry count %d, want %d with %d", m.Payload, m.RetryCount, i, want)
		}
	}
	drained(t, b)
}

// An answer that is given while the connection of whoever asked is lost is
// there when it is back.
func TestAnswerSurvivesReconnect(t *testing.T) {
	server := start(t, embedded.Options{})
	proxy := bustest.NewProxy(t, server.Addr())
	asking := open(t, fast("nats://"+proxy.Addr, "p"))
	b := open(t, fast(server.URL(), "p"))
	entered, gate := make(chan struct{}), make(chan struct{})
	consume(t, b, bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		close(entered)
		<-gate
		return []bus.Message{{Target: m.ReplyTo, Payload: m.Payload}}, nil
	}})
	r, err := asking.Request(t.Context(), message("a", 7))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	receive(t, entered, "the question")
	proxy.Cut()
	close(gate)
	drained(t, b)
	proxy.Mend()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if m, err := r.Next(ctx); err != nil || string(m.Payload) != "7" {
		t.Errorf("answer %s, %v", m.Payload, err)
	}
}

// A message whose replicas all die goes to the dead letters in the end; one
// that had nothing to do with it is handled.
func TestPoison(t *testing.T) {
	server := start(t, embedded.Options{})
	o := fast(server.URL(), "p")
	o.MaxDeliveries = 2
	survivor := open(t, o)
	publish(t, survivor, message("a", 1))
	for i := range 2 {
		proxy := bustest.NewProxy(t, server.Addr())
		po := o
		po.URL = "nats://" + proxy.Addr
		entered := make(chan struct{}, 1)
		gate := make(chan struct{})
		t.Cleanup(func() { close(gate) })
		consume(t, open(t, po), bus.Consumer{Component: "a", Instance: fmt.Sprint("victim", i), Grace: time.Millisecond,
			Handler: func(ctx context.Context, _ bus.Message) ([]bus.Message, error) {
				entered <- struct{}{}
				<-ctx.Done() // until the test ends it: the process is gone for the others
				return nil, ctx.Err()
			}})
		receive(t, entered, "the call of a victim")
		proxy.Cut()
	}
	var calls atomic.Int32
	consume(t, survivor, bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		if string(m.Payload) == "1" {
			t.Error("the poison is handled again")
		}
		calls.Add(1)
		return nil, nil
	}})
	publish(t, survivor, message("a", 2))
	bustest.Until(t, "the dead letter", func() bool {
		ds, err := survivor.DeadLetters(t.Context(), "a", 0)
		return err == nil && len(ds) == 1 && ds[0].Attempts == 2 && strings.Contains(ds[0].Error, "delivered 2 times")
	})
	drained(t, survivor)
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

// What isn't a message goes to the dead letters as it came, and can be
// discarded.
func TestUnreadable(t *testing.T) {
	url := start(t, embedded.Options{MemoryOnly: true}).URL()
	b := open(t, fast(url, "p"))
	got := sink(t, b, "a")
	if _, err := raw(t, url).Publish(t.Context(), "ww.p.q.a.3", []byte("rubbish")); err != nil {
		t.Fatal(err)
	}
	publish(t, b, message("a", 1))
	receive(t, got, "the message beside it")
	drained(t, b)
	ds, err := b.DeadLetters(t.Context(), "a", 0)
	if err != nil || len(ds) != 1 || string(ds[0].Message.Payload) != `"rubbish"` || !strings.Contains(ds[0].Error, "not a message") {
		t.Errorf("dead letters %+v, %v", ds, err)
	}
	if n, err := b.Discard(t.Context(), "a"); err != nil || n != 1 {
		t.Errorf("discarded %d, %v", n, err)
	}
}

// Nothing is left on the server but what must be.
func TestLeavesNothingBehind(t *testing.T) {
	url := start(t, embedded.Options{MemoryOnly: true}).URL()
	b := open(t, fast(url, "p"))
	stop := consume(t, b, bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		if m.RetryCount == 0 {
			return nil, errors.New("again")
		}
		return []bus.Message{{Target: m.ReplyTo, Payload: m.Payload}}, nil
	}})
	m := message("a", 1)
	m.SessionID = "s"
	r, err := b.Request(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	drained(t, b)
	stop()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	streams := raw(t, url).ListStreams(t.Context())
	for s := range streams.Info() {
		may := map[string]uint64{
			"ww_p_done": 1, "ww_p_trail": 2, // expire, or are few
			"KV_ww_p_parts": 1, "KV_ww_p_settings": 2, "KV_ww_p_totals": 1, // one for each component
			"KV_ww_p_replicas": 2, // who signed off
		}[s.Config.Name]
		if s.State.Msgs > may {
			t.Errorf("%s has %d messages", s.Config.Name, s.State.Msgs)
		}
		if s.State.Consumers > 0 {
			t.Errorf("%s has %d consumers", s.Config.Name, s.State.Consumers)
		}
	}
	if err := streams.Err(); err != nil {
		t.Error(err)
	}
}

// A replica that stops, or starts, loses no time waiting for a lease.
func TestHandsOverAtOnce(t *testing.T) {
	o := fast(start(t, embedded.Options{MemoryOnly: true}).URL(), "p")
	o.Lease = time.Hour
	b := open(t, o)
	for i := range 3 {
		publish(t, b, message("a", i))
		got := make(chan bus.Message, 1)
		stop := consume(t, b, bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			got <- m
			return nil, nil
		}})
		receive(t, got, "the message")
		stop()
	}
	drained(t, b)
}

func raw(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := natsgo.Connect(url)
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
