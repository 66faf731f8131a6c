package dockerx

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"
)

// DefaultAnswer is how long an engine may take to answer a call that waits for
// nothing but the engine itself, unless Options say otherwise. A busy one takes
// seconds.
const DefaultAnswer = 2 * time.Minute

// silentError is an engine's that has taken a call and doesn't answer.
type silentError struct{ after time.Duration }

func (e *silentError) Error() string {
	return fmt.Sprintf("the engine has taken the call and not answered for %s", e.after)
}

// patience bounds how long calls wait for the beginning of their answer: an
// engine that hangs takes calls as any other does.
type patience struct {
	next   http.RoundTripper
	answer time.Duration
}

// RoundTrip implements http.RoundTripper.
func (p *patience) RoundTrip(r *http.Request) (*http.Response, error) {
	limit := p.answer * owed(r)
	if limit == 0 {
		return p.next.RoundTrip(r)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(limit, func() { cancel(&silentError{limit}) })
	resp, err := p.next.RoundTrip(r.WithContext(ctx))
	timer.Stop()
	if err != nil {
		defer cancel(nil)
		if silent, ok := context.Cause(ctx).(*silentError); ok {
			return nil, silent
		}
		return nil, err
	}
	resp.Body = &bounded{resp.Body, cancel}
	return resp, nil
}

// bounded is a body that ends its call's context when it is closed.
type bounded struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *bounded) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}

// owed tells how many times as long as others a call may take until it is
// answered, or 0 where that may be as long as it likes: what builds, pulls, sends
// files, or waits for a container.
func owed(r *http.Request) time.Duration {
	const disk = 5 // large containers and volumes are filled and removed
	what := path.Base(r.URL.Path)
	on := path.Base(strings.TrimSuffix(r.URL.Path, "/"+what)) // "containers", or an id
	switch r.Method {
	case http.MethodDelete:
		return disk
	case http.MethodGet, http.MethodHead:
		switch what {
		case "logs", "archive", "export", "get":
			return 0
		}
		return 1
	case http.MethodPost:
		switch {
		case what == "create" && on == "containers":
			return disk
		case what == "create" && on == "images", what == "start" && strings.Contains(r.URL.Path, "/exec/"):
			return 0
		}
		switch what {
		case "create", "connect", "disconnect", "rename", "resize", "update", "pause", "unpause", "exec", "start", "kill":
			return 1
		}
	}
	return 0
}
