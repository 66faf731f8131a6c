package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/registry"
)

// Registry returns the registry of the bus's project. It lives as long as the
// bus.
func (b *Bus) Registry() registry.Registry {
	return &directory{b, []string{b.keys.of("registry"), b.keys.of("registry", "seen")}}
}

type directory struct {
	bus  *Bus
	keys []string
}

func (d *directory) Announce(ctx context.Context, e registry.Entry) error {
	if err := e.Validate(); err != nil {
		return err
	}
	e.Updated = time.Now().UTC()
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("registry entry of %s: %w", e.Name, err)
	}
	return d.bus.read(ctx, "announce "+e.Name, func(ctx context.Context) error {
		return d.bus.run(ctx, d.bus.scripts.announce, field(e.Name, e.Instance), text,
			registry.TTL.Milliseconds()).Err()
	})
}

// field is unambiguous: both parts are quoted.
func field(name, instance string) string { return fmt.Sprintf("%q/%q", name, instance) }

func (d *directory) Withdraw(ctx context.Context, name, instance string) error {
	return d.bus.read(ctx, "withdraw "+name, func(ctx context.Context) error {
		_, err := d.bus.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.HDel(ctx, d.keys[0], field(name, instance))
			p.ZRem(ctx, d.keys[1], field(name, instance))
			return nil
		})
		return err
	})
}

func (d *directory) List(ctx context.Context) ([]registry.Entry, error) {
	var out []registry.Entry
	err := d.bus.read(ctx, "list the registry", func(ctx context.Context) error {
		texts, err := d.bus.run(ctx, d.bus.scripts.list).StringSlice()
		if err != nil {
			return err
		}
		out = make([]registry.Entry, len(texts))
		for i, text := range texts {
			if err := json.Unmarshal([]byte(text), &out[i]); err != nil {
				return bus.Permanent(fmt.Errorf("entry %d: %w", i, err))
			}
		}
		return nil
	})
	registry.Sort(out)
	return out, err
}
