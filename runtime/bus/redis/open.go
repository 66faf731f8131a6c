package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// Options of a bus. URL is needed, the others have defaults.
type Options struct {
	URL      string // redis://[USER:PASSWORD@]HOST:6379 and others: see doc.go
	Password string // in place of the URL's
	Project  string // keeps the keys of systems apart; "default" if empty
	Log      *slog.Logger

	Backoff       bus.Backoff   // between the attempts of a message
	DedupWindow   time.Duration // in which a finished id isn't handled again; 5 min if 0
	Lease         time.Duration // after which a silent replica counts as dead; 5 s if 0
	MaxDeliveries int           // of a message whose replicas all died of it; 5 if 0
}

const (
	attemptTimeout = 5 * time.Second // of one round trip
	inboxTTL       = 10 * time.Minute
)

// Open connects to a Redis server and goes on trying until it is there or ctx
// is done. A wrong password or URL is an error at once.
func Open(ctx context.Context, o Options) (*Bus, error) {
	o = o.withDefaults()
	keys, err := newKeyspace(o.Project)
	if err != nil {
		return nil, err
	}
	server, err := o.server()
	if err != nil {
		return nil, err
	}
	quiet.Do(func() { redis.SetLogger(silence{}) })
	b := newBus(o, server, keys)
	if err := b.connect(ctx); err != nil {
		_ = b.client.Close() // nothing was sent
		return nil, err
	}
	b.helpers.Go(func() { b.flush.run(context.WithoutCancel(ctx), b.done) })
	b.helpers.Go(func() { b.settler.run(context.WithoutCancel(ctx), b.done) })
	return b, nil
}

// The client writes to standard error by itself when a server is away, between
// the lines of a structured log. What it says is in the errors as well.
var quiet sync.Once

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

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

// connect returns when the server answers.
func (b *Bus) connect(ctx context.Context) error {
	err := b.retry(ctx, "connect", func(ctx context.Context) error { return b.client.Ping(ctx).Err() })
	if err != nil {
		return fmt.Errorf("message bus: %w", err)
	}
	return nil
}

// retry calls op until it succeeds, fails for good, ctx is done or the bus is
// closed. What fails in passing is tried again after a growing delay.
func (b *Bus) retry(ctx context.Context, what string, op func(context.Context) error) error {
	delay := bus.Backoff{Min: 5 * time.Millisecond, Max: time.Second}
	for n := 1; ; n++ {
		err := attempt(ctx, op)
		if err == nil {
			return nil
		}
		if !passing(err) {
			return fmt.Errorf("%s: %w", what, b.explain(err))
		}
		if err := b.sleep(ctx, delay.Delay(n), err); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

func attempt(ctx context.Context, op func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return op(ctx)
}

// passing reports whether an error may be gone when the same is tried again:
// all of the network's, and those with which a server says that it can't now.
func passing(err error) bool {
	var reply redis.Error
	switch {
	case errors.Is(err, redis.ErrClosed), errors.Is(err, bus.ErrClosed), bus.IsPermanent(err):
		return false
	case errors.As(err, new(x509.UnknownAuthorityError)), errors.As(err, new(x509.HostnameError)),
		errors.As(err, new(tls.RecordHeaderError)):
		return false
	case errors.Is(err, bus.ErrFull), !errors.As(err, &reply):
		return true
	}
	for _, p := range []string{"LOADING", "BUSY ", "MASTERDOWN", "READONLY", "TRYAGAIN", "CLUSTERDOWN", "OOM",
		"NOSCRIPT", "EXECABORT", "MISCONF", "NOREPLICAS", "ERR max number of clients"} {
		if strings.HasPrefix(reply.Error(), p) {
			return true
		}
	}
	return false
}

// explain says where the bus is, what is wrong and what to do about it.
func (b *Bus) explain(err error) error {
	var dns *net.DNSError
	advice := ""
	text := err.Error()
	switch {
	case errors.Is(err, bus.ErrClosed), errors.Is(err, redis.ErrClosed):
		return bus.ErrClosed
	case errors.Is(err, bus.ErrFull):
		return err
	case errors.As(err, &dns) && dns.IsNotFound:
		advice = "its name is not found: check the URL, and that both are on the same network"
	case errors.Is(err, syscall.ECONNREFUSED):
		advice = "connection refused: check that the bus is running and the port is right"
	case strings.HasPrefix(text, "WRONGPASS"), strings.Contains(text, "invalid password"):
		advice = "it refuses the password: check the secret of the bus"
	case strings.HasPrefix(text, "NOAUTH"):
		advice = "it wants a password: set the secret of the bus"
	case strings.HasPrefix(text, "OOM"):
		advice = "its memory is full: let the consumers catch up, or raise maxmemory"
	case strings.HasPrefix(text, "MISCONF"):
		advice = "it can't write to its disk: check the volume"
	case errors.As(err, new(tls.RecordHeaderError)):
		advice = "it doesn't speak TLS: write redis:// in place of rediss://"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		advice = "no answer in time: check that it is running and reachable"
	}
	if advice != "" {
		advice += ": "
	}
	return &unreachable{fmt.Sprintf("bus at %s: %s%s", b.server.addr, advice, b.redact(text)), err}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// redact is the last line of defence: no error of a server or a library is
// known to quote a password.
func (b *Bus) redact(s string) string {
	if p := b.server.password; p != "" {
		s = strings.ReplaceAll(s, p, "***")
	}
	return s
}

// unreachable has a text of its own over the error that it wraps.
type unreachable struct {
	text string
	err  error
}

func (e *unreachable) Error() string { return e.text }
func (e *unreachable) Unwrap() error { return e.err }
