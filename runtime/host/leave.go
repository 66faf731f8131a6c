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

// linger has clients that keep their connections open learn that these end.
// What closes a connection while a request is on its way has that request fail,
// and nobody can say whether it was handled: so each gets an answer that says
// that it was the last one. Whoever sends nothing meanwhile is no matter.
func (h *host) linger(ctx context.Context) {
	if i := h.instance.Load(); i.Routes == nil || !h.state.view().Ready {
		return // it refuses what comes
	}
	ctx, cancel := context.WithTimeout(ctx, min(lingering, h.Grace/4))
	defer cancel()
	h.state.enterPhase(leaving, "")
	h.state.until(ctx, func(v view) bool { return v.open == 0 })
}

// connState counts the connections that are open.
func (h *host) connState(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		h.state.update(func() { h.state.open++ })
	case http.StateClosed, http.StateHijacked:
		h.state.update(func() { h.state.open-- })
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
