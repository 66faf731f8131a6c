package inproc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
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
	"woodwork.dev/ww/runtime/component/api"
	"woodwork.dev/ww/runtime/host"
)

// Server is a server deployment: an HTTP port through which its components, and
// those of the same system elsewhere, are asked.
type Server struct {
	Name       string // of the deployment
	Addr       string // host:port
	Components []string
	Health     bool   // it answers /health
	Discovery  bool   // it answers /components, and asks components that live elsewhere
	Token      string // that requests have to bring; none is asked for if empty
}

const (
	maxBody      = 8 << 20          // bytes of one request
	maxRequests  = 1024             // that are served at the same time
	lastRequests = 10 * time.Second // that those under way may take at the end
	outputTopic  = "component.output"
	outputsAhead = 1024 // outputs that may wait for being published
)

// server is a Server that runs.
type server struct {
	*Server
	system   *System
	listener net.Listener
	http     *http.Server
	log      *slog.Logger

	refusing atomic.Bool
	slots    chan struct{}
	asking   sync.Map // component → http.Handler
	outputs  chan bus.Message
	over     chan struct{} // closed when no more outputs come
	emitting sync.WaitGroup
	wg       sync.WaitGroup
}

func newServer(s *System, o *Server) (*server, error) {
	l, err := listen(o.Addr, "server "+o.Name)
	if err != nil {
		return nil, err
	}
	srv := &server{
		Server: o, system: s, listener: l, log: s.Log.With("server", o.Name),
		slots: make(chan struct{}, maxRequests), outputs: make(chan bus.Message, outputsAhead), over: make(chan struct{}),
	}
	srv.http = &http.Server{
		Handler: srv.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(srv.log.Handler(), slog.LevelDebug),
	}
	return srv, nil
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	if s.Health {
		mux.HandleFunc("GET /health", s.health)
	}
	if s.Discovery {
		mux.HandleFunc("GET /components", s.components)
	}
	mux.Handle("GET /metrics", s.system.metrics)
	mux.HandleFunc("GET /openapi.json", s.openAPI)
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("POST /{name}/input", s.limited(s.input))
	mux.HandleFunc("POST /{name}/messages", s.limited(s.message))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { nothingHere(mux, w, r) })
	return s.authorized(mux)
}

// nothingHere answers what no route is for.
func nothingHere(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if _, route := mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host}); route != "/" {
			w.Header().Set("Allow", method)
			problem(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s is asked with %s", r.URL.Path, method))
			return
		}
	}
	problem(w, http.StatusNotFound, "there is nothing here: components are asked with POST /NAME/input, and /openapi.json lists what else there is")
}

// authorized lets through who brings the token. It takes as long whatever is
// wrong with one. Health tells no more than whether, and is for everybody.
func (s *server) authorized(next http.Handler) http.Handler {
	if s.Token == "" {
		return next
	}
	want := sha256.Sum256([]byte(s.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		bearer := strings.EqualFold(scheme, "Bearer")
		got := sha256.Sum256([]byte(token))
		if (subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !bearer) && r.URL.Path != "/health" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			what := "this server wants a token: Authorization: Bearer …"
			if bearer {
				what = "this is not the token that this server wants"
			}
			problem(w, http.StatusUnauthorized, what)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// limited refuses what comes while the system stops, or beyond what is served at
// the same time.
func (s *server) limited(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.refusing.Load() {
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Connection", "close")
			problem(w, http.StatusServiceUnavailable, component.ErrDraining.Error())
			return
		}
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			next(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusTooManyRequests, fmt.Sprintf("%d requests are being served already", maxRequests))
		}
	}
}

func problem(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, map[string]string{"error": text})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that has gone needs no answer
}

// input asks a component and answers with what it answers.
func (s *server) input(w http.ResponseWriter, r *http.Request) {
	if h := s.target(w, r); h != nil {
		h.ServeHTTP(w, r)
	}
}

// target finds who answers for the component that the path names; nil where
// there is none, which is answered.
func (s *server) target(w http.ResponseWriter, r *http.Request) http.Handler {
	name := r.PathValue("name")
	if h, ok := s.asking.Load(name); ok {
		return h.(http.Handler)
	}
	known, err := s.known(r.Context())
	if err != nil {
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, "the registry can't be read now: try again later")
		s.log.Error("the registry can't be read", "error", err)
		return nil
	}
	if !slices.Contains(known, name) {
		problem(w, http.StatusNotFound, fmt.Sprintf("there is no component %q: there are %s", name, strings.Join(known, ", ")))
		return nil
	}
	h, err := s.asker(name)
	if err != nil {
		problem(w, http.StatusInternalServerError, err.Error())
		return nil
	}
	s.asking.Store(name, h)
	return h
}

