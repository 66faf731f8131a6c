package deploy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/plan"
)

// Follow hands out what the containers have written and go on writing, also
// after a restart, after the engine cut a stream, and of containers that come
// later, until ctx is done. Lines of one container are in order. wanted says
// which services count. emit and died are called by one goroutine at a time.
func Follow(ctx context.Context, d Driver, project string, since time.Time, cs []plan.Container, opts LogOptions, wanted func(service string) bool, emit func(LogLine), died func(Event)) error {
	f := &follower{driver: d, opts: opts, emit: emit, sources: map[string]*source{}}
	f.opts.Follow = true
	defer f.wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, why, err := resumed(ctx, d, project, since)
	if err != nil {
		return err
	}
	for _, c := range cs {
		f.started(ctx, c)
	}
	for ev := range events {
		if ev.Action == actionResumed || !wanted(ev.Service) {
			continue
		}
		switch ev.Action {
		case ActionStart:
			f.started(ctx, plan.Container{ID: ev.Container, Name: ev.Name, Service: ev.Service, Number: ev.Number})
		case ActionDie:
			f.ended(ev, died)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return why()
}

// follower reads the logs of containers as they are started.
type follower struct {
	driver Driver
	opts   LogOptions
	emit   func(LogLine)
	wg     sync.WaitGroup

	mu      sync.Mutex
	sources map[string]*source // by container
}

// source is one container's output.
type source struct {
	container plan.Container
	starts    int       // how often it was started, as far as is known
	reading   bool      // somebody reads it
	read      bool      // somebody has
	last      time.Time // of the newest line
	same      int       // lines of that very time
	death     time.Time // when it last ended
}

// started reads a container's output, after what is being read of it.
func (f *follower) started(ctx context.Context, c plan.Container) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sources[c.ID]
	if s == nil {
		s = &source{container: c}
		f.sources[c.ID] = s
	}
	s.starts++
	if !s.reading {
		s.reading = true
		f.wg.Go(func() { f.follow(ctx, s) })
	}
}

func (f *follower) ended(ev Event, died func(Event)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sources[ev.Container]; s != nil {
		s.death = ev.Time
	}
	died(ev)
}

// follow reads a container's output once for each of its starts.
func (f *follower) follow(ctx context.Context, s *source) {
	for {
		f.mu.Lock()
		starts := s.starts
		f.mu.Unlock()
		f.life(ctx, s)
		f.mu.Lock()
		if s.starts == starts || ctx.Err() != nil {
			s.reading = false
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
	}
}

// life reads a container's output until it ends. A stream that is cut is taken
// up after the newest line.
func (f *follower) life(ctx context.Context, s *source) {
	var r retry
	for {
		f.mu.Lock()
		opts, skip := s.options(f.opts)
		since := s.last
		s.read = true
		f.mu.Unlock()
		err := stream(ctx, f.driver, s.container, opts, func(l LogLine) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if skip > 0 && l.Time.Equal(since) {
				skip--
				return
			}
			if !l.Time.Equal(s.last) {
				s.last, s.same = l.Time, 0
			}
			s.same++
			r.alive()
			f.emit(l)
		})
		if err == nil || isNotFound(err) || ctx.Err() != nil {
			return
		}
		if !r.wait(ctx) {
			if ctx.Err() == nil {
				f.mu.Lock()
				f.emit(LogLine{Container: s.container, Stderr: true, Text: fmt.Sprintf("its output can't be read: %v", err)})
				f.mu.Unlock()
			}
			return
		}
	}
}

// options says what to read of a container, and how many of the first lines
// are known.
func (s *source) options(o LogOptions) (LogOptions, int) {
	if !s.read {
		return o, 0
	}
	switch {
	case !s.last.IsZero():
		o.Tail, o.Since = "", s.last.Format(time.RFC3339Nano)
		return o, s.same
	case !s.death.IsZero():
		o.Tail, o.Since = "", s.death.Format(time.RFC3339Nano)
	}
	return o, 0
}
