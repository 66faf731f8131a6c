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
// of time. One that is gone by now has written nothing.
func Logs(ctx context.Context, d Driver, cs []plan.Container, opts LogOptions, emit func(LogLine)) error {
	opts.Follow = false
	var mu sync.Mutex
	var lines []LogLine
	var failed error
	var wg sync.WaitGroup
	limit := make(chan struct{}, DefaultParallel())
	for _, c := range cs {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			err := stream(ctx, d, c, opts, func(l LogLine) {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, l)
			})
			if err != nil && !isNotFound(err) {
				mu.Lock()
				defer mu.Unlock()
				if failed == nil {
					failed = err
				}
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

// stream reads one container's log line by line. A line whose end is missing
// because the stream broke off isn't handed out.
func stream(ctx context.Context, d Driver, c plan.Container, opts LogOptions, emit func(LogLine)) error {
	opts.Timestamps = true
	var mu sync.Mutex
	writer := func(stderr bool) *lineWriter {
		return &lineWriter{emit: func(at time.Time, s string) {
			emit(LogLine{Container: c, Stderr: stderr, Time: at, Text: s})
		}}
	}
	out, errs := writer(false), writer(true)
	err := d.Logs(ctx, c.ID, opts, lockedWriter{&mu, out}, lockedWriter{&mu, errs})
	if err == nil {
		out.end()
		errs.end()
	}
	return err
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

const (
	// maxLine is where a line without an end is broken.
	maxLine = 64 << 10
	// enginePart is the size of the parts that an engine keeps long lines in.
	enginePart = 16 << 10
)

// lineWriter hands on whole lines of a log with timestamps.
type lineWriter struct {
	emit  func(at time.Time, line string)
	rest  bytes.Buffer
	part  bool // what comes goes on with a line that was broken
	at    time.Time
	stamp string // at, as the engine writes it
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, found := bytes.Cut(p, []byte("\n"))
		w.rest.Write(line)
		if !found {
			if w.rest.Len() > maxLine {
				w.flush(false)
			}
			return n, nil
		}
		w.flush(true)
		p = rest
	}
}

// end hands on a last line that has no newline.
func (w *lineWriter) end() {
	if w.rest.Len() > 0 {
		w.flush(true)
	}
}

// flush hands on what there is of a line; ended, if that is its end.
func (w *lineWriter) flush(ended bool) {
	text := w.rest.String()
	w.rest.Reset()
	if !w.part || w.stamp != "" && strings.HasPrefix(text, w.stamp) {
		var line string
		w.at, line = splitTime(text)
		w.stamp, text = text[:len(text)-len(line)], line
	}
	if w.stamp != "" && (w.part || len(text) > enginePart) {
		// Each part that the engine kept has the line's time in front.
		text = strings.ReplaceAll(text, w.stamp, "")
	}
	if ended {
		text = strings.TrimSuffix(text, "\r")
	}
	if text != "" || !w.part {
		w.emit(w.at, text)
	}
	w.part = !ended
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
