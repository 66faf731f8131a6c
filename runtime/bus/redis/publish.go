package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// sealed is a message in its wire form.
type sealed struct {
	message bus.Message // without its payload
	body    []byte
}

func seal(ms []bus.Message) ([]sealed, error) {
	now := time.Now()
	out := make([]sealed, len(ms))
	for i, m := range ms {
		if err := out[i].seal(m, now); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *sealed) seal(m bus.Message, now time.Time) (err error) {
	s.message = m
	s.message.Prepare(now)
	s.body, err = bus.AppendEncode(s.body[:0], &s.message)
	s.message.Payload = nil
	return err
}

// outgoing is a message on its way, and where it has arrived.
type outgoing struct {
	sealed
	cmd       *redis.StringCmd // that puts it on the one queue that it goes to
	arrived   []string
	tailed    bool
	unlimited bool // a handler sends it
}

// MarshalBinary implements encoding.BinaryMarshaler, for the client: to give it
// the bytes themselves would take memory for each message.
func (s *sealed) MarshalBinary() ([]byte, error) { return s.body, nil }

// xadd returns the command that puts o on a queue. It is made once: o may be
// another message the next time.
func (o *outgoing) xadd(stream any) *redis.StringCmd {
	if o.cmd == nil {
		o.cmd = redis.NewStringCmd(context.Background(), "xadd", nil, "*", "m", &o.sealed)
	}
	o.cmd.Args()[1] = stream
	o.cmd.SetErr(nil)
	return o.cmd
}

func (o *outgoing) reached(receiver string) bool { return slices.Contains(o.arrived, receiver) }

// fullError says which queue has its limit.
type fullError struct {
	component string
	limit     int
}

func (e *fullError) Error() string {
	return fmt.Sprintf("the queue of %q has its limit of %d messages", e.component, e.limit)
}
func (e *fullError) Is(target error) bool { return target == bus.ErrFull }

// Publish implements bus.Bus.
func (b *Bus) Publish(ctx context.Context, ms ...bus.Message) error {
	if err := b.accepting(ctx); err != nil {
		return err
	}
	c, err := b.flush.newCommit(ms, bus.InHandler(ctx))
	if err != nil || len(ms) == 0 {
		return err
	}
	err = b.send(ctx, c)
	if err == nil { // else it may still be on its way
		b.flush.recycle(c)
	}
	return err
}

// newCommit seals messages. What a handler sends isn't held up by limits.
func (f *flusher) newCommit(ms []bus.Message, unlimited bool) (*commit, error) {
	c := f.commit(len(ms))
	for i := range ms {
		if err := c.messages[i].seal(ms[i], c.began); err != nil {
			return nil, err
		}
		c.messages[i].unlimited = unlimited
	}
	return c, nil
}

// commit returns an empty one for n messages.
func (f *flusher) commit(n int) *commit {
	c, _ := f.used.Get().(*commit)
	if c == nil {
		c = &commit{result: make(chan error, 1)}
	}
	c.began = time.Now()
	c.messages = c.one[:]
	if n != 1 {
		c.messages = make([]outgoing, n)
	}
	return c
}

// recycle takes back what has arrived, for the buffers in it.
func (f *flusher) recycle(c *commit) {
	const large = 64 << 10 // is left to the collector
	o := &c.one[0]
	body := o.body[:0]
	if cap(body) > large {
		body = nil
	}
	*o = outgoing{sealed: sealed{body: body}, cmd: o.cmd, arrived: o.arrived[:0]}
	c.messages = nil
	f.used.Put(c)
}

// send returns when the server has the messages. An attempt whose reply is
// lost may put a message on its queue twice: it keeps its id, so that it is
// handled once. Each attempt ends by itself, so that the time for all of them
// needs no timer.
func (b *Bus) send(ctx context.Context, c *commit) error {
	var end time.Time
	var last error // why the attempt before failed
	delay := bus.Backoff{Min: 5 * time.Millisecond, Max: time.Second}
	for n := 1; ; n++ {
		err := b.flush.send(ctx, c)
		if err == nil || errors.Is(err, bus.ErrClosed) {
			return err
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) && last != nil {
			return fmt.Errorf("publish: %w (gave up: %w)", b.explain(last), ctx.Err())
		}
		if !passing(err) {
			return fmt.Errorf("publish: %w", b.explain(err))
		}
		last = err
		if _, ok := ctx.Deadline(); !ok && end.IsZero() {
			end = c.began.Add(bus.DefaultPublishWait)
		}
		wait := delay.Delay(n)
		if !end.IsZero() && time.Now().Add(wait).After(end) {
			return fmt.Errorf("publish: %w (gave up: %w)", b.explain(err), context.DeadlineExceeded)
		}
		if err := b.sleep(ctx, wait, err); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
}

// sleep pauses before another attempt; it returns cause where there is no time
// for one.
func (b *Bus) sleep(ctx context.Context, d time.Duration, cause error) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w (gave up: %w)", b.explain(cause), ctx.Err())
	case <-b.done:
		return bus.ErrClosed
	}
}

// Request implements bus.Bus.
func (b *Bus) Request(ctx context.Context, m bus.Message) (bus.Replies, error) {
	name, instance, replies, err := b.inboxes.Open(m.ReplyTo)
	if err != nil {
		return nil, err
	}
	m.ReplyTo = name
	if err = b.listen(ctx, instance); err == nil {
		err = b.Publish(ctx, m)
	}
	if err != nil {
		_ = replies.Close() // always nil
		return nil, err
	}
	return replies, nil
}
