package nats

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// setting is what a component's consumers say to whoever publishes to it.
type setting struct {
	Topics   []string      `json:"topics,omitempty"`
	Limit    int           `json:"limit,omitempty"`
	Overflow bus.Overflow  `json:"overflow,omitempty"`
	TTL      time.Duration `json:"ttl,omitempty"`
}

// settings is this process's copy of all of them.
type settings struct {
	mu      sync.Mutex
	of      map[string]setting // by component
	seen    uint64             // the revision up to which it is complete
	changed signal
}

func (s *settings) get(component string) setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[component]
}

func (s *settings) subscribers(topic string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for component, c := range s.of {
		if bus.MatchAny(c.Topics, topic) {
			out = append(out, component)
		}
	}
	return out
}

const versionKey = "version"

// upToDate returns when this process knows of every change that was complete
// when it was called.
func (b *Bus) upToDate(ctx context.Context) error {
	e, err := b.store.settings.Get(ctx, versionKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	want, _ := strconv.ParseUint(string(e.Value()), 10, 64) // it is ours
	for {
		changed := b.settings.changed.next()
		b.settings.mu.Lock()
		seen := b.settings.seen
		b.settings.mu.Unlock()
		if seen >= want {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// set tells everyone what holds for a component now.
func (b *Bus) set(ctx context.Context, component string, s setting) error {
	value, err := json.Marshal(s)
	if err != nil {
		return bus.Permanent(err)
	}
	kv, key := b.store.settings, "c."+token(component)
	e, err := kv.Get(ctx, key)
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return err
	}
	var rev uint64
	var old setting
	if err == nil && json.Unmarshal(e.Value(), &old) == nil && reflect.DeepEqual(old, s) {
		rev = e.Revision()
	} else if rev, err = kv.Put(ctx, key, value); err != nil {
		return err
	}
	// Of two who do this at the same time the greater revision has to stay.
	for {
		var have, version uint64
		v, err := kv.Get(ctx, versionKey)
		switch {
		case err == nil:
			have, _ = strconv.ParseUint(string(v.Value()), 10, 64)
			version = v.Revision()
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return err
		}
		if have >= rev {
			return nil
		}
		if _, err = kv.Update(ctx, versionKey, strconv.AppendUint(nil, rev, 10), version); !conflict(err) {
			return err
		}
	}
}

// watchSettings keeps the copy until the bus is closed.
func (b *Bus) watchSettings(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.helpers.Go(func() {
		<-b.done
		cancel()
	})
	s := &b.settings
	b.watch(ctx, b.store.settings, "c.*", func(e jetstream.KeyValueEntry) {
		if e == nil {
			return
		}
		var c setting
		component, err := untoken(e.Key()[len("c."):])
		if err == nil {
			err = json.Unmarshal(e.Value(), &c)
		}
		s.mu.Lock()
		if err == nil {
			s.of[component] = c
		}
		s.seen = max(s.seen, e.Revision())
		s.mu.Unlock()
		s.changed.send()
	})
}

// watch calls each for all values under a pattern and for each change, until
// ctx is done. When it has to begin anew, it calls each with nil first.
func (b *Bus) watch(ctx context.Context, kv jetstream.KeyValue, pattern string, each func(jetstream.KeyValueEntry)) {
	for failures := 0; ctx.Err() == nil; {
		resumed := b.resumed.next()
		w, stop, err := watching(ctx, func(ctx context.Context) (jetstream.KeyWatcher, error) { return kv.Watch(ctx, pattern) })
		if err != nil {
			if failures++; failures == 1 && ctx.Err() == nil {
				b.opts.Log.Warn("the bus can't be watched; trying again", "error", b.explain(err))
			}
			if lost(err) {
				_ = attempt(ctx, b.ensure) // the next attempt tells
			}
			pause(ctx, failures)
			continue
		}
		failures = 0
		each(nil)
		b.follow(ctx, w, resumed, each)
		stop()
	}
}

// watching begins a watch that ctx may cut short while it begins. After that
// stop alone ends it, and takes its consumer off the server: a context that is
// done makes the library do so in a goroutine of its own, which a connection
// that is closed next would outrun.
func watching(ctx context.Context, begin func(context.Context) (jetstream.KeyWatcher, error)) (w jetstream.KeyWatcher, stop func(), err error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	began := context.AfterFunc(ctx, cancel)
	w, err = begin(own)
	began()
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return w, func() {
		_ = w.Stop() // it may have ended by itself
		cancel()
	}, nil
}

func (b *Bus) follow(ctx context.Context, w jetstream.KeyWatcher, resumed <-chan struct{}, each func(jetstream.KeyValueEntry)) {
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return
			}
			if e != nil { // nil ends the values that were there
				each(e)
			}
		case <-resumed:
			return
		case <-ctx.Done():
			return
		}
	}
}

// rooms remembers for a moment how much room queues had, so that not every
// publish has to ask.
type rooms struct {
	mu sync.Mutex
	of map[string]room
}

type room struct {
	free  int
	until time.Time
}

// takeRoom takes a place in a queue, where there is one.
func (b *Bus) takeRoom(ctx context.Context, component string, limit int) (ok bool, err error) {
	r := &b.rooms
	r.mu.Lock()
	have := r.of[component]
	if have.free > 0 && time.Now().Before(have.until) {
		have.free--
		r.of[component] = have
		r.mu.Unlock()
		return true, nil
	}
	r.mu.Unlock()
	depths, err := b.depths(ctx, component)
	if err != nil {
		return false, err
	}
	free := limit - int(depths[component])
	if free <= 0 {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// Others publish as well: a half is taken for granted.
	r.of[component] = room{free: free/2 - 1, until: time.Now().Add(100 * time.Millisecond)}
	return true, nil
}
