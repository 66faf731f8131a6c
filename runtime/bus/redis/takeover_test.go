package redis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
)

// What a zombie finishes isn't sent once another replica has given the message
// up for good.
func TestZombieOfDeadLetter(t *testing.T) {
	server := bustest.NewRedis(t)
	proxy := bustest.NewProxy(t, server.Addr)
	zombie := open(t, fast("redis://"+proxy.Addr, "p"))
	b := open(t, fast(server.URL, "p"))
	out := sink(t, b, "out")
	entered, gate := make(chan struct{}), make(chan struct{})
	stop := consume(t, zombie, bus.Consumer{Component: "a", Instance: "zombie",
		Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
			close(entered)
			<-gate
			return []bus.Message{message("out", 1)}, nil
		}})
	publish(t, b, message("a", 1))
	receive(t, entered, "the first call")
	proxy.Cut()
	consume(t, b, bus.Consumer{Component: "a", Instance: "heir",
		Handler: func(context.Context, bus.Message) ([]bus.Message, error) {
			return nil, bus.Permanent(errors.New("no"))
		}})
	bustest.Until(t, "the dead letter", func() bool {
		ds, err := b.DeadLetters(t.Context(), "a", 0)
		return err == nil && len(ds) == 1
	})
	proxy.Mend()
	close(gate)
	stop()
	drained(t, b)
	if len(out) > 0 {
		t.Error("a dead letter has an output")
	}
}

// Being stopped in the middle of a message doesn't bring it nearer to the
// limit of deliveries, which is for those that kill their process.
func TestStopIsNoDelivery(t *testing.T) {
	o := fast(bustest.StartRedis(t), "p")
	o.MaxDeliveries = 1
	b := open(t, o)
	publish(t, b, message("a", 1))
	for range 3 {
		entered := make(chan struct{}, 1)
		stop := consume(t, b, bus.Consumer{Component: "a", Grace: time.Millisecond,
			Handler: func(ctx context.Context, _ bus.Message) ([]bus.Message, error) {
				entered <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}})
		receive(t, entered, "the call")
		stop()
	}
	receive(t, sink(t, b, "a"), "the message")
	drained(t, b)
}

// A replica that crashed and is back under its name goes on with what it had.
func TestSameInstanceIsBack(t *testing.T) {
	server := bustest.NewRedis(t)
	proxy := bustest.NewProxy(t, server.Addr)
	crashed := open(t, fast("redis://"+proxy.Addr, "p"))
	b := open(t, fast(server.URL, "p"))
	entered := make(chan struct{}, 1)
	consume(t, crashed, bus.Consumer{Component: "a", Instance: "one", Grace: time.Millisecond,
		Handler: func(ctx context.Context, _ bus.Message) ([]bus.Message, error) {
			entered <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}})
	publish(t, b, message("a", 1))
	receive(t, entered, "the first call")
	proxy.Cut()
	got := make(chan bus.Message, 1)
	consume(t, b, bus.Consumer{Component: "a", Instance: "one",
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			got <- m
			return nil, nil
		}})
	receive(t, got, "the message that was in flight")
	drained(t, b)
}

// A message whose delivery is lost on the way is delivered again.
func TestLostDelivery(t *testing.T) {
	server := bustest.NewRedis(t)
	proxy := bustest.NewProxy(t, server.Addr)
	behind := open(t, fast("redis://"+proxy.Addr, "p"))
	b := open(t, fast(server.URL, "p"))
	publish(t, b, message("a", 1))
	lost := proxy.LoseReply("xread")
	got := sink(t, behind, "a")
	receive(t, lost, "the loss of the delivery")
	if m := receive(t, got, "the message"); string(m.Payload) != "1" {
		t.Errorf("got %s", m.Payload)
	}
	drained(t, b)
}

