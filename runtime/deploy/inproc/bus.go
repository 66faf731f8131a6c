package inproc

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/registry"
)

// late is how connecting to the bus is tried again.
var late = bus.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}

// shared is the one bus of the system, which everybody uses and nobody but the
// system closes.
type shared struct {
	open func(ctx context.Context) (bus.Bus, registry.Registry, error)

	opening  sync.Mutex
	mu       sync.Mutex
	bus      bus.Bus
	registry registry.Registry
	closed   bool
}

// kept is the bus in the hands of one who must not close it.
type kept struct{ bus.Bus }

func (kept) Close() error { return nil }

// lend opens the bus where that hasn't been done yet. Nobody else waits for that
// who only asks whether it is there.
func (s *shared) lend(ctx context.Context) (bus.Bus, registry.Registry, error) {
	s.opening.Lock()
	defer s.opening.Unlock()
	s.mu.Lock()
	b, r, closed := s.bus, s.registry, s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return nil, nil, bus.ErrClosed
	case b != nil:
		return kept{b}, r, nil
	}
	b, r, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // meanwhile
		return nil, nil, errors.Join(bus.ErrClosed, b.Close())
	}
	s.bus, s.registry = b, r
	return kept{b}, r, nil
}

// await opens the bus, and goes on trying until ctx is done: a bus that comes
// late is told, and is no failure.
func (s *shared) await(ctx context.Context, log *slog.Logger, report func(string)) error {
	for attempt := 1; ; attempt++ {
		_, _, err := s.lend(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		report("it can't be reached yet, and is tried again: " + err.Error())
		log.Warn("the message bus can't be reached yet", "error", err)
		select {
		case <-time.After(late.Delay(attempt)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// now is the bus as far as it is there.
func (s *shared) now() bus.Bus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bus
}

func (s *shared) entries(ctx context.Context) ([]registry.Entry, error) {
	s.mu.Lock()
	r := s.registry
	s.mu.Unlock()
	if r == nil {
		return nil, nil
	}
	return r.List(ctx)
}

func (s *shared) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.bus == nil {
		return nil
	}
	return s.bus.Close()
}
