package bench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
)

const batch = 100

func client(t *testing.T, server *bustest.Redis) *goredis.Client {
	t.Helper()
	o, err := goredis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	o.PoolSize = publishers + 8
	o.ReadTimeout = patience
	return goredis.NewClient(o)
}

// flush empties the server, so that no round pays for another's memory.
func flush(t *testing.T, server *bustest.Redis) {
	t.Helper()
	c := client(t, server)
	defer c.Close()
	if err := c.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

// batches is what a server can do at the most with the usual client: writers
// that send a hundred entries in a round trip, and as many readers that take
// and acknowledge a hundred. Nothing is retried, ordered or deleted.
func batches(server *bustest.Redis, pairs int) system {
	return func(t *testing.T, n int) time.Duration {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := client(t, server)
		defer c.Close()
		const stream, group = "batches", "g"
		if err := c.XGroupCreateMkStream(ctx, stream, group, "0").Err(); err != nil {
			t.Fatal(err)
		}
		var acknowledged atomic.Int64
		arrived := make(chan struct{}, 1)
		var readers sync.WaitGroup
		reading, stop := context.WithCancel(ctx)
		for i := range pairs {
			readers.Go(func() {
				for reading.Err() == nil {
					k, err := readBatch(ctx, c, stream, group, string(rune('a'+i)))
					if err != nil {
						t.Errorf("read: %v", err)
						return
					}
					if acknowledged.Add(int64(k)) >= int64(n) && k > 0 {
						select {
						case arrived <- struct{}{}:
						default:
						}
					}
				}
			})
		}
		start := time.Now()
		writeBatches(ctx, t, c, stream, pairs, n)
		select {
		case <-arrived:
		case <-ctx.Done():
			t.Fatalf("acknowledged %d of %d", acknowledged.Load(), n)
		}
		took := time.Since(start)
		stop()
		readers.Wait()
		flush(t, server)
		return took
	}
}

func writeBatches(ctx context.Context, t *testing.T, c *goredis.Client, stream string, writers, n int) {
	text := payload()
	var next atomic.Int64
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for int(next.Add(batch)) <= n {
				pipe := c.Pipeline()
				for range batch {
					pipe.XAdd(ctx, &goredis.XAddArgs{Stream: stream, Values: []any{"m", text}})
				}
				if _, err := pipe.Exec(ctx); err != nil {
					t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
}

func readBatch(ctx context.Context, c *goredis.Client, stream, group, consumer string) (int, error) {
	got, err := c.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: group, Consumer: consumer, Streams: []string{stream, ">"},
		Count: batch, Block: 50 * time.Millisecond}).Result()
	if errors.Is(err, goredis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	ids := make([]string, len(got[0].Messages))
	for i, m := range got[0].Messages {
		ids[i] = m.ID
	}
	return len(ids), c.XAck(ctx, stream, group, ids...).Err()
}

// watermillBus is a peer as its manual shows it: each message is published
// when Publish returns, and the next is read when one is acknowledged.
func watermillBus(server *bustest.Redis) system {
	return func(t *testing.T, n int) time.Duration {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		const topic, group = "watermill", "g"
		c := client(t, server)
		pub, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: c}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer pub.Close()
		sub, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{Client: client(t, server), ConsumerGroup: group,
			DisableIndefiniteInitialBlock: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		got, err := sub.Subscribe(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var all sync.WaitGroup
		var next atomic.Int64
		text := payload()
		for range publishers {
			all.Go(func() {
				for int(next.Add(1)) <= n {
					if err := pub.Publish(topic, message.NewMessage(watermill.NewUUID(), text)); err != nil {
						t.Errorf("publish: %v", err)
						return
					}
				}
			})
		}
		for range n {
			select {
			case m := <-got:
				m.Ack()
			case <-ctx.Done():
				t.Fatal("messages are missing")
			}
		}
		all.Wait()
		bustest.Until(t, "the last acknowledgement", func() bool {
			p, err := c.XPending(ctx, topic, group).Result()
			return err == nil && p.Count == 0
		})
		took := time.Since(start)
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
		flush(t, server)
		return took
	}
}

// bareTrips is a request by hand: two entries, and someone on either side who
// blocks until the other's is there.
func bareTrips(server *bustest.Redis) trips {
	return func(t *testing.T, n int) []time.Duration {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		asks, answers := client(t, server), client(t, server)
		defer asks.Close()
		question, answer := "ask"+bus.NewID(), "answer"+bus.NewID()
		ended := make(chan error, 1)
		go func() {
			last := "0"
			for range n + n/10 {
				var text string
				var err error
				if last, text, err = readOne(ctx, answers, question, last); err == nil {
					err = add(ctx, answers, answer, text)
				}
				if err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
		text, last := string(payload()), "0"
		out := timed(t, n, func() error {
			if err := add(ctx, asks, question, text); err != nil {
				return err
			}
			var err error
			last, _, err = readOne(ctx, asks, answer, last)
			return err
		})
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if err := answers.Close(); err != nil {
			t.Error(err)
		}
		flush(t, server)
		return out
	}
}

func add(ctx context.Context, c *goredis.Client, stream, text string) error {
	return c.XAdd(ctx, &goredis.XAddArgs{Stream: stream, Values: []any{"m", text}}).Err()
}

func readOne(ctx context.Context, c *goredis.Client, stream, after string) (id, text string, err error) {
	got, err := c.XRead(ctx, &goredis.XReadArgs{Streams: []string{stream, after}, Count: 1, Block: patience}).Result()
	if err != nil {
		return "", "", err
	}
	m := got[0].Messages[0]
	text, _ = m.Values["m"].(string) // it was written as one
	return m.ID, text, nil
}
