// Package enginetest is a Docker Engine for tests: a real HTTP server on a unix
// socket that speaks the part of the engine's API that an orchestrator needs,
// with its state in memory. What containers do is told beforehand or on the way,
// calls are recorded, and any of them can be made to fail, hang, be cut or be
// late.
//
// It shares no code with the engine's client, so that a mistake about the API
// isn't made on both sides.
package enginetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// Options configure an engine.
type Options struct {
	// APIVersion is the newest version that it speaks. Empty: 1.51.
	APIVersion string
	// Behind is the unix socket of another engine, which answers all calls: what
	// is left to this one is to count them, and to have them go wrong.
	Behind string
	// BuildKit has it say that BuildKit is its builder.
	BuildKit bool
	// Info is more than what it says of itself otherwise, or other.
	Info map[string]any
	// Images are there from the start.
	Images []string
	// PullErrors are what a registry says about images; others can be pulled.
	PullErrors map[string]string
	// BuildErrors are what the last step of an image's build fails with.
	BuildErrors map[string]string
	// Services is what containers do, by the service in their label.
	Services map[string]Behaviour
	// Exec is what commands in containers do; nil: end at once with code 0.
	Exec func(Exec) int
}

// Behaviour is what the containers of a service do. The zero value runs until it
// is stopped, then exits with 0, and is healthy at once if it has a health
// check.
type Behaviour struct {
	Output      []Line // written as it starts
	Exits       bool   // it ends by itself after that
	ExitCode    int    // of its end, by itself or when it is stopped
	Health      Health
	CheckOutput string // of its health check, each time that this fails
	PortTaken   int    // this host port is taken by another program: the start fails
	StartError  string // the start fails with this
	IgnoresStop bool   // only killing ends it
	Echo        bool   // it copies its input to its output, and ends with it

	// RestartAfter is how long the engine waits before it starts one again whose
	// policy says so; 0: longer each time, from 10 ms to a second.
	RestartAfter time.Duration
}

// Line is a line of a container's output.
type Line struct {
	Text   string
	Stderr bool
}

// Health is how a container's health check comes out.
type Health int

const (
	// HealthyAtOnce is healthy as soon as it runs.
	HealthyAtOnce Health = iota
	// HealthWhenAsked stays starting until SetHealth.
	HealthWhenAsked
	// NeverHealthy is unhealthy as soon as it runs.
	NeverHealthy
)

// Call is a request that the engine got.
type Call struct {
	Op     string // such as container.create; see the routes
	Target string // name or id in the path, as sent
	Query  url.Values
	Body   json.RawMessage // where it is JSON
}

// Engine is a running engine.
type Engine struct {
	opts   Options
	host   string
	server *http.Server
	behind http.Handler // nil: this engine answers by itself
	stop   context.CancelFunc
	ctx    context.Context // of the server: ends with it
	wg     sync.WaitGroup

	mu          sync.Mutex
	ended       bool
	changed     chan struct{} // closed and replaced by every change
	cut         chan struct{} // closed and replaced by CutStreams
	sequence    int
	calls       []Call
	faults      []*Fault
	containers  []*ctr
	networks    []*netw
	volumes     map[string]*vol
	images      map[string]string            // reference → id
	imageLabels map[string]map[string]string // by id
	execs       map[string]*execution
	events      []event
	contexts    map[string]map[string][]byte
}

// Start starts an engine that ends with the test.
func Start(tb testing.TB, o Options) *Engine {
	tb.Helper()
	if o.APIVersion == "" {
		o.APIVersion = "1.51"
	}
	// Not the test's own directory: its path can be too long for a socket.
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		tb.Fatalf("enginetest: %v", err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatalf("enginetest: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &Engine{
		opts: o, host: "unix://" + path, stop: cancel, ctx: ctx,
		changed: make(chan struct{}), cut: make(chan struct{}),
		volumes: map[string]*vol{}, images: map[string]string{}, imageLabels: map[string]map[string]string{}, execs: map[string]*execution{},
		contexts: map[string]map[string][]byte{},
	}
	e.opts.Services = map[string]Behaviour{}
	for s, b := range o.Services {
		e.opts.Services[s] = b
	}
	for _, ref := range o.Images {
		e.images[tagged(ref)] = "sha256:" + e.newID()
	}
	if o.Behind != "" {
		e.behind = proxy(o.Behind)
	}
	e.server = &http.Server{Handler: e.handler(), BaseContext: func(net.Listener) context.Context { return ctx }}
	served := make(chan struct{})
	go func() { defer close(served); _ = e.server.Serve(l) }()
	tb.Cleanup(func() {
		cancel()
		_ = e.server.Close()
		<-served
		e.mu.Lock()
		e.ended = true // nobody enters any more, so that what is waited for is all
		e.mu.Unlock()
		e.wg.Wait()
		_ = os.RemoveAll(dir)
	})
	return e
}

// Host is the engine's address, as DOCKER_HOST has it.
func (e *Engine) Host() string { return e.host }

// Stop ends the engine before the test ends: it is unreachable from then on.
func (e *Engine) Stop() {
	e.stop()
	_ = e.server.Close()
}

// Calls returns the calls of some operations in the order that they came in, or
// all but pings if none is named.
func (e *Engine) Calls(ops ...string) []Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Call
	for _, c := range e.calls {
		if len(ops) == 0 && c.Op != "ping" || slices.Contains(ops, c.Op) {
			out = append(out, c)
		}
	}
	return out
}