// known lists the components that can be asked.
func (s *server) known(ctx context.Context) ([]string, error) {
	names := slices.Clone(s.Components)
	if s.Discovery {
		entries, err := s.system.bus.entries(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			names = append(names, e.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// asker is the input of one component: that of the kind input api, with the
// component in place of what comes behind it. A component that is such an input
// itself answers with its own.
func (s *server) asker(name string) (http.Handler, error) {
	if p := s.system.byName[name]; p != nil && p.Config.Kind == "input" {
		return forward(p.listener.Addr().String()), nil
	}
	settings, err := json.Marshal(map[string]int{"max_body": maxBody})
	if err != nil {
		return nil, err
	}
	i, err := api.Build(context.Background(), component.Env{
		Config: component.Config{Name: name, Kind: "input", Type: "api", To: []string{name}, Settings: settings},
		Log:    s.log, Ask: func(ctx context.Context, in component.Submission) (bus.Replies, error) { return s.ask(ctx, name, in) },
	})
	if err != nil {
		return nil, err
	}
	return i.Routes, nil
}

// forward hands a request to a component's own port, and its answer back as it
// comes.
func forward(addr string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = "http", addr, ""
		out.Header.Del("Authorization") // it is this server's
		res, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			w.Header().Set("Retry-After", "1")
			problem(w, http.StatusServiceUnavailable, "the component can't be reached now: try again later")
			return
		}
		defer func() { _ = res.Body.Close() }()
		maps.Copy(w.Header(), res.Header)
		w.WriteHeader(res.StatusCode)
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Time{}) // the component has its own
		buf := make([]byte, 32<<10)
		for {
			n, err := res.Body.Read(buf)
			if _, werr := w.Write(buf[:n]); err != nil || werr != nil || rc.Flush() != nil {
				return
			}
		}
	})
}

func (s *server) work(name string, in component.Submission) bus.Message {
	return bus.Message{
		ID: in.ID, SessionID: in.Session, Type: "input", Payload: in.Payload, Sender: s.Name, Target: name,
		Pattern: bus.PointToPoint, TraceParent: host.NewTrace(),
	}
}

func (s *server) ask(ctx context.Context, name string, in component.Submission) (bus.Replies, error) {
	b, _, err := s.system.bus.lend(ctx)
	if err != nil {
		return nil, err
	}
	r, err := b.Request(ctx, s.work(name, in))
	if err != nil {
		return nil, err
	}
	return &watched{Replies: r, server: s, component: name, session: in.Session}, nil
}

// watched tells the system of the answer.
type watched struct {
	bus.Replies
	server             *server
	component, session string
}

// Next implements bus.Replies.
func (w *watched) Next(ctx context.Context) (bus.Message, error) {
	m, err := w.Replies.Next(ctx)
	if err == nil && !m.Chunk() && m.Error == "" {
		w.server.emit(ctx, w.component, w.session, m.Payload)
	}
	return m, err
}

// emit publishes a result for whoever wants to know. It happens behind the
// answer, and holds up new ones where too much of it waits.
func (s *server) emit(ctx context.Context, name, session string, result json.RawMessage) {
	payload, err := json.Marshal(struct {
		Component string          `json:"component"`
		Result    json.RawMessage `json:"result"`
		Server    string          `json:"server"`
	}{name, result, s.listener.Addr().String()})
	if err != nil {
		return // a result is JSON
	}
	select {
	case s.outputs <- bus.Message{Pattern: bus.PublishSubscribe, Type: outputTopic, Payload: payload, Sender: s.Name, SessionID: session}:
	case <-ctx.Done():
	}
}

// emitAll publishes what emit has put there, as much at a time as there is,
// until there is nothing more to come.
func (s *server) emitAll(ctx context.Context) {
	for {
		var ms []bus.Message
		select {
		case m := <-s.outputs:
			ms = append(ms, m)
		case <-s.over:
			select { // what was put there before
			case m := <-s.outputs:
				ms = append(ms, m)
			default:
				return
			}
		}
		for more := true; more && len(ms) < 100; {
			select {
			case m := <-s.outputs:
				ms = append(ms, m)
			default:
				more = false
			}
		}
		if b := s.system.bus.now(); b != nil {
			if err := b.Publish(ctx, ms...); err != nil {
				s.log.Warn("results were not published", "topic", outputTopic, "results", len(ms), "error", err)
			}
		}
	}
}

// message takes a message for a component without waiting for what becomes of
// it.
func (s *server) message(w http.ResponseWriter, r *http.Request) {
	if s.target(w, r) == nil {
		return
	}
	in, status, err := api.Read(w, r, maxBody)
	if err != nil {
		problem(w, status, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), bus.DefaultPublishWait)
	defer cancel()
	b, _, err := s.system.bus.lend(ctx)
	if err == nil {
		err = b.Publish(ctx, s.work(r.PathValue("name"), in))
	}
	switch {
	case err == nil:
		writeJSON(w, http.StatusAccepted, map[string]string{"message_id": in.ID, "session_id": in.Session})
	case errors.Is(err, bus.ErrTooLarge):
		problem(w, http.StatusRequestEntityTooLarge, err.Error())
	case errors.Is(err, bus.ErrFull):
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusTooManyRequests, "too many messages wait already: try again later")
	default:
		s.log.Error("a message can't be delivered", "error", err, "message_id", in.ID)
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, "the message can't be delivered now: try again later")
	}
}

// serve begins to take requests: before the components are ready, so that who
// asks learns that they aren't.
func (s *server) serve(live context.Context) {
	s.http.BaseContext = func(net.Listener) context.Context { return live }
	s.wg.Go(func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.system.fail(fmt.Errorf("server %s: %w", s.Name, err))
		}
	})
	s.emitting.Go(func() { s.emitAll(live) })
}

// refuse has new work refused from now on.
func (s *server) refuse() { s.refusing.Store(true) }

// drain waits until what is being served is answered, or ctx is done, and then
// until its results are on the bus.
func (s *server) drain(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, lastRequests)
	defer cancel()
	err := s.http.Shutdown(limited)
	if err != nil {
		err = errors.Join(fmt.Errorf("server %s: requests were cut off: they took longer than %s", s.Name, lastRequests), s.http.Close())
	}
	close(s.over)
	s.emitting.Wait()
	return err
}

func (s *server) close() {
	_ = s.listener.Close() // it may never have served
	s.wg.Wait()
}
