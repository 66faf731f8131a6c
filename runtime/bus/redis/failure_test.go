package redis_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/redis"
)

// A replica that is cut off in the middle of a message loses it to another,
// and what it finishes afterwards is void.
func TestTakeover(t *testing.T) {
	server := bustest.NewRedis(t)
	proxy := bustest.NewProxy(t, server.Addr)
	zombie := open(t, fast("redis://"+proxy.Addr, "p"))
	b := open(t, fast(server.URL, "p"))
	out := sink(t, b, "out")
	entered, gate := make(chan string, 10), make(chan struct{})
	handler := func(name string, wait <-chan struct{}) bus.Handler {
		return func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			entered <- name
			<-wait
			return []bus.Message{message("out", 1)}, nil
		}
	}
	stopZombie := consume(t, zombie, bus.Consumer{Component: "a", Instance: "zombie", Handler: handler("zombie", gate)})
	m := message("a", 1)
	m.SessionID = "s"
	publish(t, b, m)
	if who := receive(t, entered, "the first call"); who != "zombie" {
		t.Fatalf("called %s", who)
	}
	proxy.Cut()
	open := make(chan struct{})
	close(open)
	consume(t, b, bus.Consumer{Component: "a", Instance: "heir", Handler: handler("heir", open)})
	if who := receive(t, entered, "the takeover"); who != "heir" {
		t.Fatalf("called %s", who)
	}
	receive(t, out, "the output")
	drained(t, b)
	proxy.Mend()
	close(gate)
	stopZombie() // ends when the zombie has told the bus what it did
	drained(t, b)
	select {
	case m := <-out:
		t.Errorf("the zombie's output is there as well: %+v", m)
	default:
	}
}

// A handler may take longer than the lease as long as its replica lives.
func TestLongHandlerKeepsMessage(t *testing.T) {
	url := bustest.StartRedis(t)
	o := fast(url, "p")
	o.Lease = 200 * time.Millisecond
	b, other := open(t, o), open(t, o)
	calls := make(chan struct{}, 10)
	c := bus.Consumer{Component: "a", Instance: "1", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
		calls <- struct{}{}
		<-time.After(4 * o.Lease) // what is tested is that time passes
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

// Redis is killed again and again; with its log on, what was published is
// handled, and publishers and consumers go on by themselves.
func TestRestartLosesNothing(t *testing.T) {
	server := bustest.NewRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	b := open(t, fast(server.URL, "p"))
	other := open(t, fast(server.URL, "p"))
	out := sink(t, other, "out")
	consume(t, other, bus.Consumer{Component: "a", Concurrency: 4,
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			return []bus.Message{{Target: "out", Payload: m.Payload}}, nil
		}})
	const n, kills = 300, 3
	published := make(chan error, 1)
	progress := make(chan int, n)
	go func() {
		for i := range n {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			err := b.Publish(ctx, message("a", i))
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
	seen := map[string]int{}
	for len(seen) < n {
		seen[string(receive(t, out, "an output").Payload)]++
	}
	drained(t, b)
	if len(out) > 0 {
		t.Errorf("%d outputs too many", len(out))
	}
	for payload, times := range seen {
		if times != 1 {
			t.Errorf("output %s came %d times", payload, times)
		}
	}
}

// Messages in flight, waiting for a retry or behind one survive a restart too.
func TestRestartKeepsAllPlaces(t *testing.T) {
	server := bustest.NewRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	o := fast(server.URL, "p")
	o.Backoff = bus.Backoff{Min: time.Second, Max: time.Second}
	b := open(t, o)
	got := make(chan string, 10)
	consume(t, b, bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		if m.RetryCount == 0 && string(m.Payload) == "0" {
			return nil, errors.New("later")
		}
		got <- string(m.Payload)
		return nil, nil
	}})
	for i := range 3 {
		m := message("a", i)
		m.SessionID = "s"
		publish(t, b, m)
	}
	bustest.Until(t, "a retry with two behind it", func() bool {
		s, err := b.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s["a"].Depth == 3 && s["a"].Delayed == 1
	})
	server.Kill()
	server.Start()
	for i := range 3 {
		if v := receive(t, got, "a message"); v != fmt.Sprint(i) {
			t.Errorf("got %s, want %d", v, i)
		}
	}
	drained(t, b)
}

// A publish whose reply is lost is on the queue twice and handled once.
func TestLostReply(t *testing.T) {
	server := bustest.NewRedis(t)
	proxy := bustest.NewProxy(t, server.Addr)
	b := open(t, fast("redis://"+proxy.Addr, "p"))
	direct := open(t, fast(server.URL, "p"))
	lost := proxy.LoseReply("xadd")
	publish(t, b, message("a", 1))
	receive(t, lost, "the loss of the reply")
	if s, err := direct.Stats(t.Context()); err != nil || s["a"].Depth != 2 {
		t.Fatalf("on the queue: %+v, %v; want two copies", s, err)
	}
	got := sink(t, direct, "a")
	receive(t, got, "the message")
	drained(t, direct)
	if len(got) > 0 {
		t.Error("handled twice")
	}
}

// A message whose replicas all die goes to the dead letters in the end.
func TestPoison(t *testing.T) {
	server := bustest.NewRedis(t)
	o := fast(server.URL, "p")
	o.Lease, o.MaxDeliveries = 200*time.Millisecond, 2
	survivor := open(t, o)
	publish(t, survivor, message("a", 1))
	for i := range 2 {
		proxy := bustest.NewProxy(t, server.Addr)
		po := o
		po.URL = "redis://" + proxy.Addr
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
	consume(t, survivor, bus.Consumer{Component: "a", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
		t.Error("the poison is handled again")
		return nil, nil
	}})
	bustest.Until(t, "the dead letter", func() bool {
		ds, err := survivor.DeadLetters(t.Context(), "a", 0)
		return err == nil && len(ds) == 1 && ds[0].Attempts == 2 && strings.Contains(ds[0].Error, "delivered 2 times")
	})
	drained(t, survivor)
}

// What isn't a message goes to the dead letters as it came.
func TestUnreadable(t *testing.T) {
	url := bustest.StartRedis(t)
	b := open(t, fast(url, "p"))
	got := sink(t, b, "a")
	if err := raw(t, url).XAdd(t.Context(), &goredis.XAddArgs{Stream: "ww:{p}:q:a:7", Values: []any{"m", "rubbish"}}).Err(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, message("a", 1))
	receive(t, got, "the message behind it")
	drained(t, b)
	ds, err := b.DeadLetters(t.Context(), "a", 0)
	if err != nil || len(ds) != 1 || string(ds[0].Message.Payload) != `"rubbish"` || !strings.Contains(ds[0].Error, "not a message") {
		t.Errorf("dead letters %+v, %v", ds, err)
	}
}

// After all data is lost, consumers make their queues anew and say so.
func TestDataLoss(t *testing.T) {
	url := bustest.StartRedis(t)
	var log bytes.Buffer
	o := fast(url, "p")
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	b := open(t, o)
	got := make(chan bus.Message, 10)
	stop := consume(t, b, bus.Consumer{Component: "a", Topics: []string{"t"},
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			got <- m
			return nil, nil
		}})
	if err := raw(t, url).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, message("a", 1))
	receive(t, got, "a message after the loss")
	publish(t, b, bus.Message{Pattern: bus.PublishSubscribe, Type: "t", Payload: json.RawMessage("2")})
	receive(t, got, "a message on the topic")
	drained(t, b)
	stop()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "lost data") {
		t.Errorf("log: %s", log.String())
	}
}