// AwaitCalls waits until there have been n calls of some operations, as Calls
// counts them. It is false if ctx ends before.
func (e *Engine) AwaitCalls(ctx context.Context, n int, ops ...string) bool {
	for {
		e.mu.Lock()
		changed := e.changed
		e.mu.Unlock()
		if len(e.Calls(ops...)) >= n {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// SetBehaviour changes what containers of a service do when they are started
// next.
func (e *Engine) SetBehaviour(service string, b Behaviour) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opts.Services[service] = b
}

// SetHealth has the running containers of a service become healthy or not.
func (e *Engine) SetHealth(service string, healthy bool) {
	e.each(service, func(c *ctr) { e.setHealth(c, healthy) })
}

// Exit has the running containers of a service end by themselves.
func (e *Engine) Exit(service string, code int) {
	e.each(service, func(c *ctr) { e.die(c, code, false) })
}

// Print has the running containers of a service write a line.
func (e *Engine) Print(service string, l Line) {
	e.each(service, func(c *ctr) { c.write(l) })
}

func (e *Engine) each(service string, f func(*ctr)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if c.service() == service && c.running() {
			f(c)
		}
	}
	e.wake()
}

// CutStreams cuts the streams that are open: events, logs, attached terminals.
func (e *Engine) CutStreams() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.cut)
	e.cut = make(chan struct{})
}

// AddNetwork adds a network that no project owns, or, by its labels, one does.
func (e *Engine) AddNetwork(name string, labels map[string]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.networks = append(e.networks, &netw{ID: e.newID(), Name: name, Driver: "bridge", Labels: labels, ends: map[string]bool{}})
}

// HoldNetwork has a network keep an endpoint that belongs to no container, as
// engines sometimes do, until it is called with false.
func (e *Engine) HoldNetwork(name string, held bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range e.networks {
		if n.Name == name {
			n.held = held
		}
	}
}

// Images lists the references that images have, sorted; an image without a tag
// has its id.
func (e *Engine) Images() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.images))
}

// BuildContext returns the files that an image was built from, directories with
// a slash at the end.
func (e *Engine) BuildContext(image string) map[string][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.contexts[tagged(image)]
}

// File is a file that was copied into a container.
type File struct {
	Content  string
	Mode     int64
	UID, GID int
}

// Files returns the files that were copied into a container, by path.
func (e *Engine) Files(container string) map[string]File {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.find(container); c != nil {
		return c.files
	}
	return nil
}

// wake tells everything that waits for a change to look again. mu is held.
func (e *Engine) wake() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// newID returns an id that no other object has. mu is held, or nothing else
// knows of the engine yet.
func (e *Engine) newID() string {
	e.sequence++
	sum := sha256.Sum256(fmt.Appendf(nil, "%d", e.sequence))
	return hex.EncodeToString(sum[:])
}

// cutKey is the key of a request's channel that CutStreams closes.
type cutKey struct{}

// cuttable gives a request what openStream returns. It is asked for before the
// call is recorded: what is recorded can be cut.
func (e *Engine) cuttable(r *http.Request) *http.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return r.WithContext(context.WithValue(r.Context(), cutKey{}, (<-chan struct{})(e.cut)))
}

// openStream is closed when the streams that are open now are cut.
func openStream(r *http.Request) <-chan struct{} {
	cut, _ := r.Context().Value(cutKey{}).(<-chan struct{})
	return cut
}

// until waits until cond, called with mu held, is true. It is false if ctx, the
// engine or the stream end before.
func (e *Engine) until(ctx context.Context, cut <-chan struct{}, cond func() bool) bool {
	e.mu.Lock()
	for {
		if cond() {
			e.mu.Unlock()
			return true
		}
		changed := e.changed
		e.mu.Unlock()
		select {
		case <-changed:
		case <-cut:
			return false
		case <-ctx.Done():
			return false
		case <-e.ctx.Done():
			return false
		}
		e.mu.Lock()
	}
}

// after runs f with mu held when some time has passed, unless the engine ends
// before.
func (e *Engine) after(d time.Duration, f func()) {
	e.wg.Go(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			e.mu.Lock()
			defer e.mu.Unlock()
			f()
			e.wake()
		case <-e.ctx.Done():
		}
	})
}
