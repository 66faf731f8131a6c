package dockerx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
)

// Events implements deploy.Driver. since is a time of the engine's clock; the
// zero time means now, of this machine's. An engine remembers its last 256
// events only. The error function may be called once the channel is closed. It
// never returns nil: what ends the stream is ctx or a failure. A listing may show
// a container's old state for a moment after the event that tells of the new one.
func (e *Engine) Events(ctx context.Context, project string, since time.Time) (<-chan deploy.Event, func() error, error) {
	what := "watch project " + project
	if since.IsZero() {
		since = time.Now()
	}
	var body io.ReadCloser
	err := e.call(ctx, what, func(c *client.Client) (err error) {
		body, err = subscribe(ctx, c, e.calls, project, since)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	out := make(chan deploy.Event, 64)
	var ended error
	go func() {
		defer close(out)
		defer func() { _ = body.Close() }()
		ended = e.fail(ctx, what, forward(ctx, body, out))
	}()
	return out, func() error { return ended }, nil
}

// watched are the actions that Events reports. Those of commands run in a
// container, which every health check causes, would be most of the stream.
func watched(project string) filters.Args {
	args := projectFilter(project)
	args.Add("type", string(events.ContainerEventType))
	for _, a := range []string{"create", "start", "die", "oom", "destroy", "health_status"} {
		args.Add("event", a)
	}
	return args
}

// subscribe returns when the engine has answered. It subscribes just after that,
// and since covers the moment in between.
func subscribe(ctx context.Context, c *client.Client, rt http.RoundTripper, project string, since time.Time) (io.ReadCloser, error) {
	filter, err := filters.ToJSON(watched(project))
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"filters": {filter},
		"since":   {fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())},
	}
	req, err := request(ctx, c, http.MethodGet, "/events", query, nil)
	if err != nil {
		return nil, err
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer func() { _ = resp.Body.Close() }()
		return nil, responseError(resp)
	}
	return resp.Body, nil
}

// forward sends events on until the stream or ctx ends.
func forward(ctx context.Context, body io.Reader, out chan<- deploy.Event) error {
	dec := json.NewDecoder(body)
	for {
		var msg events.Message
		if err := dec.Decode(&msg); err != nil {
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("the engine ended the stream of events: %w", io.ErrUnexpectedEOF)
			}
			return err
		}
		ev, ok := fromMessage(msg)
		if !ok {
			continue
		}
		select {
		case out <- ev:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fromMessage reads an engine's event; it is false for those that aren't
// reported.
func fromMessage(m events.Message) (deploy.Event, bool) {
	action, ok := map[events.Action]deploy.Action{
		events.ActionCreate:                deploy.ActionCreate,
		events.ActionStart:                 deploy.ActionStart,
		events.ActionDie:                   deploy.ActionDie,
		events.ActionOOM:                   deploy.ActionOOM,
		events.ActionDestroy:               deploy.ActionDestroy,
		events.ActionHealthStatusHealthy:   deploy.ActionHealthy,
		events.ActionHealthStatusUnhealthy: deploy.ActionUnhealthy,
	}[m.Action]
	if !ok || m.Type != events.ContainerEventType {
		return deploy.Event{}, false
	}
	attr := m.Actor.Attributes
	number, _ := strconv.Atoi(attr[labelNumber])
	code, _ := strconv.Atoi(attr["exitCode"])
	at := time.Unix(0, m.TimeNano)
	if m.TimeNano == 0 {
		at = time.Unix(m.Time, 0)
	}
	return deploy.Event{
		Time: at, Action: action, Container: m.Actor.ID, Name: attr["name"],
		Service: attr[labelService], Number: number, ExitCode: code,
	}, true
}
