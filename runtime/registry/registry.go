// Package registry knows who is there: every running component announces
// itself, keeps its entry fresh, and withdraws it when it stops. The entry of
// one that died goes by itself.
package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// TTL is how long an entry lasts after it was announced. With what Watch
	// needs, one that died is gone for everyone within 15 s.
	TTL = 14 * time.Second
	// Renew is how often an entry is announced at the least.
	Renew = 5 * time.Second
)

// State of a component.
type State string

// The states, in the order in which a component goes through them.
const (
	Initializing State = "initializing"
	Ready        State = "ready"
	Active       State = "active" // handling something now
	Failed       State = "failed"
	ShuttingDown State = "shutting_down"
)

// Entry is what one replica of a component tells about itself.
type Entry struct {
	Name         string    `json:"name"`
	Kind         string    `json:"kind"`
	Type         string    `json:"type"`
	Instance     string    `json:"instance"` // unique among the replicas
	Address      string    `json:"address,omitempty"`
	State        State     `json:"state"`
	Started      time.Time `json:"started"`
	Updated      time.Time `json:"updated"` // set by Announce
	Capabilities []string  `json:"capabilities,omitempty"`
	Load         float64   `json:"load"`            // of what it can handle: 0 idle, 1 full
	Error        string    `json:"error,omitempty"` // why it failed
}

// Registry is the list of who is there. All methods may be called at the same
// time.
type Registry interface {
	// Announce puts an entry in the place of an earlier one of the same name
	// and instance, for TTL.
	Announce(ctx context.Context, e Entry) error
	// Withdraw removes an entry; that there is none is no error.
	Withdraw(ctx context.Context, name, instance string) error
	// List returns the entries sorted by name, then instance.
	List(ctx context.Context) ([]Entry, error)
}

// Validate says what an entry is missing.
func (e *Entry) Validate() error {
	switch {
	case e.Name == "":
		return errors.New("registry entry has no name")
	case e.Instance == "":
		return errors.New("registry entry of " + e.Name + " has no instance")
	}
	return nil
}

// Sort puts entries in the order of List.
func Sort(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Instance, b.Instance))
	})
}

// Memory is a registry within one process.
type Memory struct {
	mu      sync.Mutex
	entries map[[2]string]Entry
}

var _ Registry = (*Memory)(nil)

// NewMemory returns an empty registry.
func NewMemory() *Memory { return &Memory{entries: map[[2]string]Entry{}} }

// Announce implements Registry.
func (r *Memory) Announce(ctx context.Context, e Entry) error {
	if err := errors.Join(ctx.Err(), e.Validate()); err != nil {
		return err
	}
	e.Updated = time.Now().UTC()
	e.Capabilities = slices.Clone(e.Capabilities)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries[[2]string{e.Name, e.Instance}] = e
	return nil
}

// Withdraw implements Registry.
func (r *Memory) Withdraw(ctx context.Context, name, instance string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.entries, [2]string{name, instance})
	return ctx.Err()
}

// List implements Registry.
func (r *Memory) List(ctx context.Context) ([]Entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Entry
	for k, e := range r.entries {
		if time.Since(e.Updated) > TTL {
			delete(r.entries, k)
			continue
		}
		e.Capabilities = slices.Clone(e.Capabilities)
		out = append(out, e)
	}
	Sort(out)
	return out, ctx.Err()
}
