package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// mark is what happened to a queued message before. It lies beside the queue,
// so that the message keeps its place.
type mark struct {
	Retries    int       `json:"retries,omitempty"`    // attempts that failed, beyond those that the message says
	Deliveries int       `json:"deliveries,omitempty"` // attempts that may have killed a replica
	Due        time.Time `json:"due,omitzero"`         // not to be tried before
	First      time.Time `json:"first,omitzero"`       // when it was first tried
	Error      string    `json:"error,omitempty"`      // of the last attempt
}

// found is a mark with its place.
type found struct {
	mark
	seq uint64
}

// note keeps the mark of a message.
func (k *consumer) note(ctx context.Context, it *item, past mark) error {
	value, err := json.Marshal(past)
	if err != nil {
		return bus.Permanent(err)
	}
	m := &nats.Msg{Subject: k.bus.names.mark(k.Component, it.part.n, it.seq), Data: value}
	ack, err := k.bus.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	if err == nil {
		it.past, it.marked = past, ack.Sequence
	}
	return err
}

// readMarks brings each part the marks of its messages, and deletes those whose
// message is gone.
func (k *consumer) readMarks(ctx context.Context, parts map[int]*part) error {
	var orphans []uint64
	subject := k.bus.names.subject("m", token(k.Component), "*", "*")
	err := k.bus.readAll(ctx, k.bus.marks, subject, 1, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		t := strings.Split(m.Subject(), ".")
		n, err1 := strconv.Atoi(t[len(t)-2])
		seq, err2 := strconv.ParseUint(t[len(t)-1], 10, 64)
		p := parts[n]
		if err1 != nil || err2 != nil || p == nil {
			return nil
		}
		_, err := k.bus.queue.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			orphans = append(orphans, meta.Sequence.Stream)
			return nil
		}
		f := found{seq: meta.Sequence.Stream}
		if err == nil && json.Unmarshal(m.Data(), &f.mark) == nil { // one that can't be read counts as none
			p.marks[seq] = f
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, seq := range orphans {
		if err := erase(ctx, k.bus.marks, seq); err != nil {
			return err
		}
	}
	return nil
}

// erase deletes a message; that it is gone is no error.
func erase(ctx context.Context, s jetstream.Stream, seq uint64) error {
	err := s.DeleteMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) || errors.Is(err, jetstream.ErrMsgNotFound) {
		if _, e := s.GetMsg(ctx, seq); errors.Is(e, jetstream.ErrMsgNotFound) {
			return nil
		}
	}
	return err
}

// finished remembers which ids a component has handled.
type finished struct {
	seed maphash.Seed
	mu   sync.Mutex
	ids  *bus.Window
}

func newFinished(window time.Duration) *finished {
	return &finished{seed: maphash.MakeSeed(), ids: bus.NewWindow(window)}
}

func (f *finished) add(id string, at, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids.Add(maphash.String(f.seed, id), at.UnixMilli(), now.UnixMilli())
}

func (f *finished) has(id string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ids.Has(maphash.String(f.seed, id), now.UnixMilli())
}

// readDone learns what others have finished since it was last called.
func (k *consumer) readDone(ctx context.Context) error {
	last, now := k.doneSeq, k.bus.now()
	err := k.bus.readAll(ctx, k.bus.store.done, k.bus.names.done(k.Component), last+1, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		for id := range strings.SplitSeq(string(m.Data()), "\n") {
			k.finished.add(id, meta.Timestamp, now)
		}
		last = meta.Sequence.Stream
		return nil
	})
	if err != nil {
		return fmt.Errorf("what was handled before: %w", err)
	}
	k.doneSeq = last
	return nil
}
