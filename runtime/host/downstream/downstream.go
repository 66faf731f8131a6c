// Package downstream is how components call what isn't part of the system. A
// host that keeps failing isn't called for a while: whoever would have waited
// for it fails at once, and the bus delivers the message again later, without
// counting the attempt. Then one call after the other finds out whether it is
// back.
package downstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/propagation"

	"woodwork.dev/ww/runtime/bus"
)

const (
	// trip is how many failures in a row open the circuit.
	trip    = 5
	openFor = 5 * time.Second
	// spread is over how long the messages that were refused come again, so that
	// one of them finds out for the others.
	spread = time.Second
	// longestPause is the most that a host can ask for with Retry-After.
	longestPause = time.Minute
)

// OpenError is the error of a call that was not made. It is marked
// bus.RetryAfter: no message fails of it.
type OpenError struct {
	Host  string
	Until time.Time // no call is made before
	Cause error     // the last failure
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("%s is not called until %s: %v", e.Host, e.Until.UTC().Format("15:04:05.000Z"), e.Cause)
}

func (e *OpenError) Unwrap() error { return e.Cause }

// Transport makes HTTP calls with a circuit breaker for each host.
type Transport struct {
	base http.RoundTripper
	log  *slog.Logger

	mu    sync.Mutex
	hosts map[string]*circuit
}

// New returns a transport over base.
func New(base http.RoundTripper, log *slog.Logger) *Transport {
	return &Transport{base: base, log: log, hosts: map[string]*circuit{}}
}

// Open tells of each host that was called whether calls to it fail at once now.
func (t *Transport) Open() map[string]bool {
	t.mu.Lock()
	hosts := maps.Clone(t.hosts)
	t.mu.Unlock()
	out := make(map[string]bool, len(hosts))
	for name, c := range hosts {
		out[name] = c.refusal(time.Now()) != nil
	}
	return out
}

func (t *Transport) circuit(host string) *circuit {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.hosts[host]
	if c == nil {
		c = newCircuit(host, t.log)
		t.hosts[host] = c
	}
	return c
}

// RoundTrip implements http.RoundTripper. What counts is whether an answer
// begins: an error, 429 or 5xx is a failure, and so is a body that breaks off
// before its first byte. A call that its caller gave up says nothing.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	c := t.circuit(r.URL.Host)
	done, err := c.allow()
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	propagation.TraceContext{}.Inject(r.Context(), propagation.HeaderCarrier(r.Header))
	res, err := t.base.RoundTrip(r)
	if err != nil {
		done(err)
		return nil, err
	}
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= http.StatusInternalServerError {
		failure := fmt.Errorf("it answered %s", res.Status)
		done(failure)
		if d := pauseOf(res.Header.Get("Retry-After"), time.Now()); d > 0 {
			c.pause(d)
		}
		return res, nil
	}
	res.Body = &body{ReadCloser: res.Body, done: done}
	return res, nil
}

// CloseIdleConnections frees what base keeps for later calls.
func (t *Transport) CloseIdleConnections() {
	if b, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		b.CloseIdleConnections()
	}
}

// pauseOf reads a Retry-After: seconds or a date. 0 if there is none.
func pauseOf(text string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		d = time.Duration(min(n, int(longestPause/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), longestPause)
}

// body reports how the answer began.
type body struct {
	io.ReadCloser
	once sync.Once
	done func(error)
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.once.Do(func() {
		begun := n > 0 || errors.Is(err, io.EOF)
		if begun {
			b.done(nil)
		} else {
			b.done(err)
		}
	})
	return n, err
}

func (b *body) Close() error {
	b.once.Do(func() { b.done(nil) })
	return b.ReadCloser.Close()
}

// circuit is what is known about one host.
type circuit struct {
	host    string
	breaker *gobreaker.TwoStepCircuitBreaker[any]

	mu    sync.Mutex
	until time.Time // of being open, or of the pause that it asked for
	cause error
}

func newCircuit(host string, log *slog.Logger) *circuit {
	c := &circuit{host: host}
	c.breaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Timeout:     openFor,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= trip },
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				c.pause(openFor)
			}
			log.Warn("the circuit of a downstream changed", "downstream", host, "state", to.String())
		},
	})
	return c
}

// allow lets a call through or says why not; done is to be told how it began.
func (c *circuit) allow() (done func(error), err error) {
	now := time.Now()
	if err := c.refusal(now); err != nil {
		return nil, err
	}
	report, err := c.breaker.Allow()
	if err != nil { // open by a hair, or somebody else is finding out
		c.mu.Lock()
		defer c.mu.Unlock()
		return nil, c.open(later(c.until, now), now)
	}
	return func(err error) {
		if err != nil {
			c.mu.Lock()
			c.cause = err
			c.mu.Unlock()
		}
		report(err)
	}, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pause keeps calls back for d.
func (c *circuit) pause(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = later(c.until, time.Now().Add(d))
}

// refusal is why no call is made now; nil if one may be.
func (c *circuit) refusal(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.until) {
		return c.open(c.until, now)
	}
	return nil
}

// open is the refusal of a call that may be made at until. With c.mu held.
func (c *circuit) open(until, now time.Time) error {
	wait := until.Sub(now) + spread/10 + rand.N(spread)
	return bus.RetryAfter(wait, &OpenError{Host: c.host, Until: until, Cause: c.cause})
}
