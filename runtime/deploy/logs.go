package deploy

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/plan"
)

// LogLine is a line of one container's output.
type LogLine struct {
	Container plan.Container
	Stderr    bool
	Time      time.Time // zero where it isn't known
	Text      string    // without the newline
}

// Logs hands out what the containers have written so far, all of it in order
// of time.
func Logs(ctx context.Context, d Driver, cs []plan.Container, opts LogOptions, emit func(LogLine)) error {
	opts.Timestamps, opts.Follow = true, false
	var mu sync.Mutex
	var lines []LogLine
	var failed error
	var wg sync.WaitGroup
	limit := make(chan struct{}, DefaultParallel())
	for _, c := range cs {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			keep := func(l LogLine) {
				l.Time, l.Text = splitTime(l.Text)
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, l)
			}
			if err := stream(ctx, d, c, opts, keep); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = err
			}
		})
	}
	wg.Wait()
	slices.SortStableFunc(lines, func(a, b LogLine) int { return a.Time.Compare(b.Time) })
	for _, l := range lines {
		emit(l)
	}
	return failed
}

// splitTime takes the engine's timestamp off a line.
func splitTime(line string) (time.Time, string) {
	stamp, rest, _ := strings.Cut(line, " ")
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return time.Time{}, line
	}
	return t, rest
}

// Follow hands out what the containers have written and go on writing, also
// after a restart and of containers that come later, until ctx is done. Lines
// of one container are in order. wanted says which services count. emit is
// called by one goroutine at a time.
func Follow(ctx context.Context, d Driver, project string, cs []plan.Container, opts LogOptions, wanted func(service string) bool, emit func(LogLine), died func(Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, why, err := d.Events(ctx, project, time.Now())
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	defer wg.Wait()
	opts.Follow = true
	busy := map[string]chan struct{}{} // by container, closed when its stream ends
	follow := func(c plan.Container, o LogOptions) {
		before := busy[c.ID]
		mine := make(chan struct{})
		busy[c.ID] = mine
		wg.Go(func() {
			defer close(mine)
			if before != nil {
				<-before
			}
			// A stream that breaks off is begun anew when the container is.
			_ = stream(ctx, d, c, o, func(l LogLine) {
				mu.Lock()
				defer mu.Unlock()
				emit(l)
			})
		})
	}
	for _, c := range cs {
		follow(c, opts)
	}
	for ev := range events {
		if !wanted(ev.Service) {
			continue
		}
		switch ev.Action {
		case ActionStart:
			o := opts
			o.Tail, o.Since = "", ev.Time.Format(time.RFC3339Nano)
			follow(plan.Container{ID: ev.Container, Name: ev.Name, Service: ev.Service, Number: ev.Number}, o)
		case ActionDie:
			mu.Lock()
			died(ev)
			mu.Unlock()
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return why()
}

// stream reads one container's log line by line.
func stream(ctx context.Context, d Driver, c plan.Container, opts LogOptions, emit func(LogLine)) error {
	var mu sync.Mutex
	out := &lineWriter{emit: func(s string) { emit(LogLine{Container: c, Text: s}) }}
	errs := &lineWriter{emit: func(s string) { emit(LogLine{Container: c, Stderr: true, Text: s}) }}
	err := d.Logs(ctx, c.ID, opts, lockedWriter{&mu, out}, lockedWriter{&mu, errs})
	out.flush()
	errs.flush()
	return err
}

// maxLine is where a line without an end is broken.
const maxLine = 64 << 10

// lineWriter hands on whole lines.
type lineWriter struct {
	emit func(string)
	rest bytes.Buffer
}

var _ io.Writer = (*lineWriter)(nil)

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, found := bytes.Cut(p, []byte("\n"))
		w.rest.Write(line)
		if !found {
			if w.rest.Len() > maxLine {
				w.flush()
			}
			return n, nil
		}
		w.emit(strings.TrimSuffix(w.rest.String(), "\r"))
		w.rest.Reset()
		p = rest
	}
}

func (w *lineWriter) flush() {
	if w.rest.Len() > 0 {
		w.emit(w.rest.String())
		w.rest.Reset()
	}
}
