package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"woodwork.dev/ww/runtime/bus"
)

// retry calls op until it succeeds, fails for good, ctx is done or the bus is
// closed. What fails in passing is tried again after a growing delay; what the
// server has lost is made anew.
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
		if lost(err) && b.js != nil {
			if e := attempt(ctx, b.ensure); e != nil && !passing(e) {
				return fmt.Errorf("%s: %w", what, b.explain(e))
			}
		}
		t := time.NewTimer(delay.Delay(n))
		select {
		case <-t.C:
			continue
		case <-ctx.Done():
			err = fmt.Errorf("%s: %w (gave up: %w)", what, b.explain(err), ctx.Err())
		case <-b.done:
			err = fmt.Errorf("%s: %w", what, bus.ErrClosed)
		}
		t.Stop()
		return err
	}
}

func attempt(ctx context.Context, op func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return op(ctx)
}

// lost reports whether the server may have forgotten a stream, as it does with
// those in memory when it starts anew.
func lost(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound)
}

// passing reports whether an error may be gone when the same is tried again:
// all of the network's, and those with which a server says that it can't now.
func passing(err error) bool {
	switch {
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, bus.ErrClosed), bus.IsPermanent(err),
		errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrMaxPayload), errors.Is(err, bus.ErrTooLarge),
		errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount),
		errors.Is(err, nats.ErrSecureConnWanted), errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyExists),
		errors.Is(err, jetstream.ErrMsgNotFound), errors.Is(err, nats.ErrPermissionViolation):
		return false
	case errors.As(err, new(x509.UnknownAuthorityError)), errors.As(err, new(x509.HostnameError)),
		errors.As(err, new(tls.RecordHeaderError)):
		return false
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		// 503 is what a server that starts, stops or is full says.
		return api.Code == 503 || api.ErrorCode == jetstream.JSErrCodeStreamNotFound
	}
	return true
}

// conflict reports whether someone else has written first.
func conflict(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
			api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// explain says where the bus is, what is wrong and what to do about it.
func (b *Bus) explain(err error) error {
	var dns *net.DNSError
	var already *unreachable
	advice := ""
	switch {
	case errors.As(err, &already):
		return err
	case errors.Is(err, bus.ErrClosed), errors.Is(err, nats.ErrConnectionClosed):
		return bus.ErrClosed
	case errors.As(err, &dns) && dns.IsNotFound:
		advice = "its name is not found: check the URL, and that both are on the same network"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, nats.ErrNoServers):
		advice = "connection refused: check that the bus is running and the port is right"
	case errors.Is(err, nats.ErrAuthorization) && b.where.password == "" && b.where.token == "":
		advice = "it wants a password: set the secret of the bus"
	case errors.Is(err, nats.ErrAuthorization):
		advice = "it refuses the password: check the secret of the bus"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		advice = "JetStream is off: start the server with -js and give it a store_dir"
	case errors.Is(err, nats.ErrSecureConnWanted), errors.As(err, new(tls.RecordHeaderError)):
		advice = "it doesn't speak TLS: write nats:// in place of tls://"
	case lost(err):
		advice = "no stream takes this: check that JetStream is on and has room"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), isTimeout(err):
		advice = "no answer in time: check that it is running and reachable"
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, nats.ErrDisconnected):
		advice = "the connection is lost: check that it is running and reachable"
	}
	if advice != "" {
		advice += ": "
	}
	return &unreachable{fmt.Sprintf("bus at %s: %s%s", b.where.host, advice, b.redact(err.Error())), err}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// redact is the last line of defence: no error of a server or a library is
// known to quote a password.
func (b *Bus) redact(s string) string {
	for _, p := range []string{b.where.password, b.where.token} {
		if p != "" {
			s = strings.ReplaceAll(s, p, "***")
		}
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
