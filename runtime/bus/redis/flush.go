package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// flusher sends what several goroutines publish at the same time in one round
// trip.
type flusher struct {
	bus   *Bus
	batch *batcher[*commit]
	used  sync.Pool // of *commit

	mu     sync.Mutex
	queues map[string]*[partitions]any // streams, as arguments, of components that are in the set of queues
}

// commit is what one caller sends. It is the flusher's from send until its
// result.
type commit struct {
	messages []outgoing
	one      [1]outgoing // messages, where it is one
	result   chan error  // with room for one
	began    time.Time
}

func newFlusher(b *Bus) *flusher {
	size := func(c *commit) (n, bytes int) {
		for i := range c.messages {
			bytes += len(c.messages[i].body)
		}
		return len(c.messages), bytes
	}
	f := &flusher{bus: b, batch: newBatcher(0.5, time.Millisecond, size), queues: map[string]*[partitions]any{}}
	f.batch.two = true
	f.batch.drop = func(c *commit) { c.result <- bus.ErrClosed }
	return f
}

// send returns when the server has the messages, or the bus is closed. After an
// error it may have some; c may be sent again unless ctx is done.
func (f *flusher) send(ctx context.Context, c *commit) error {
	f.batch.add(c, false)
	select {
	case err := <-c.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run works until done is closed.
func (f *flusher) run(ctx context.Context, done <-chan struct{}) {
	f.batch.run(done, func(batch []*commit) { f.deliver(ctx, batch) })
}

// deliver sends a batch by the routes that are known, and once more what they
// missed.
func (f *flusher) deliver(ctx context.Context, batch []*commit) {
	errs := make([]error, len(batch))
	r := f.bus.known()
	for {
		version, err := f.exec(ctx, r, batch, errs)
		if err == nil && version != r.version {
			if r, err = f.bus.loadRoutes(ctx); err == nil {
				continue
			}
		}
		if err == nil {
			err = f.countDropped(ctx, batch, errs)
		}
		if err != nil { // the server may have lost what it had
			f.mu.Lock()
			clear(f.queues)
			f.mu.Unlock()
			f.bus.routes.Store(unknown)
		}
		for i, c := range batch {
			if errs[i] == nil {
				errs[i] = err
			}
			c.result <- errs[i]
		}
		return
	}
}

// exec is one round trip. It returns the version of the routes on the server,
// and an error where it is not known what arrived.
func (f *flusher) exec(ctx context.Context, r *routes, batch []*commit, errs []error) (string, error) {
	pipe := f.bus.client.Pipeline()
	version := pipe.Get(ctx, f.bus.keys.version())
	sent := make([]sending, 0, len(batch))
	for i, c := range batch {
		for j := range c.messages {
			if errs[i] == nil {
				sent = f.queue(ctx, pipe, r, i, &c.messages[j], sent)
			}
		}
	}
	_, _ = pipe.Exec(ctx) // the error of the first command that failed: each has its own
	if err := version.Err(); err != nil && err != redis.Nil {
		return "", err
	}
	for _, s := range sent {
		if err := s.outcome(r); err != nil {
			errs[s.commit] = err
			if !errors.Is(err, bus.ErrFull) {
				f.bus.routes.Store(unknown) // the server may have lost what it had
			}
			continue
		}
		if s.receiver == "" {
			s.message.tailed = true
		} else {
			s.message.arrived = append(s.message.arrived, s.receiver)
		}
	}
	return versionOf(version), nil
}

// sending is a message in a pipeline.
type sending struct {
	commit   int
	message  *outgoing
	receiver string // empty for the copy that watchers get
	cmd      redis.Cmder
}

func (s *sending) outcome(r *routes) error {
	if err := s.cmd.Err(); err != nil {
		return err
	}
	if limited, ok := s.cmd.(*redis.Cmd); ok {
		if n, err := limited.Int(); err == nil && n == 0 {
			return &fullError{s.receiver, r.subs[s.receiver].Limit}
		}
	}
	return nil
}

// queue adds what is to be sent for a message that hasn't arrived yet.
func (f *flusher) queue(ctx context.Context, pipe redis.Pipeliner, r *routes, commit int, o *outgoing, sent []sending) []sending {
	if r.tailing && !o.tailed {
		cmd := redis.NewStringCmd(ctx, "xadd", f.bus.keys.tail(), "maxlen", "~", "1000", "*", "m", o.body)
		_ = pipe.Process(ctx, cmd) // it only collects
		sent = append(sent, sending{commit, o, "", cmd})
	}
	if o.message.Pattern == bus.PointToPoint {
		if len(o.arrived) == 0 {
			sent = append(sent, sending{commit, o, o.message.Target, f.add(ctx, pipe, r, o.message.Target, o)})
		}
	} else {
		for _, receiver := range r.subscribers(o.message.Type) {
			if !o.reached(receiver) {
				sent = append(sent, sending{commit, o, receiver, f.add(ctx, pipe, r, receiver, o)})
			}
		}
	}
	return sent
}

func (f *flusher) add(ctx context.Context, pipe redis.Pipeliner, r *routes, receiver string, o *outgoing) redis.Cmder {
	keys := f.bus.keys
	if instance, _, ok := bus.ParseInbox(receiver); ok {
		cmd := xadd(ctx, keys.inbox(instance), o.body)
		_ = pipe.Process(ctx, cmd)
		pipe.Expire(ctx, keys.inbox(instance), inboxTTL)
		return cmd
	}
	if s := r.subs[receiver]; s.Limit > 0 && (!o.unlimited || s.Overflow == bus.Divert) {
		inbox, reply := errorReply(&o.message, receiver, errFull(s.Limit))
		return f.bus.scripts.add.EvalSha(ctx, pipe, []string{keys.version()}, string(keys),
			receiver, partition(&o.message), o.body, s.Limit, flag(s.Overflow == bus.Divert), inbox, reply)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	streams := f.queues[receiver]
	if streams == nil {
		streams = new([partitions]any)
		for p := range streams {
			streams[p] = keys.stream(receiver, p)
		}
		f.queues[receiver] = streams
		pipe.SAdd(ctx, keys.queues(), receiver)
	}
	stream := streams[partition(&o.message)]
	var cmd *redis.StringCmd
	if o.message.Pattern == bus.PointToPoint {
		cmd = o.xadd(stream)
	} else {
		cmd = xadd(ctx, stream, o.body)
	}
	_ = pipe.Process(ctx, cmd)
	return cmd
}

func xadd(ctx context.Context, stream any, body []byte) *redis.StringCmd {
	return redis.NewStringCmd(ctx, "xadd", stream, "*", "m", body)
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// countDropped counts messages on topics that nobody wants.
func (f *flusher) countDropped(ctx context.Context, batch []*commit, errs []error) error {
	dropped := int64(0)
	for i, c := range batch {
		for j := range c.messages {
			if errs[i] == nil && len(c.messages[j].arrived) == 0 {
				dropped++
			}
		}
	}
	if dropped == 0 {
		return nil
	}
	return f.bus.client.IncrBy(ctx, f.bus.keys.dropped(), dropped).Err()
}
