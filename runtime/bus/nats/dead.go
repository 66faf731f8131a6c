package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// deathHeader holds a death as JSON, beside the message as it came.
const deathHeader = "Ww-Death"

// death is what is known of a dead letter beside its message.
type death struct {
	Target   string    `json:"target"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	Retries  int       `json:"retries"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

func (b *Bus) toDead(id string, body []byte, d death) record {
	text, err := json.Marshal(d)
	if err != nil {
		text = []byte("{}") // strings and times always can be
	}
	return record{subject: b.names.dead(d.Target), id: id, header: nats.Header{deathHeader: {string(text)}}, body: body}
}

// deadLetter reads what toDead wrote.
func deadLetter(component string, seq uint64, header nats.Header, body []byte) bus.DeadLetter {
	d := death{Target: component}
	_ = json.Unmarshal([]byte(header.Get(deathHeader)), &d) // what can't be read is empty
	m, err := bus.Decode(body)
	if err != nil { // that is why it is here: show it as it came
		quoted, _ := json.Marshal(string(body)) // a string always can be
		m = bus.Message{ID: strconv.FormatUint(seq, 10), Target: component, Payload: quoted}
	}
	m.RetryCount = d.Retries
	return bus.DeadLetter{ID: strconv.FormatUint(seq, 10), Message: m, Target: d.Target, Error: d.Error,
		Attempts: d.Attempts, First: d.First.UTC(), Last: d.Last.UTC()}
}

// DeadLetters implements bus.Bus.
func (b *Bus) DeadLetters(ctx context.Context, component string, limit int) ([]bus.DeadLetter, error) {
	if limit <= 0 {
		limit = 100
	}
	var out []bus.DeadLetter
	err := b.ask(ctx, "dead letters of "+component, func(ctx context.Context) error {
		out = nil
		seqs, err := b.deadSeqs(ctx, component)
		if err != nil {
			return err
		}
		for _, seq := range slices.Backward(seqs) {
			if len(out) == limit {
				break
			}
			m, err := b.dead.GetMsg(ctx, seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			out = append(out, deadLetter(component, seq, m.Header, m.Data))
		}
		return nil
	})
	return out, err
}

// deadSeqs returns the places of all dead letters of a component.
func (b *Bus) deadSeqs(ctx context.Context, component string) (seqs []uint64, err error) {
	name := b.names.stream("dead")
	c, err := b.js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
		FilterSubject: b.names.dead(component), AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, HeadersOnly: true,
		InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	defer b.forget(ctx, name, c)
	err = fetchAll(ctx, c, func(_ jetstream.Msg, meta *jetstream.MsgMetadata) error {
		seqs = append(seqs, meta.Sequence.Stream)
		return nil
	})
	return seqs, err
}

// Requeue implements bus.Bus.
func (b *Bus) Requeue(ctx context.Context, component string, ids ...string) (int, error) {
	return b.eachDead(ctx, "requeue", component, ids, func(ctx context.Context, m *jetstream.RawStreamMsg) (bool, error) {
		message, err := bus.Decode(m.Data)
		body := m.Data
		if err == nil {
			message.RetryCount = 0
			if body, err = bus.Encode(&message); err != nil {
				return false, bus.Permanent(err)
			}
		} else {
			message = bus.Message{ID: strconv.FormatUint(m.Sequence, 10)}
		}
		// The id is another one: the old one counts as a duplicate for a while.
		// It is the same for whoever moves this dead letter: one of them does.
		again := &nats.Msg{Subject: b.names.queue(component, partOf(&message)), Data: body}
		ack, err := b.js.PublishMsg(ctx, again, jetstream.WithRetryAttempts(0),
			jetstream.WithMsgID(fmt.Sprintf("%s/%s/requeued-%d", component, message.ID, m.Sequence)))
		if err != nil {
			return false, err
		}
		return !ack.Duplicate, erase(ctx, b.dead, m.Sequence)
	})
}

// Discard implements bus.Bus.
func (b *Bus) Discard(ctx context.Context, component string, ids ...string) (int, error) {
	return b.eachDead(ctx, "discard", component, ids, func(ctx context.Context, m *jetstream.RawStreamMsg) (bool, error) {
		err := b.dead.DeleteMsg(ctx, m.Sequence)
		if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			return false, nil // someone else did
		}
		return err == nil, err
	})
}

// eachDead calls do for dead letters and counts those for which it says so.
func (b *Bus) eachDead(ctx context.Context, what, component string, ids []string, do func(context.Context, *jetstream.RawStreamMsg) (bool, error)) (n int, err error) {
	what += " dead letters of " + component
	var seqs []uint64
	if len(ids) == 0 {
		err := b.ask(ctx, what, func(ctx context.Context) (err error) {
			seqs, err = b.deadSeqs(ctx, component)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	for _, id := range ids {
		if seq, err := strconv.ParseUint(id, 10, 64); err == nil && seq > 0 { // else it isn't there
			seqs = append(seqs, seq)
		}
	}
	for _, seq := range seqs {
		counted := false
		err := b.ask(ctx, what, func(ctx context.Context) error {
			m, err := b.dead.GetMsg(ctx, seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			if m.Subject != b.names.dead(component) {
				return nil
			}
			ok, err := do(ctx, m)
			counted = counted || ok
			return err
		})
		if counted {
			n++
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
