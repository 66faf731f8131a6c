package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// subscription is what a component tells those who publish.
type subscription struct {
	Topics   []string     `json:"topics,omitempty"`
	Limit    int          `json:"limit,omitempty"`
	Overflow bus.Overflow `json:"overflow,omitempty"`
	// TTL is what the component says of its messages, for as long as nobody is
	// there who does.
	TTL time.Duration `json:"ttl,omitempty"`
}

// routes is what publishers know of subscriptions, at one version of them. A
// publish sends by what it knows and asks for the version in the same round
// trip: where that is another one, it reads them again and sends what it
// missed.
type routes struct {
	version string
	subs    map[string]subscription
	tailing bool
	until   time.Time // after which it is to be read again
}

// unknown matches no version that a server tells.
var unknown = &routes{version: "unknown"}

// tailingFor is how long a watcher counts as being there after it said so.
const tailingFor = 10 * time.Second

func (b *Bus) loadRoutes(ctx context.Context) (*routes, error) {
	var version *redis.StringCmd
	var subs *redis.MapStringStringCmd
	var tailing *redis.IntCmd
	_, err := b.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		version = p.Get(ctx, b.keys.version())
		subs = p.HGetAll(ctx, b.keys.subs())
		tailing = p.Exists(ctx, b.keys.tailing())
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	r := &routes{version: versionOf(version), subs: map[string]subscription{}, tailing: tailing.Val() == 1}
	if r.tailing {
		r.until = time.Now().Add(tailingFor)
	}
	limited := false
	for component, text := range subs.Val() {
		var s subscription
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return nil, bus.Permanent(fmt.Errorf("subscription of %s: %w", component, err))
		}
		r.subs[component] = s
		limited = limited || s.Limit > 0
	}
	if limited { // it is called in pipelines, which can't send it along
		if err := b.scripts.add.Load(ctx, b.client).Err(); err != nil {
			return nil, err
		}
	}
	b.routes.Store(r)
	return r, nil
}

func versionOf(c *redis.StringCmd) string {
	if s := c.Val(); s != "" {
		return s
	}
	return "0"
}

// known returns the routes that are known, where they can still be right.
func (b *Bus) known() *routes {
	r := b.routes.Load()
	if !r.until.IsZero() && time.Now().After(r.until) {
		return unknown
	}
	return r
}

// subscribers are the components that get what is published on a topic.
func (r *routes) subscribers(topic string) []string {
	var out []string
	for component, s := range r.subs {
		if bus.MatchAny(s.Topics, topic) {
			out = append(out, component)
		}
	}
	return out
}

// receivers says where a message goes: names of components.
func (r *routes) receivers(m *bus.Message) []string {
	if m.Pattern == bus.PublishSubscribe {
		return r.subscribers(m.Type)
	}
	return []string{m.Target}
}
