package dockerx

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/docker/cli/cli/connhelper"
	"github.com/docker/go-connections/sockets"
)

// dialTimeout bounds the way to an engine, TLS included. What it then does may
// take as long as it takes.
const dialTimeout = 5 * time.Second

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialError is a failure to reach the engine. The client turns the errors that
// it recognises by their text into its own and loses the cause; it doesn't
// recognise this one, so that classification needs no text either.
type dialError struct {
	host string
	err  error
}

func (e *dialError) Error() string { return "no engine answers at " + e.host }
func (e *dialError) Unwrap() error { return e.err }

// dialer returns a function that connects to the endpoint, whatever address it
// is asked for. TLS is spoken inside it, so that hijacked connections and plain
// requests go the same way.
func dialer(ep endpoint) (dialFunc, error) {
	dial, err := plainDialer(ep)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		conn, err := dial(ctx)
		if err == nil && ep.tls != nil {
			conn, err = startTLS(ctx, conn, ep)
		}
		if err != nil {
			return nil, &dialError{ep.host, err}
		}
		return conn, nil
	}, nil
}

func plainDialer(ep endpoint) (func(context.Context) (net.Conn, error), error) {
	switch ep.network {
	case "ssh":
		helper, err := connhelper.GetConnectionHelper(ep.host)
		if err != nil {
			return nil, fmt.Errorf("engine address %q: %w", ep.host, err)
		}
		return func(ctx context.Context) (net.Conn, error) {
			// The command lives as long as the connection, so that it must not
			// end with the context that bounds the dialling.
			return helper.Dialer(context.WithoutCancel(ctx), "", "")
		}, nil
	case "npipe":
		return func(context.Context) (net.Conn, error) {
			return sockets.DialPipe(ep.address, dialTimeout)
		}, nil
	}
	d := &net.Dialer{KeepAlive: 30 * time.Second}
	return func(ctx context.Context) (net.Conn, error) {
		return d.DialContext(ctx, ep.network, ep.address)
	}, nil
}

func startTLS(ctx context.Context, conn net.Conn, ep endpoint) (net.Conn, error) {
	cfg := ep.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(ep.address)
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}