// Only the message that ends its process goes to the dead letters, and not
// those that were in flight beside it each time.
func TestPoisonAmongOthers(t *testing.T) {
	server := bustest.NewRedis(t)
	o := fast(server.URL, "p")
	o.Lease, o.MaxDeliveries = 200*time.Millisecond, 3
	survivor := open(t, o)
	const others = 4
	publish(t, survivor, message("a", 0)) // the poison
	for i := range others {
		publish(t, survivor, message("a", i+1))
	}
	handled := make(chan string, 2*others)
	for round := range 3 {
		proxy := bustest.NewProxy(t, server.Addr)
		po := o
		po.URL = "redis://" + proxy.Addr
		poisoned, busy := make(chan struct{}, 1), make(chan struct{}, others)
		consume(t, open(t, po), bus.Consumer{Component: "a", Grace: time.Millisecond, Concurrency: others + 1,
			Handler: func(ctx context.Context, m bus.Message) ([]bus.Message, error) {
				switch {
				case string(m.Payload) == "0":
					poisoned <- struct{}{}
				case round < 2:
					busy <- struct{}{}
				default:
					handled <- string(m.Payload)
					return nil, nil
				}
				<-ctx.Done() // until the test ends it: the process is gone for the others
				return nil, ctx.Err()
			}})
		receive(t, poisoned, "the poison")
		for range others {
			if round < 2 {
				receive(t, busy, "those beside it")
			}
		}
		proxy.Cut()
	}
	consume(t, survivor, bus.Consumer{Component: "a", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		handled <- string(m.Payload)
		return nil, nil
	}})
	for range others {
		if p := receive(t, handled, "one of the others"); p == "0" {
			t.Error("the poison was handled again")
		}
	}
	drained(t, survivor)
	ds, err := survivor.DeadLetters(t.Context(), "a", 0)
	if err != nil || len(ds) != 1 || string(ds[0].Message.Payload) != "0" {
		t.Errorf("dead letters %+v, %v; want the poison alone", ds, err)
	}
	if len(handled) > 0 {
		t.Error("handled twice")
	}
}

// Publishers learn of a component's topics again where the server lost all but
// what a heartbeat has written since.
func TestLossBetweenHeartbeatAndTopics(t *testing.T) {
	url := bustest.StartRedis(t)
	b, c := open(t, fast(url, "p")), raw(t, url)
	got := make(chan bus.Message, 10)
	consume(t, b, bus.Consumer{Component: "a", Topics: []string{"t"},
		Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
			got <- m
			return nil, nil
		}})
	leases, err := c.HGetAll(t.Context(), "ww:{p}:lease:a").Result()
	if err != nil || len(leases) != 16 {
		t.Fatalf("leases %v, %v", leases, err)
	}
	_, err = c.TxPipelined(t.Context(), func(p goredis.Pipeliner) error {
		p.FlushAll(t.Context())
		p.HSet(t.Context(), "ww:{p}:lease:a", leases)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "the topics", func() bool { return c.HExists(t.Context(), "ww:{p}:subs", "a").Val() })
	publish(t, b, bus.Message{Pattern: bus.PublishSubscribe, Type: "t", Payload: json.RawMessage("1")})
	receive(t, got, "a message on the topic")
	drained(t, b)
}

// They learn of them, too, while what follows a heartbeat fails.
func TestLossAndFailureAfterHeartbeat(t *testing.T) {
	url := bustest.StartRedis(t)
	b, c := open(t, fast(url, "p")), raw(t, url)
	got := sink(t, b, "a", "t")
	_, err := c.TxPipelined(t.Context(), func(p goredis.Pipeliner) error {
		p.FlushAll(t.Context())
		for i := range 16 {
			p.Set(t.Context(), fmt.Sprint("ww:{p}:heads:a:", i), "it can't be read", 0)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "the topics", func() bool { return c.HExists(t.Context(), "ww:{p}:subs", "a").Val() })
	publish(t, b, bus.Message{Pattern: bus.PublishSubscribe, Type: "t", Payload: json.RawMessage("1")})
	for i := range 16 {
		if err := c.Del(t.Context(), fmt.Sprint("ww:{p}:heads:a:", i)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, got, "a message on the topic")
	drained(t, b)
}

// Counting doesn't read the subscriptions where they haven't changed.
func TestStatsKeepSubscriptions(t *testing.T) {
	url := bustest.StartRedis(t)
	b, c := open(t, fast(url, "p")), raw(t, url)
	limit := func(want int64) {
		t.Helper()
		s, err := b.Stats(t.Context())
		if err != nil || s["a"].Limit != want {
			t.Fatalf("%+v, %v; want the limit %d", s, err, want)
		}
	}
	c.SAdd(t.Context(), "ww:{p}:queues", "a")
	enter := func(n int) {
		t.Helper()
		_, err := c.TxPipelined(t.Context(), func(p goredis.Pipeliner) error {
			p.HSet(t.Context(), "ww:{p}:subs", "a", fmt.Sprintf(`{"limit":%d}`, n))
			p.Incr(t.Context(), "ww:{p}:version")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	enter(1)
	limit(1)
	if err := c.ConfigResetStat(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	limit(1)
	if info := c.Info(t.Context(), "commandstats").Val(); strings.Contains(info, "hgetall") {
		t.Errorf("the subscriptions were read: %s", info)
	}
	enter(2)
	limit(2)
}
