package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// Options of a bus. URL is needed, the others have defaults.
type Options struct {
	URL      string // nats://host:4222, tls:// for TLS
	Password string // in place of the URL's
	Project  string // keeps the streams of systems apart; "default" if empty
	Log      *slog.Logger

	Backoff       bus.Backoff   // between the attempts of a message
	DedupWindow   time.Duration // in which a finished id isn't handled again; 5 min if 0
	Lease         time.Duration // after which a silent replica counts as dead; 5 s if 0
	MaxDeliveries int           // of a message whose replicas all died of it; 5 if 0
}

// User is whom a server for a project knows, where the URL doesn't say another.
const User = "ww"

const (
	attemptTimeout = 5 * time.Second // of one round trip
	inboxTTL       = 10 * time.Minute
	hops           = 10_000 // that Trace remembers
	oldest         = "2.10" // server
)

// Open connects to a server and goes on trying until it is there or ctx is
// done. A wrong password or URL is an error at once.
func Open(ctx context.Context, o Options) (*Bus, error) {
	o = o.withDefaults()
	n, err := newNames(o.Project)
	if err != nil {
		return nil, err
	}
	where, err := o.address()
	if err != nil {
		return nil, err
	}
	b := newBus(o, n, where)
	if err := b.connect(ctx); err != nil {
		b.disconnect()
		return nil, fmt.Errorf("message bus: %w", err)
	}
	outlive := context.WithoutCancel(ctx)
	b.helpers.Go(func() { b.resume(outlive) })
	b.helpers.Go(func() { b.watchSettings(outlive) })
	return b, nil
}

func (o Options) withDefaults() Options {
	if o.DedupWindow <= 0 {
		o.DedupWindow = 5 * time.Minute
	}
	if o.Lease <= 0 {
		o.Lease = 5 * time.Second
	}
	if o.MaxDeliveries <= 0 {
		o.MaxDeliveries = 5
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// address is where the server is and how to sign on.
type address struct {
	url      string // without who
	host     string
	user     string
	password string
	token    string
}

// address never quotes the URL or what a parser says about it: both may contain
// the password.
func (o Options) address() (address, error) {
	scheme, _, _ := strings.Cut(o.URL, "://")
	switch scheme {
	case "nats", "tls", "ws", "wss":
	default:
		return address{}, errors.New("the URL of the bus must begin with nats:// or tls://, like nats://localhost:4222")
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Hostname() == "" {
		return address{}, errors.New("the URL of the bus can't be read: write nats://[USER:PASSWORD@]HOST[:PORT], " +
			"with special characters of the password percent-encoded")
	}
	a := address{host: u.Host, password: o.Password}
	if u.Port() == "" && (scheme == "nats" || scheme == "tls") {
		a.host += ":4222"
	}
	a.url = scheme + "://" + a.host
	if u.User != nil {
		a.user = u.User.Username()
		p, ok := u.User.Password()
		switch {
		case a.password == "" && !ok: // as other clients of NATS read it
			a.user, a.token = "", a.user
		case a.password == "":
			a.password = p
		}
	}
	if a.user == "" && a.password != "" {
		a.user = User
	}
	return a, nil
}

// dial makes one attempt to connect.
func (b *Bus) dial() (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("ww " + b.opts.Project),
		nats.Timeout(3 * time.Second),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(50 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 100*time.Millisecond),
		// What is published while the server is away must not be sent behind
		// what was tried again after it.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(2 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.IgnoreAuthErrorAbort(),
		nats.NoCallbacksAfterClientClose(),
		nats.ReconnectHandler(func(*nats.Conn) {
			select {
			case b.reconnected <- struct{}{}:
			default: // it is known
			}
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.opts.Log.Warn("the connection to the bus is lost; reconnecting", "error", b.explain(err))
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			b.opts.Log.Warn("the bus reports an error", "error", b.explain(err))
		}),
	}
	switch {
	case b.where.token != "":
		opts = append(opts, nats.Token(b.where.token))
	case b.where.user != "":
		opts = append(opts, nats.UserInfo(b.where.user, b.where.password))
	}
	return nats.Connect(b.where.url, opts...)
}

// connect returns when the server answers and has all that the project needs.
func (b *Bus) connect(ctx context.Context) error {
	err := b.retry(ctx, "connect", func(context.Context) (err error) {
		b.nc, err = b.dial()
		return err
	})
	if err != nil {
		return err
	}
	if !atLeast(b.nc.ConnectedServerVersion(), oldest) {
		return fmt.Errorf("bus at %s: the server is %s: use NATS %s or newer", b.where.host, b.nc.ConnectedServerVersion(), oldest)
	}
	if b.js, err = jetstream.New(b.nc, jetstream.WithDefaultTimeout(attemptTimeout)); err != nil {
		return err
	}
	return b.retry(ctx, "connect", b.ensure)
}

// resume tells all who wait for it that the connection is back, once what a
// server that was started anew has lost is there again. It works until the bus
// is closed.
func (b *Bus) resume(ctx context.Context) {
	for {
		select {
		case <-b.reconnected:
		case <-b.done:
			return
		}
		if err := b.retry(ctx, "resume", b.ensure); err != nil && !b.isClosed() {
			b.opts.Log.Error("the bus is back and can't be used", "error", err)
		}
		b.resumed.send()
	}
}

// atLeast compares versions by their first two numbers.
func atLeast(version, want string) bool {
	var v, w [2]int
	fmt.Sscanf(version, "%d.%d", &v[0], &v[1]) // what can't be read is 0
	fmt.Sscanf(want, "%d.%d", &w[0], &w[1])
	return v[0] > w[0] || v[0] == w[0] && v[1] >= w[1]
}
