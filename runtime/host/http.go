package host

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/host/tracing"
)

// maxWait is the longest that one probe may block.
const maxWait = 10 * time.Minute

// newServer returns the server of all endpoints. Handlers that take their time
// extend the deadlines of their own request.
func (h *host) newServer() *http.Server {
	return &http.Server{
		Handler:           h.closing(h.mux()),
		ConnState:         h.connState,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}

func (h *host) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"status": "ok"})
	})
	mux.HandleFunc("GET /startupz", func(w http.ResponseWriter, _ *http.Request) {
		v := h.state.view()
		probe(w, v.Started, v)
	})
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /drained", h.drained)
	mux.HandleFunc("GET /health", h.health)
	mux.Handle("GET /metrics", h.metrics.handler())
	mux.Handle("/", http.MaxBytesHandler(http.HandlerFunc(h.routes), bus.MaxMessageBytes))
	return mux
}

// verdict is the body of a probe's answer.
type verdict struct {
	Ready  bool   `json:"ready"`
	State  phase  `json:"state"`
	Reason string `json:"reason,omitempty"`
	// Instance is the container's host name, which is how its id begins: who
	// asks over a network can tell whether the right one has answered.
	Instance string `json:"instance,omitempty"`
}

func probe(w http.ResponseWriter, ok bool, v view) {
	name, _ := os.Hostname() // empty where there is none
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, verdict{Ready: v.Ready, State: v.Phase, Reason: v.Reason, Instance: name})
}

// readyz answers at once, or with ?wait=30s as soon as the component is ready,
// will never be, or the time is over.
func (h *host) readyz(w http.ResponseWriter, r *http.Request) {
	v := h.state.view()
	wait, ok := waitOf(w, r)
	if !ok {
		return
	}
	if wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		v = h.state.wait(ctx)
	}
	probe(w, v.Ready, v)
}

// waitOf reads how long an answer may be waited for. It is false where that
// makes no sense, which is answered.
func waitOf(w http.ResponseWriter, r *http.Request) (time.Duration, bool) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return 0, true
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > maxWait {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "wait: want a duration from 0s to " + maxWait.String()})
		return 0, false
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Now().Add(wait + 10*time.Second))
	return wait, true
}

// Drained is the body of /drained.
type Drained struct {
	Instance string           `json:"instance"` // as in a probe's answer
	Drained  bool             `json:"drained"`
	Left     map[string]int64 `json:"left"` // messages by component
}

// drained answers when nothing waits on the bus any more that a component
// takes, or when the time is over: with ?wait=30s after that.
func (h *host) drained(w http.ResponseWriter, r *http.Request) {
	wait, ok := waitOf(w, r)
	if !ok {
		return
	}
	// It doesn't count as work: a component that is to stop waits for no answer.
	if v := h.state.view(); !v.Ready {
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"error": v.Public})
		return
	}
	left, err := bus.AwaitEmpty(r.Context(), h.bus, wait, true)
	if err != nil {
		if r.Context().Err() == nil {
			h.log.Warn("the bus doesn't say what waits", "error", h.secrets.Redact(err.Error()))
		}
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"error": "the message bus can't say what waits: the log has the reason"})
		return
	}
	name, _ := os.Hostname() // empty where there is none
	writeJSON(w, http.StatusOK, Drained{Instance: name, Drained: len(left) == 0, Left: left})
}

// report is the body of /health.
type report struct {
	Status    string    `json:"status"`
	Component string    `json:"component"`
	Kind      string    `json:"kind"`
	Type      string    `json:"type"`
	State     phase     `json:"state"`
	Reason    string    `json:"reason,omitempty"`
	Bus       busReport `json:"bus"`
}

type busReport struct {
	Reachable bool   `json:"reachable"`
	Error     string `json:"error,omitempty"`
}

func (h *host) health(w http.ResponseWriter, _ *http.Request) {
	v := h.state.view()
	connected := v.Phase != starting && v.Phase != connecting && v.Phase != stopped
	body := report{
		Status: "ok", Component: h.Config.Name, Kind: h.Config.Kind, Type: h.Config.Type,
		State: v.Phase, Reason: v.Reason,
		Bus: busReport{Reachable: connected && v.BusErr == "", Error: v.BusErr},
	}
	status := http.StatusOK
	if !v.Ready {
		body.Status, status = "unavailable", http.StatusServiceUnavailable
	}
	writeJSON(w, status, body)
}

// routes serves the component's own endpoints while it is ready.
func (h *host) routes(w http.ResponseWriter, r *http.Request) {
	v, ok := h.state.enter()
	if !ok {
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Connection", "close")
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"error": v.Public})
		return
	}
	defer h.state.leave()
	if h.instance.Load().Routes == nil {
		writeJSON(w, http.StatusNotFound, map[string]any{"error": "this component takes no requests: there are /health, /livez, /readyz, /startupz, /drained and /metrics"})
		return
	}
	h.instance.Load().Routes.ServeHTTP(w, r.WithContext(tracing.FromHeader(r.Context(), r.Header)))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}
