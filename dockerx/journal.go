package dockerx

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	timetypes "github.com/docker/docker/api/types/time"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"
)

// Happening is anything that the engine tells of a container, in its own words.
type Happening struct {
	Time       time.Time
	Action     string // "start", "exec_create: sh", "health_status: healthy"
	Container  string // id
	Service    string
	OneOff     bool
	Attributes map[string]string // without compose's labels
}

// Journal tells all that happens to a project's containers, from since (empty:
// now) to until (empty: until ctx is done), in forms that an engine knows: Unix
// seconds, RFC 3339 or how long ago.
func (e *Engine) Journal(ctx context.Context, project, since, until string, tell func(Happening) error) error {
	return e.call(ctx, "watch project "+project, func(c *client.Client) error {
		args := projectFilter(project)
		args.Add("type", string(events.ContainerEventType))
		filter, err := filters.ToJSON(args)
		if err != nil {
			return err
		}
		query := url.Values{"filters": {filter}}
		for key, at := range map[string]string{"since": since, "until": until} {
			if at == "" {
				continue
			}
			now := time.Now()
			if ago, failed := time.ParseDuration(at); failed == nil {
				// To the nanosecond: whole seconds leave out what has just happened.
				now = now.Add(-ago)
				at = fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond())
			} else if at, err = timetypes.GetTimestamp(at, now); err != nil {
				return err
			}
			query.Set(key, at)
		}
		req, err := request(ctx, c, http.MethodGet, "/events", query, nil)
		if err != nil {
			return err
		}
		resp, err := e.calls.RoundTrip(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return responseError(resp)
		}
		for dec := json.NewDecoder(resp.Body); ; {
			var m events.Message
			if err := dec.Decode(&m); err != nil {
				if errors.Is(err, io.EOF) && until != "" {
					return nil
				}
				return err
			}
			if err := tell(happening(m)); err != nil {
				return err
			}
		}
	})
}

func happening(m events.Message) Happening {
	at := time.Unix(0, m.TimeNano)
	if m.TimeNano == 0 {
		at = time.Unix(m.Time, 0)
	}
	attributes := map[string]string{}
	for k, v := range m.Actor.Attributes {
		if !strings.HasPrefix(k, labelPrefix) {
			attributes[k] = v
		}
	}
	return Happening{
		Time: at, Action: string(m.Action), Container: m.Actor.ID, Service: m.Actor.Attributes[labelService],
		OneOff: strings.EqualFold(m.Actor.Attributes[labelOneOff], "true"), Attributes: attributes,
	}
}

// AwaitStops waits until containers that were told to stop, at since or later,
// and haven't, have stopped: whoever asked for it may not be there any more, and
// until then they look as if they ran. Other signals than KILL and the one that
// stops a container are no matter. An engine remembers its last 256 events only.
func (e *Engine) AwaitStops(ctx context.Context, project string, since time.Time) error {
	stopping := map[string][]int{} // signals
	from := since.Truncate(time.Second)
	until := time.Now().Add(500 * time.Millisecond) // the last call may not have got far
	err := e.Journal(ctx, project, from.Format(time.RFC3339Nano), until.Format(time.RFC3339Nano), func(h Happening) error {
		switch h.Action {
		case "kill":
			stopping[h.Container] = append(stopping[h.Container], signalNumber(h.Attributes["signal"]))
		case "die", "start", "destroy":
			delete(stopping, h.Container)
		}
		return nil
	})
	if err != nil {
		return err
	}
	stops, ctx := errgroup.WithContext(ctx)
	for id, got := range stopping {
		stops.Go(func() error {
			if told, err := e.toldToStop(ctx, id, got); err != nil || !told {
				return err
			}
			return e.Stop(ctx, id, nil)
		})
	}
	return stops.Wait()
}

// toldToStop reports whether one of the signals that a container got has it
// stop. 0 is one that the engine didn't name.
func (e *Engine) toldToStop(ctx context.Context, id string, got []int) (bool, error) {
	if slices.Contains(got, sigKill) || slices.Contains(got, 0) {
		return true, nil
	}
	told := false
	err := e.call(ctx, "inspect container "+id, func(c *client.Client) error {
		r, err := c.ContainerInspect(ctx, id)
		if err != nil {
			return gone(err)
		}
		if r.Config != nil {
			told = slices.Contains(got, signalNumber(cmp.Or(r.Config.StopSignal, "TERM")))
		}
		return nil
	})
	return told, err
}
