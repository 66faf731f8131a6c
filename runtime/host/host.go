// Package host is what runs in a component's container. It connects the
// component with the bus, the registry and the engine's probes, so that a kind
// has to know nothing of them: it is handed messages and returns results.
//
// Readiness implies registration: /readyz answers 200 once the component can
// get messages and is in the registry. A stop goes the other way round and
// loses nothing: what isn't handled in time stays on the bus.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/host/downstream"
	"woodwork.dev/ww/runtime/host/tracing"
	"woodwork.dev/ww/runtime/registry"
)

// afterGrace is what handlers get to notice that their time is over.
const afterGrace = time.Second

// retries is how connecting and announcing are tried again.
var retries = bus.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}

// host runs one component.
type host struct {
	Options
	log      *slog.Logger
	state    *state
	metrics  *metrics
	id       string // of this replica
	address  string
	began    time.Time
	outside  *downstream.Transport
	tracer   *tracing.Tracer
	bus      bus.Bus
	registry registry.Registry
	presence *registry.Presence
	instance atomic.Pointer[component.Instance] // nil until it is built
	failure  atomic.Pointer[string]             // why it ends, where it does so by itself
	visited  bool                               // work was brought shortly before it stopped
}

// Run runs one component until ctx is done and returns nil once it has stopped
// in order. An error says why it can't run, or what was not finished in time.
// Unless it is Shared, it must be the only one in its process, where that is the first of a
// container: it then also reaps orphans.
func Run(ctx context.Context, opts Options) error {
	opts, err := opts.withDefaults()
	if err != nil {
		return err
	}
	h := &host{Options: opts, state: newState(), id: bus.NewID(), began: time.Now().UTC()}
	h.log = slog.New(contextHandler{h.secrets.Handler(opts.Log.Handler())}).With("component", opts.Name)
	base := http.DefaultTransport.(*http.Transport).Clone()
	defer base.CloseIdleConnections()
	h.outside = downstream.New(base, h.log)
	h.metrics = newMetrics(opts.Config, h.state, h.outside.Open, opts.Usage, opts.Metrics)
	defer h.metrics.leave()
	if h.tracer, err = tracing.New(opts.Traces, opts.Name, h.id, h.log); err == nil {
		err = h.serve(ctx)
	}
	if err != nil {
		err = h.secrets.RedactError(fmt.Errorf("component %s: %w", opts.Name, err))
		h.log.Error("the component failed", "error", err)
		return err
	}
	return nil
}

// serve runs the HTTP server, which is there from before the beginning until
// after the end, and the component.
func (h *host) serve(ctx context.Context) error {
	listener, err := h.Listener, error(nil)
	if listener == nil {
		if listener, err = net.Listen("tcp", h.Addr); err != nil {
			return fmt.Errorf("open the HTTP port: %w", err)
		}
	}
	h.address = h.Address
	if _, port, err := net.SplitHostPort(listener.Addr().String()); err == nil && h.address == "" {
		h.address = net.JoinHostPort(h.Name, port)
	}
	if h.Listening != nil {
		h.Listening(listener.Addr().String())
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	server := h.newServer()
	server.BaseContext = func(net.Listener) context.Context { return background }
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	served := make(chan struct{})
	wg.Go(func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve HTTP: %w", err)
		}
	})
	if !h.Shared {
		wg.Go(func() { reapOrphans(background, h.log) })
	}
	if h.OnState != nil {
		wg.Go(func() { h.tellState(background) })
	}
	err = h.run(ctx, failed, stop)
	h.state.enterPhase(stopped, "")
	stop()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterGrace)
	defer cancel()
	h.shut(last, server, listener, served)
	h.tracer.Close(last)
	wg.Wait()
	return err
}

// tellState hands on what changes until ctx is done.
func (h *host) tellState(ctx context.Context) {
	var last State
	for {
		v := h.state.view()
		if now := (State{Phase: string(v.Phase), Ready: v.Ready, Reason: v.Reason, Bus: v.BusErr}); now != last {
			last = now
			h.OnState(now)
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return
		}
	}
}

// run is the life of the component. abort ends the requests that are being
// served.
func (h *host) run(ctx context.Context, failed <-chan error, abort func()) error {
	if !h.connect(ctx) {
		return nil
	}
	leave := h.join(ctx)
	h.state.enterPhase(building, "")
	if err := h.build(ctx); err != nil {
		if ctx.Err() != nil {
			err = nil
		}
		leave(ctx, err)
		return errors.Join(err, h.bus.Close())
	}
	w := h.work(ctx)
	select {
	case <-ctx.Done():
	case err := <-failed:
		w.fail(err)
	case <-w.failing:
	}
	return h.stop(ctx, w, leave, abort)
}

// connect reports whether there is a bus now; if not, ctx has ended before.
func (h *host) connect(ctx context.Context) bool {
	h.state.enterPhase(connecting, "")
	return h.persist(ctx, connecting, func(ctx context.Context) (err error) {
		h.bus, h.registry, err = h.OpenBus(ctx)
		return err
	}) == nil
}

// persist calls f until it succeeds or ctx is done; its error is that of ctx.
func (h *host) persist(ctx context.Context, p phase, f func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		text := h.secrets.Redact(err.Error())
		h.state.enterPhase(p, text)
		pause := retries.Delay(attempt)
		h.log.Warn(string(p)+" failed and is tried again", "error", text, "pause", pause.String())
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *host) build(ctx context.Context) error {
	key := h.Config.Kind + " " + h.Config.Type
	builder := h.Builders[key]
	if builder == nil {
		return fmt.Errorf("there is no kind %q in this program: it has %s", key, strings.Join(slices.Sorted(maps.Keys(h.Builders)), ", "))
	}
	instance, err := builder(ctx, component.Env{
		Config: h.Config, Log: h.log, Stdout: h.Stdout, Stdin: h.Stdin, Transport: h.outside, Processes: h.Processes,
		Secret: h.secrets.Lookup, Submit: h.submit, Ask: h.ask, Gather: h.gather,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	h.instance.Store(instance)
	return nil
}
