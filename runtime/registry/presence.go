package registry

import (
	"context"
	"fmt"
	"time"
)

// look is how often Keep looks for news of its own entry; announceWithin is how
// long one of its attempts takes.
const (
	look           = time.Second
	announceWithin = 5 * time.Second
)

// Presence is the entry of one replica in a registry.
type Presence struct {
	registry Registry
	entry    func() Entry
	turn     chan struct{} // one announcement at a time: the last one is the newest
	last     Entry
	at       time.Time // of last
}

// NewPresence returns the presence of what entry tells of; its name and its
// instance are always the same. Nothing is announced yet.
func NewPresence(r Registry, entry func() Entry) *Presence {
	return &Presence{registry: r, entry: entry, turn: make(chan struct{}, 1)}
}

// Announce puts the entry, as it is now, into the registry.
func (p *Presence) Announce(ctx context.Context) error {
	return p.announce(ctx, func(Entry) bool { return true })
}

func (p *Presence) announce(ctx context.Context, wanted func(Entry) bool) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return fmt.Errorf("announce: %w", ctx.Err())
	}
	e := p.entry()
	if !wanted(e) {
		return nil
	}
	began := time.Now()
	if err := p.registry.Announce(ctx, e); err != nil {
		return err
	}
	p.last, p.at = e, began
	return nil
}

// Keep announces the entry again and again until ctx is done: when there is
// news of it, and every Renew. A failure is tried again soon: the registry may
// have lost all entries meanwhile.
func (p *Presence) Keep(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		within, cancel := context.WithTimeout(ctx, announceWithin)
		_ = p.announce(within, func(e Entry) bool {
			return e.State != p.last.State || e.Load != p.last.Load || time.Since(p.at) >= Renew
		}) // it is the bus that tells why it can't be reached
		cancel()
	}
}

// Withdraw takes the entry out of the registry. Keep has to be over.
func (p *Presence) Withdraw(ctx context.Context) error {
	e := p.entry()
	return p.registry.Withdraw(ctx, e.Name, e.Instance)
}
