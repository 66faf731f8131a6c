package deploy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/plan"
)

// FollowRequest says whose output is followed, and who is told.
type FollowRequest struct {
	Project    string
	Since      time.Time        // of the events that count
	Containers []plan.Container // those that are there
	Options    LogOptions
	Wanted     func(service string) bool
	// Emit gets what containers write; lines of one container are in order. Died
	// gets their deaths in order, each after what the container wrote before it, as
	// far as that comes within LastWords. They are called by one goroutine at a time.
	Emit func(LogLine)
	Died func(Event)
}

// LastWords is how long the output of a container that has ended is waited for.
const LastWords = 500 * time.Millisecond

// Follow hands out what containers have written and go on writing, also after a
// restart, after the engine cut a stream, and of containers that come later,
// until ctx is done.
func Follow(ctx context.Context, d Driver, req FollowRequest) error {
	return NewFollower(d, req).Run(ctx)
}

// Follower is a Follow that can be waited for.
type Follower struct {
	driver Driver
	req    FollowRequest
	wg     sync.WaitGroup

	mu      sync.Mutex
	sources map[string]*source // by container
	untold  []*death           // in their order
}

// NewFollower makes what Run has follow.
func NewFollower(d Driver, req FollowRequest) *Follower {
	req.Options.Follow = true
	return &Follower{driver: d, req: req, sources: map[string]*source{}}
}

// source is one container's output.
type source struct {
	container plan.Container
	starts    int           // how often it was started, as far as is known
	ended     bool          // since it was last started
	idle      chan struct{} // closed once nobody reads it; nil if nobody ever has
	reading   bool          // somebody reads it
	read      bool          // somebody has
	last      time.Time     // of the newest line
	same      int           // lines of that very time
	death     time.Time     // when it last ended
}

// death is one that is told after the output of one of a container's starts.
type death struct {
	event Event
	of    *source
	start int
	due   bool
}

// Run follows until ctx is done.
func (f *Follower) Run(ctx context.Context) error {
	defer f.tellRest()
	defer f.wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, why, err := resumed(ctx, f.driver, f.req.Project, f.req.Since)
	if err != nil {
		return err
	}
	for _, c := range f.req.Containers {
		f.started(ctx, c)
	}
	for ev := range events {
		if ev.Action == actionResumed || !f.req.Wanted(ev.Service) {
			continue
		}
		switch ev.Action {
		case ActionStart:
			f.started(ctx, plan.Container{ID: ev.Container, Name: ev.Name, Service: ev.Service, Number: ev.Number})
		case ActionDie:
			f.ended(ev)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return why()
}

// Read waits until all was handed out that a container has written which has
// ended, or ctx is done.
func (f *Follower) Read(ctx context.Context, id string) {
	f.mu.Lock()
	s := f.sources[id]
	var idle chan struct{}
	if s != nil && s.reading {
		idle = s.idle
	}
	f.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// started reads a container's output, after what is being read of it.
func (f *Follower) started(ctx context.Context, c plan.Container) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sources[c.ID]
	if s == nil {
		s = &source{container: c}
		f.sources[c.ID] = s
	}
	if s.starts > 0 && !s.ended {
		return // the event of a start that is known
	}
	s.starts++
	s.ended = c.State == plan.Exited || c.State == plan.Created || c.State == plan.Dead
	if !s.reading {
		s.reading, s.idle = true, make(chan struct{})
		f.wg.Go(func() { f.follow(ctx, s) })
	}
}

func (f *Follower) ended(ev Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sources[ev.Container]
	if s == nil {
		return // it was there before, and has gone
	}
	s.death, s.ended = ev.Time, true
	d := &death{event: ev, of: s, start: s.starts, due: !s.reading}
	f.untold = append(f.untold, d)
	if !d.due {
		time.AfterFunc(LastWords, func() { // a stream may go on, or hang
			f.mu.Lock()
			defer f.mu.Unlock()
			f.tell(func(o *death) bool { return o == d })
		})
	}
	f.tell(func(*death) bool { return false })
}

// tell has some deaths be told now, and tells those that are, in their order: a
// death that isn't due yet keeps those after it.
func (f *Follower) tell(now func(*death) bool) {
	for _, d := range f.untold {
		d.due = d.due || now(d)
	}
	for len(f.untold) > 0 && f.untold[0].due {
		f.req.Died(f.untold[0].event)
		f.untold = f.untold[1:]
	}
}

func (f *Follower) tellRest() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell(func(*death) bool { return true })
}

// follow reads a container's output once for each of its starts.
func (f *Follower) follow(ctx context.Context, s *source) {
	for {
		f.mu.Lock()
		starts := s.starts
		f.mu.Unlock()
		f.life(ctx, s)
		f.mu.Lock()
		f.tell(func(d *death) bool { return d.of == s && d.start <= starts })
		if s.starts == starts || ctx.Err() != nil {
			s.reading = false
			close(s.idle)
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
	}
}

// life reads a container's output until it ends. A stream that is cut is taken
// up after the newest line.
func (f *Follower) life(ctx context.Context, s *source) {
	var r retry
	for {
		f.mu.Lock()
		opts, skip := s.options(f.req.Options)
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
			if len(f.untold) > 0 { // the stream goes on after a restart
				f.tell(func(d *death) bool { return d.of == s && d.event.Time.Before(l.Time) })
			}
			f.req.Emit(l)
		})
		if err == nil || isNotFound(err) || ctx.Err() != nil {
			return
		}
		if !r.wait(ctx) {
			if ctx.Err() == nil {
				f.mu.Lock()
				f.req.Emit(LogLine{Container: s.container, Stderr: true, Text: fmt.Sprintf("its output can't be read: %v", err)})
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
