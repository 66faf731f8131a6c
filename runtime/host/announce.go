package host

import (
	"context"
	"slices"
	"time"

	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/registry"
)

// announceWithin bounds what is announced on the way: nobody waits longer for
// a registry.
const announceWithin = time.Second

// join enters the component in the registry, as one that isn't ready yet, and
// keeps the entry until leave is called, with the reason where it failed. The
// entry of one that failed stays until it expires, so that people see it.
func (h *host) join(ctx context.Context) (leave func(context.Context, error)) {
	h.presence = registry.NewPresence(h.registry, h.entry)
	h.tell(ctx)
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		h.presence.Keep(keeping)
	}()
	return func(ctx context.Context, failure error) {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceWithin)
		defer cancel()
		stop()
		wait(last, kept) // not for a registry that hangs
		if failure != nil {
			h.fail(failure)
			h.tell(ctx)
			return
		}
		if err := h.presence.Withdraw(last); err != nil {
			h.log.Warn("the entry in the registry could not be withdrawn; it expires by itself", "error", err)
		}
	}
}

// tell announces what is known now, if the registry takes it soon.
func (h *host) tell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceWithin)
	defer cancel()
	if err := h.presence.Announce(ctx); err != nil {
		h.log.Warn("the registry doesn't know the state of the component", "error", err)
	}
}

func (h *host) fail(err error) {
	text := h.secrets.Redact(err.Error())
	h.failure.Store(&text)
}

func (h *host) entry() registry.Entry {
	busy := h.metrics.inFlight.Load()
	e := registry.Entry{
		Name: h.Name, Kind: h.Config.Kind, Type: h.Config.Type, Instance: h.id, Address: h.address,
		State: registry.Initializing, Started: h.began, Load: min(1, float64(busy)/float64(h.Concurrency)),
	}
	if i := h.instance.Load(); i != nil {
		e.Capabilities = capabilities(i)
	}
	failure := h.failure.Load()
	switch p := h.state.view().Phase; {
	case failure != nil:
		e.State, e.Error = registry.Failed, *failure
	case p.stops():
		e.State = registry.ShuttingDown
	case p != ready && p != cutOff && p != announcing:
	case busy > 0:
		e.State = registry.Active
	default:
		e.State = registry.Ready
	}
	return e
}

// capabilities is what an instance says and shows that it can do.
func capabilities(i *component.Instance) []string {
	out := slices.Clone(i.Capabilities)
	if i.Handle != nil {
		out = append(out, "messages")
	}
	if i.Streams {
		out = append(out, "chunks")
	}
	if i.Routes != nil {
		out = append(out, "http")
	}
	return out
}
