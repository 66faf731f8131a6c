package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// gathering is the parts of one key; it goes when its timer fires.
type gathering struct {
	parts  map[string]json.RawMessage
	expire *time.Timer
}

// Gather implements bus.Bus.
func (b *Bus) Gather(_ context.Context, key, part string, value json.RawMessage, ttl time.Duration) (map[string]json.RawMessage, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("gather %q: ttl is %s: want more than 0", key, ttl)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, bus.ErrClosed
	}
	g := b.gathered[key]
	if g == nil {
		g = &gathering{parts: map[string]json.RawMessage{}}
		b.gathered[key] = g
	} else {
		g.expire.Stop()
	}
	var timer *time.Timer
	timer = time.AfterFunc(ttl, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if g.expire == timer { // else it was renewed meanwhile
			delete(b.gathered, key)
		}
	})
	g.expire = timer
	if _, ok := g.parts[part]; !ok {
		g.parts[part] = append(json.RawMessage(nil), value...)
	}
	out := make(map[string]json.RawMessage, len(g.parts))
	for k, v := range g.parts {
		out[k] = append(json.RawMessage(nil), v...)
	}
	return out, nil
}
