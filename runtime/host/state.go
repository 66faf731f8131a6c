package host

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// phase is how far a host has come.
type phase string

const (
	starting    phase = "starting"
	connecting  phase = "connecting"
	building    phase = "building"
	subscribing phase = "subscribing"
	announcing  phase = "announcing"
	ready       phase = "ready"
	cutOff      phase = "disconnected" // it was ready, and the bus is away
	leaving     phase = "leaving"      // it takes work on the connections that it has
	draining    phase = "draining"
	stopped     phase = "stopped"
)

var reasons = map[phase]string{
	starting:    "the component is starting",
	connecting:  "the message bus is not connected yet",
	building:    "the component is being built",
	subscribing: "the component is subscribing to its messages",
	announcing:  "the component is being announced in the registry",
	cutOff:      "the message bus can't be reached",
	leaving:     "the component is shutting down",
	draining:    "the component is shutting down",
	stopped:     "the component has stopped",
}

// state is what is known about the component, and the gate for work that
// comes from outside: open while the component is ready.
type state struct {
	mu      sync.Mutex
	phase   phase
	detail  string    // of the phase: why it takes long
	busErr  string    // why the bus can't be used; empty if it can
	begun   bool      // it was ready once
	entered int       // work from outside that is being done
	asked   time.Time // when somebody last wanted to bring some
	conns   map[net.Conn]http.ConnState
	changed chan struct{}
}

// view is state at one moment.
type view struct {
	Phase   phase
	Ready   bool
	Started bool
	Reason  string // why it isn't ready
	Public  string // the same, with nothing of how the system is built
	BusErr  string
	entered int
	asked   time.Time
	open    int             // connections
	busy    int             // those that aren't idle
	changed <-chan struct{} // closed when any of it changes
}

func newState() *state {
	return &state{phase: starting, conns: map[net.Conn]http.ConnState{}, changed: make(chan struct{})}
}

func (s *state) view() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := view{Phase: s.phase, Started: s.begun, BusErr: s.busErr, entered: s.entered, asked: s.asked, open: len(s.conns), changed: s.changed}
	for _, c := range s.conns {
		if c != http.StateIdle {
			v.busy++
		}
	}
	detail := s.detail
	if s.phase == ready && s.busErr != "" {
		v.Phase, detail = cutOff, s.busErr
	}
	v.Reason, v.Public = reasons[v.Phase], reasons[v.Phase]
	if v.Phase == cutOff || v.Phase == connecting {
		v.Public = "the component can't deliver messages now: try again later"
	}
	if detail != "" {
		v.Reason += ": " + detail
	}
	v.Ready = v.Reason == ""
	return v
}

func (s *state) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// stops reports whether p is a phase of the end.
func (p phase) stops() bool { return p == leaving || p == draining || p == stopped }

// enterPhase goes on to p; once the component stops there is no way back.
func (s *state) enterPhase(p phase, detail string) {
	s.update(func() {
		if s.phase.stops() && !p.stops() || s.phase == draining && p == leaving {
			return
		}
		s.phase, s.detail = p, detail
		s.begun = s.begun || p == ready
	})
}

// setBus notes whether the bus can be used and reports whether that is news.
func (s *state) setBus(err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	same := (s.busErr == "") == (text == "")
	s.mu.Unlock()
	if !same {
		s.update(func() { s.busErr = text })
	}
	return !same
}

// wait returns when the component is ready, when it never will be, or when ctx
// is done.
func (s *state) wait(ctx context.Context) view {
	for {
		v := s.view()
		if v.Ready || v.Phase.stops() {
			return v
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return v
		}
	}
}

// enter lets work from outside in, if the component is ready, or leaves; leave
// ends it.
func (s *state) enter() (v view, ok bool) {
	v = s.view()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = time.Now()
	if !v.Ready && v.Phase != leaving {
		return v, false
	}
	if s.phase != ready && s.phase != leaving { // it changed in between
		return view{Public: reasons[s.phase]}, false
	}
	s.entered++
	return v, true
}

func (s *state) leave() { s.update(func() { s.entered-- }) }

// idle waits until no work from outside is being done; false if ctx is done
// before.
func (s *state) idle(ctx context.Context) bool {
	return s.until(ctx, func(v view) bool { return v.entered == 0 })
}

// until waits for a view; false if ctx is done before.
func (s *state) until(ctx context.Context, wanted func(view) bool) bool {
	for {
		v := s.view()
		if wanted(v) {
			return true
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return false
		}
	}
}