// Nothing is left on the server but what must be.
func TestLeavesNothingBehind(t *testing.T) {
	url := bustest.StartRedis(t)
	b := open(t, fast(url, "p"))
	stop := consume(t, b, bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
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
	c := raw(t, url)
	keys, err := c.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		switch {
		case slices.Contains([]string{"ww:{p}:queues", "ww:{p}:subs", "ww:{p}:version", "ww:{p}:trail", "ww:{p}:lease:a", "ww:{p}:counts:a"}, k):
		case strings.HasPrefix(k, "ww:{p}:q:a:"):
			if n := c.XLen(t.Context(), k).Val(); n != 0 {
				t.Errorf("%s has %d entries", k, n)
			}
		case k == "ww:{p}:done:a", k == "ww:{p}:sweep":
			if ttl := c.TTL(t.Context(), k).Val(); ttl <= 0 {
				t.Errorf("%s doesn't expire", k)
			}
		default:
			t.Errorf("left behind: %s", k)
		}
	}
	for p := range 16 {
		if owner := c.HGet(t.Context(), "ww:{p}:lease:a", fmt.Sprint(p)).Val(); !strings.HasSuffix(owner, " ") {
			t.Errorf("partition %d is still leased to %q", p, owner)
		}
	}
}

// An idle consumer ends at once, though it blocks in a read.
func TestStopsAtOnce(t *testing.T) {
	b := open(t, redis.Options{URL: bustest.StartRedis(t)})
	stop := consume(t, b, bus.Consumer{Component: "a", Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
		return nil, nil
	}})
	start := time.Now()
	stop()
	if d := time.Since(start); d > 500*time.Millisecond {
		t.Errorf("took %s", d)
	}
}
