package nats

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// gathering is the parts of one key.
type gathering struct {
	Expires time.Time                  `json:"expires"`
	Parts   map[string]json.RawMessage `json:"parts"`
}

// Gather implements bus.Bus.
func (b *Bus) Gather(ctx context.Context, key, part string, value json.RawMessage, ttl time.Duration) (map[string]json.RawMessage, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("gather %q: ttl is %s: want more than 0", key, ttl)
	}
	if len(value) == 0 {
		value = json.RawMessage("null")
	}
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:16])
	var out map[string]json.RawMessage
	err := b.ask(ctx, "gather "+key, func(ctx context.Context) error {
		for {
			var err error
			if out, err = b.gatherOnce(ctx, name, part, value, ttl); !conflict(err) {
				return err
			}
		}
	})
	return out, err
}

// gatherOnce fails with a conflict where another part came in between.
func (b *Bus) gatherOnce(ctx context.Context, name, part string, value json.RawMessage, ttl time.Duration) (map[string]json.RawMessage, error) {
	var g gathering
	var rev uint64
	subject := b.names.subject("gather", name)
	last, err := b.gathered.GetLastMsgForSubject(ctx, subject)
	switch {
	case err == nil:
		rev = last.Sequence
		if err := json.Unmarshal(last.Data, &g); err != nil {
			return nil, bus.Permanent(fmt.Errorf("what was gathered can't be read: %w", err))
		}
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, err
	}
	if b.now().After(g.Expires) || g.Parts == nil {
		g.Parts = map[string]json.RawMessage{}
	}
	if _, ok := g.Parts[part]; !ok {
		g.Parts[part] = value
	}
	g.Expires = b.now().Add(ttl)
	body, err := json.Marshal(g)
	if err != nil {
		return nil, bus.Permanent(err)
	}
	opts := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(rev), jetstream.WithRetryAttempts(0)}
	if b.perMessageTTL() {
		opts = append(opts, jetstream.WithMsgTTL(ttl.Truncate(time.Second)+2*time.Second))
	}
	_, err = b.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: body}, opts...)
	return g.Parts, err
}
