package redis

import (
	"context"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// record is one thing that a publish does on the server: an envelope to a
// component's queue, to an inbox, or, without a stream, a message that nobody
// wants.
type record struct {
	stream    string
	component string // empty for an inbox
	body      []byte
}

// flusher sends what several goroutines publish at the same time in one round
// trip: what comes while one is under way goes with the next.
type flusher struct {
	client *redis.Client
	keys   keyspace
	in     chan commit
}

type commit struct {
	records []record
	result  chan<- error // with room for it
}

const (
	batchRecords = 128
	batchBytes   = 1 << 20
)

func newFlusher(c *redis.Client, k keyspace) *flusher {
	return &flusher{client: c, keys: k, in: make(chan commit)}
}

// send returns when the server has the records. After an error it may have some.
func (f *flusher) send(ctx context.Context, done <-chan struct{}, records []record) error {
	result := make(chan error, 1)
	select {
	case f.in <- commit{records, result}:
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
		return bus.ErrClosed
	}
	select {
	case err := <-result: // once taken, it is answered
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run works until done is closed.
func (f *flusher) run(ctx context.Context, done <-chan struct{}) {
	known := map[string]bool{} // components that are in the set of queues
	for {
		select {
		case first := <-f.in:
			if !f.commit(ctx, f.collect(first), known) {
				clear(known) // the server may have lost what it had
			}
		case <-done:
			return
		}
	}
}

// collect adds to first what others want to send by now.
func (f *flusher) collect(first commit) []commit {
	batch := []commit{first}
	for n, size := count(first); n < batchRecords && size < batchBytes; {
		select {
		case c := <-f.in:
			batch = append(batch, c)
			dn, dsize := count(c)
			n, size = n+dn, size+dsize
		default:
			return batch
		}
	}
	return batch
}

func count(c commit) (n, size int) {
	for _, r := range c.records {
		size += len(r.body)
	}
	return len(c.records), size
}

func (f *flusher) commit(ctx context.Context, batch []commit, known map[string]bool) (ok bool) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	pipe := f.client.Pipeline()
	cmds := make([][]redis.Cmder, len(batch))
	for i, c := range batch {
		for _, r := range c.records {
			cmds[i] = append(cmds[i], f.queue(ctx, pipe, r, known)...)
		}
	}
	_, pipeErr := pipe.Exec(ctx)
	for i, c := range batch {
		var err error
		for _, cmd := range cmds[i] {
			if err = cmd.Err(); err != nil {
				break
			}
		}
		c.result <- err
	}
	return pipeErr == nil
}

func (f *flusher) queue(ctx context.Context, pipe redis.Pipeliner, r record, known map[string]bool) []redis.Cmder {
	if r.stream == "" {
		return []redis.Cmder{pipe.Incr(ctx, f.keys.dropped())}
	}
	add := pipe.XAdd(ctx, &redis.XAddArgs{Stream: r.stream, Values: []any{"m", r.body}})
	switch {
	case r.component == "":
		return []redis.Cmder{add, pipe.Expire(ctx, r.stream, inboxTTL)}
	case known[r.component]:
		return []redis.Cmder{add}
	}
	known[r.component] = true
	return []redis.Cmder{add, pipe.SAdd(ctx, f.keys.queues(), r.component)}
}
