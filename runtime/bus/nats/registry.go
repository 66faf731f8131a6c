package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/registry"
)

const registryTTL = registry.TTL

// Registry returns the registry of the bus's project. It lives as long as the
// bus.
func (b *Bus) Registry() registry.Registry { return directory{b} }

type directory struct{ bus *Bus }

func entryKey(name, instance string) string { return token(name) + "." + token(instance) }

// Announce implements registry.Registry.
func (d directory) Announce(ctx context.Context, e registry.Entry) error {
	if err := e.Validate(); err != nil {
		return err
	}
	e.Updated = time.Now().UTC()
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("registry entry of %s: %w", e.Name, err)
	}
	return d.bus.ask(ctx, "announce "+e.Name, func(ctx context.Context) error {
		_, err := d.bus.registry.Put(ctx, entryKey(e.Name, e.Instance), text)
		return err
	})
}

// Withdraw implements registry.Registry.
func (d directory) Withdraw(ctx context.Context, name, instance string) error {
	return d.bus.ask(ctx, "withdraw "+name, func(ctx context.Context) error {
		err := d.bus.registry.Purge(ctx, entryKey(name, instance))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		return err
	})
}

// List implements registry.Registry.
func (d directory) List(ctx context.Context) ([]registry.Entry, error) {
	var out []registry.Entry
	err := d.bus.ask(ctx, "list the registry", func(ctx context.Context) error {
		out = nil
		return d.bus.values(ctx, d.bus.registry, func(e jetstream.KeyValueEntry) error {
			var entry registry.Entry
			if err := json.Unmarshal(e.Value(), &entry); err != nil {
				return bus.Permanent(fmt.Errorf("entry %s: %w", e.Key(), err))
			}
			out = append(out, entry)
			return nil
		})
	})
	registry.Sort(out)
	return out, err
}

// values calls each for what is in a bucket now.
func (b *Bus) values(ctx context.Context, kv jetstream.KeyValue, each func(jetstream.KeyValueEntry) error) error {
	w, stop, err := watching(ctx, func(ctx context.Context) (jetstream.KeyWatcher, error) {
		return kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	})
	if err != nil {
		return err
	}
	defer stop()
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return errors.New("the connection was lost in the middle of a list")
			}
			if e == nil {
				return nil
			}
			if err := each(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
