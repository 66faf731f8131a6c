package host

import (
	"context"
	"net"
	"net/http"
	"time"
)

// lingering is how long a component that leaves serves those who have
// connections to it, at the most.
const lingering = 500 * time.Millisecond

const (
	// lately is how long ago somebody may have brought work for others to be
	// expected who do.
	lately = time.Second
	// turningAway is how long those who come are told at the most that they have
	// to go elsewhere, and nobody the time without any after which that is over.
	turningAway = 500 * time.Millisecond
	nobody      = 200 * time.Millisecond
)

// linger has clients that keep their connections open learn that these end.
// What closes a connection while a request is on its way has that request fail,
// and nobody can say whether it was handled: so each gets an answer that says
// that it was the last one. Whoever sends nothing meanwhile is no matter.
func (h *host) linger(ctx context.Context) {
	v := h.state.view()
	if i := h.instance.Load(); i.Routes == nil || !v.Ready {
		return // it refuses what comes
	}
	h.visited = time.Since(v.asked) < lately
	ctx, cancel := context.WithTimeout(ctx, min(lingering, h.Grace/4))
	defer cancel()
	h.state.enterPhase(leaving, "")
	h.state.until(ctx, func(v view) bool { return v.open == 0 })
}

// turnAway answers those who still come, with a 503, until nobody does. Where a
// port is published, what stands before it takes connections until after the
// container has ended, and breaks them off: whoever was told before that the
// component goes looks for another one.
func (h *host) turnAway(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, turningAway)
	defer cancel()
	for v := h.state.view(); time.Since(v.asked) < nobody; v = h.state.view() {
		select {
		case <-time.After(nobody - time.Since(v.asked)):
		case <-ctx.Done():
			return
		}
	}
}

// connState notes what the connections do that are open.
func (h *host) connState(c net.Conn, s http.ConnState) {
	h.state.update(func() {
		if s == http.StateClosed || s == http.StateHijacked {
			delete(h.state.conns, c)
			return
		}
		h.state.conns[c] = s
	})
}

// shut ends the server, but not before it has answered what it has taken: once
// its own Shutdown has begun, it drops requests that it reads. served is closed
// when the server takes no connection any more. What the system has accepted and
// the server hasn't is reset.
func (h *host) shut(ctx context.Context, server *http.Server, l net.Listener, served <-chan struct{}) {
	if h.visited {
		h.turnAway(ctx)
	}
	_ = l.Close() // it was open
	wait(ctx, served)
	h.state.until(ctx, func(v view) bool { return v.busy == 0 })
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // whoever still waits has waited long enough
	}
}

// closing has answers say that their connection is closed, once the component
// stops.
func (h *host) closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last := &lastWriter{ResponseWriter: w, state: h.state}
		next.ServeHTTP(last, r)
		if !last.begun {
			last.WriteHeader(http.StatusOK)
		}
	})
}

type lastWriter struct {
	http.ResponseWriter
	state *state
	begun bool
}

// Unwrap is for http.ResponseController.
func (w *lastWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *lastWriter) WriteHeader(status int) {
	if !w.begun && w.state.view().Phase.stops() {
		w.Header().Set("Connection", "close")
	}
	w.begun = w.begun || status >= http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *lastWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}
