package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// Probe asks the host at addr, such as ":8080", whether its component is
// ready, and with a wait above 0 blocks until it is or the time is over. The
// error says why it isn't.
func Probe(ctx context.Context, addr string, wait time.Duration) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	deadline := time.Now().Add(wait)
	ctx, cancel := context.WithDeadline(ctx, deadline.Add(5*time.Second))
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		left := min(max(time.Until(deadline), 0), maxWait)
		err := ask(ctx, client, net.JoinHostPort(host, port), left)
		// The process may not have opened its port yet.
		if !errors.Is(err, syscall.ECONNREFUSED) || left < pause {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

func ask(ctx context.Context, client *http.Client, addr string, wait time.Duration) error {
	u := url.URL{Scheme: "http", Host: addr, Path: "/readyz"}
	if wait > 0 {
		u.RawQuery = url.Values{"wait": {wait.String()}}.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("not ready: no answer: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusOK {
		return nil
	}
	var v verdict
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&v); err != nil || v.Reason == "" {
		return fmt.Errorf("not ready: the answer was %s", res.Status)
	}
	return fmt.Errorf("not ready: %s", v.Reason)
}
