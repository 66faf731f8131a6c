package deploy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A stream of events or of a log that is cut is taken up again. An engine that
// doesn't answer for as long as resumeFor is gone.
const (
	resumeFor   = 3 * time.Second
	resumeFirst = 20 * time.Millisecond
	resumeMost  = 500 * time.Millisecond
)

// actionResumed stands between the events before and after a cut: an engine
// remembers few events, so some may be missing.
const actionResumed Action = "resumed"

// retry paces attempts to take up something that was cut.
type retry struct {
	since time.Time // of the first attempt without a sign of life
	pause time.Duration
}

// alive notes a sign of life: the next cut is a new one.
func (r *retry) alive() { *r = retry{} }

// wait waits until the next attempt; false if there should be none.
func (r *retry) wait(ctx context.Context) bool {
	if r.since.IsZero() {
		r.since, r.pause = time.Now(), resumeFirst
	}
	if time.Since(r.since) > resumeFor || ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(r.pause)
	defer timer.Stop()
	r.pause = min(2*r.pause, resumeMost)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// feed is a project's events over cuts of the stream that they come in.
type feed struct {
	driver  Driver
	project string
	since   time.Time // where to take up
	recent  []Event   // those of the last second, which come twice after that
	retry   retry
	out     chan Event
	ended   error // once out is closed
}

// resumed subscribes to a project's events as Driver.Events does, and takes the
// stream up where it was cut.
func resumed(ctx context.Context, d Driver, project string, since time.Time) (<-chan Event, func() error, error) {
	events, why, err := d.Events(ctx, project, since)
	if err != nil {
		return nil, nil, err
	}
	f := &feed{driver: d, project: project, since: since, out: make(chan Event)}
	go func() {
		defer close(f.out)
		f.ended = f.run(ctx, events, why)
	}()
	return f.out, func() error { return f.ended }, nil
}

func (f *feed) run(ctx context.Context, events <-chan Event, why func() error) error {
	for {
		begin := time.Now()
		for ev := range events {
			if f.fresh(ev) {
				f.retry.alive()
				f.send(ctx, ev)
			}
		}
		if time.Since(begin) > resumeFor {
			f.retry.alive()
		}
		err := why()
		for events = nil; events == nil; {
			if !f.retry.wait(ctx) {
				if ctx.Err() != nil {
					return fmt.Errorf("watch project %s: %w", f.project, ctx.Err())
				}
				return err
			}
			events, why, err = f.driver.Events(ctx, f.project, f.since)
		}
		f.send(ctx, Event{Action: actionResumed})
	}
}

func (f *feed) send(ctx context.Context, ev Event) {
	select {
	case f.out <- ev:
	case <-ctx.Done():
	}
}

// fresh tells whether an event hasn't been seen. Engines stamp events before
// they put them in order, so the last ones are asked for again.
func (f *feed) fresh(ev Event) bool {
	if slices.Contains(f.recent, ev) {
		return false
	}
	if from := ev.Time.Add(-time.Second); from.After(f.since) {
		f.since = from
		f.recent = slices.DeleteFunc(f.recent, func(o Event) bool { return o.Time.Before(from) })
	}
	f.recent = append(f.recent, ev)
	return true
}

// watcher hands out a project's events to whoever waits for a container.
type watcher struct {
	ended chan struct{}

	mu      sync.Mutex
	past    map[string][]Event // by container
	resumed int                // how often the stream was cut
	changed chan struct{}      // closed and replaced by every change
	closed  error
}

// watch subscribes to the project's events until stop is called.
func watch(ctx context.Context, d Driver, project string, since time.Time) (*watcher, func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	events, why, err := resumed(ctx, d, project, since)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	w := &watcher{past: map[string][]Event{}, changed: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		for ev := range events {
			w.change(func() {
				if ev.Action == actionResumed {
					w.resumed++
					return
				}
				w.past[ev.Container] = append(w.past[ev.Container], ev)
			})
		}
		w.change(func() { w.closed = why() })
	}()
	return w, func() { cancel(); <-w.ended }, nil
}

func (w *watcher) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// mark is how much of the events somebody has seen.
type mark struct{ events, resumed int }

// seen is the mark of somebody who knows all that has happened to a container.
func (w *watcher) seen(id string) mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	return mark{len(w.past[id]), w.resumed}
}

// next returns the events of a container after a mark once there are any, or
// once the stream was cut and taken up, after which some may be missing.
func (w *watcher) next(ctx context.Context, id string, m *mark) (events []Event, gap bool, err error) {
	for {
		w.mu.Lock()
		changed, closed := w.changed, w.closed
		events, gap = w.past[id][m.events:], w.resumed > m.resumed
		m.events, m.resumed = len(w.past[id]), w.resumed
		w.mu.Unlock()
		if len(events) > 0 || gap {
			return events, gap, nil
		}
		if closed != nil {
			return nil, false, closed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}
