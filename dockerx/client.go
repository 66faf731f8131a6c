package dockerx

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
)

var _ deploy.Driver = (*Engine)(nil)

// Options says which engine to use. The zero value is the engine that the
// docker command would use.
type Options struct {
	// Host is the engine's address: unix://, tcp://, ssh:// or npipe://. Empty:
	// that of Context, or else what the environment and docker's own
	// configuration say.
	Host string
	// Context is the name of a docker context. It can't be given with Host.
	Context string
	// ConfigDir is docker's configuration directory. Empty: DOCKER_CONFIG, or
	// .docker in the home directory.
	ConfigDir string
	// Getenv looks up environment variables. Nil: os.Getenv.
	Getenv func(string) string
	// Answer is how long the engine may take to answer calls that wait for
	// nothing but itself. 0: DefaultAnswer.
	Answer time.Duration
	// Log gets what isn't an error, such as an engine's warnings. Nil: nothing
	// is logged.
	Log *slog.Logger
}

// Engine is one Docker Engine. It implements deploy.Driver, and its methods may
// be called at the same time.
type Engine struct {
	endpoint  endpoint
	configDir string
	log       *slog.Logger
	client    *client.Client
	transport *http.Transport
	calls     http.RoundTripper // the transport, with a bound on the engine's silence

	negotiating chan struct{} // a lock that can be waited for with a context
	negotiated  bool
	ping        types.Ping
}

// Open prepares to use an engine. It makes no call: whether an engine answers
// shows with the first one, such as Info. It fails if the address, the context
// or the certificates that it is told of are of no use, or if ctx is done.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open engine: %w", err)
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ConfigDir == "" {
		o.ConfigDir = defaultConfigDir(o.Getenv)
	}
	ep, err := resolveEndpoint(o)
	if err != nil {
		return nil, nowhere(o, err)
	}
	dial, err := dialer(ep)
	if err != nil {
		return nil, nowhere(o, err)
	}
	e := &Engine{
		endpoint:  ep,
		configDir: o.ConfigDir,
		log:       o.Log,
		// An orchestrator makes many short calls at the same time; the default
		// of two idle connections per host would have it dial for most of them.
		transport: &http.Transport{
			DialContext:         dial,
			MaxIdleConns:        64,
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true,
		},
		negotiating: make(chan struct{}, 1),
	}
	e.calls = &patience{e.transport, cmp.Or(o.Answer, DefaultAnswer)}
	e.client, err = newClient(e.transport, e.calls, dial, ep.authority(), o.Getenv("DOCKER_API_VERSION"))
	if err != nil {
		return nil, fmt.Errorf("open engine at %s: %w", ep.host, err)
	}
	return e, nil
}

func newClient(tr *http.Transport, calls http.RoundTripper, dial dialFunc, authority, version string) (*client.Client, error) {
	by := &http.Client{Transport: tr, CheckRedirect: client.CheckRedirect}
	c, err := client.NewClientWithOpts(
		client.WithHTTPClient(by),
		// The client never dials by itself: this is the Host of its requests.
		client.WithHost(authorityScheme+authority),
		client.WithDialContext(dial),
		client.WithScheme("http"),
		client.WithVersion(version),
	)
	// The client's options set the environment's proxy, which a socket doesn't
	// have, and which would turn requests into ones to a proxy.
	tr.Proxy = nil
	by.Transport = calls // the options take a *http.Transport only
	return c, err
}

// Host is the address that the engine is reached under.
func (e *Engine) Host() string { return e.endpoint.host }

// Close closes idle connections. Calls that are under way aren't affected.
func (e *Engine) Close() error {
	e.transport.CloseIdleConnections()
	return nil
}

// oldestAPI is the oldest version of the engine's API that is spoken.
const oldestAPI = "1.24"

// api returns the client once it speaks the engine's version. The first
// successful call pings the engine; later ones cost nothing.
func (e *Engine) api(ctx context.Context) (*client.Client, error) {
	select {
	case e.negotiating <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-e.negotiating }()
	if e.negotiated {
		return e.client, nil
	}
	ping, err := e.client.Ping(ctx)
	if err != nil {
		return nil, err
	}
	if v := ping.APIVersion; v != "" && versions.LessThan(v, oldestAPI) {
		return nil, &deploy.EngineError{
			Kind: deploy.Other, What: "talk to the engine at " + e.endpoint.host,
			Err:    fmt.Errorf("it speaks API %s only, and %s is the oldest that ww knows", v, oldestAPI),
			Remedy: "update the engine, or set DOCKER_HOST to a newer one",
		}
	}
	e.client.NegotiateAPIVersionPing(ping)
	e.ping, e.negotiated = ping, true
	return e.client, nil
}

// call runs f with the negotiated client, and says what was being done if it
// fails.
func (e *Engine) call(ctx context.Context, what string, f func(*client.Client) error) error {
	c, err := e.api(ctx)
	if err == nil {
		err = f(c)
	}
	return e.fail(ctx, what, err)
}

// nowhere is the error of an address that leads to no engine.
func nowhere(o Options, err error) error {
	return &deploy.EngineError{
		Kind: deploy.Unreachable, What: "find the engine", Err: err,
		Remedy: "the address comes from " + Source(o) + ": correct or unset that",
	}
}

// Info tells what engine this is.
func (e *Engine) Info(ctx context.Context) (deploy.EngineInfo, error) {
	var info deploy.EngineInfo
	err := e.call(ctx, "ask the engine for its version", func(c *client.Client) error {
		v, err := c.ServerVersion(ctx)
		if err != nil {
			return err
		}
		info = deploy.EngineInfo{
			Version:    v.Version,
			APIVersion: c.ClientVersion(),
			OS:         v.Os,
			Arch:       v.Arch,
			Host:       e.endpoint.host,
			BuildKit:   e.ping.BuilderVersion == build.BuilderBuildKit,
		}
		return nil
	})
	return info, err
}
