package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// LabelPort holds the port of a component's health endpoints.
const LabelPort = "dev.woodwork.port"

const (
	// dialTimeout is how long a packet to a container on this very machine may
	// take. Where there is no way to it (the engine runs in a virtual machine),
	// nothing answers at all.
	dialTimeout = 250 * time.Millisecond
	// refusals is how long a container may have its port closed before it is
	// looked at in another way as well.
	refusals = 2 * time.Second
)

// direct asks a component for its readiness over the project's network, where
// the engine is on this machine. The question waits for its answer, costs no
// call of the engine and no process in the container. errNoVerdict where the
// component can't be reached like that.
func (e *executor) direct(ctx context.Context, id, port string) error {
	ip, err := e.driver.Address(ctx, id)
	if err != nil || ip == "" || port == "" {
		return errNoVerdict
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	url := fmt.Sprintf("http://%s/readyz?wait=%s", net.JoinHostPort(ip, port), e.timeout)
	begin := time.Now()
	for pause := 3 * time.Millisecond; ; pause = min(2*pause, 40*time.Millisecond) {
		ready, err := askReady(ctx, client, url, id)
		if err == nil && ready {
			return nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(begin) > refusals {
			return errNoVerdict
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// askReady asks once. An answer counts only if it comes from the container
// that is meant: another machine may have the address.
func askReady(ctx context.Context, client *http.Client, url, id string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	res, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	var verdict struct {
		Ready    bool   `json:"ready"`
		Instance string `json:"instance"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, res.Body, 64<<10)).Decode(&verdict); err != nil {
		return false, err
	}
	return verdict.Ready && verdict.Instance != "" && strings.HasPrefix(id, verdict.Instance), nil
}
