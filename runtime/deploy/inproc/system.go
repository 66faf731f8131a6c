// Package inproc runs the components of local and server deployments around one
// bus: in this process, or their handlers in processes of their own. It is the coordinator of their start,
// each component as soon as what it depends on is ready, and of their end, in
// which nothing that was accepted is lost: intake stops, the bus empties,
// components stop in reverse order, the bus last.
package inproc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/process"
	"woodwork.dev/ww/runtime/registry"
	"woodwork.dev/ww/runtime/scale"
)

// Component is one component of the system.
type Component struct {
	Config     component.Config
	DependsOn  []string      // components that are ready before it starts
	Dependents []string      // components elsewhere that have ended before it stops
	Ingress    bool          // it takes work from outside: the last to start, the first to stop
	Addr       string        // where it serves its own HTTP, for those that have a port; any free port of 127.0.0.1 if empty
	Grace      time.Duration // for stopping; the host's default if 0
	Deployment string        // that it belongs to
	Workers    int           // instances that it begins with; 1 if 0
	Scale      *scale.Policy // how their number follows the load; nil: it doesn't

	// Isolated says that its handler runs in a process of its own; a component
	// that starts programs itself needs no other.
	Isolated bool
	Programs bool           // it starts programs
	Limits   process.Limits // of its processes
}

// Options of a system. OpenBus, Builders and Components are required.
type Options struct {
	Components []Component // each after what it depends on
	Servers    []Server
	Builders   map[string]component.Builder

	// OpenBus connects to the bus, which is shared by all components and closed
	// at the end. It is called again, after a pause, until it succeeds.
	OpenBus func(ctx context.Context) (bus.Bus, registry.Registry, error)

	// Isolate makes the command that runs isolated.Serve with Builders, for components
	// that are Isolated, and Guard the one that runs process.Guard; nil for none.
	Isolate func() *exec.Cmd
	Guard   func() *exec.Cmd

	Secret func(name string) (string, error) // gives the values of variables
	Log    *slog.Logger
	Stdout io.Writer
	Stdin  io.Reader

	// Elsewhere knows of the components of the same system that don't run in this
	// process. Without it, nobody waits for them.
	Elsewhere Elsewhere
	// Drained lists components elsewhere for which the bus has to be empty in the
	// end as well.
	Drained []string

	Ready  time.Duration         // that one component may take to get ready
	Drain  time.Duration         // that the bus may take to empty at the end
	Report func(deploy.Progress) // is told of each step; called from several goroutines

	ScaleEvery time.Duration // how often the load is looked at; DefaultScaleEvery if 0
}

// Elsewhere is what of a system runs outside of this process.
type Elsewhere interface {
	// Ready waits until a component is ready, Ended until it runs no more. The
	// error is ctx's.
	Ready(ctx context.Context, component string) error
	Ended(ctx context.Context, component string) error
}

// System is a system that runs.
type System struct {
	Options
	bus     *shared
	metrics *host.Metrics
	keeper  *process.Keeper
	parts   []*part
	byName  map[string]*part
	servers []*server

	failing sync.Once
	failed  chan struct{} // closed when the system can't go on
	err     error
	live    context.Context    // of what belongs to the system as a whole
	end     context.CancelFunc // ends that
	unscale func()             // ends the scaling, and waits for that
	hurried sync.Once
	hurry   chan struct{} // closed when nothing gets more time to end
}

// Start brings a system up and returns when all of it is ready. When it fails, or
// ctx is done, what was started is stopped again.
func Start(ctx context.Context, o Options) (*System, error) {
	s, err := New(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		// What failed is told; the end must not be held up by it.
		_, stop := s.Stop(context.WithoutCancel(ctx))
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, errors.Join(err, stop)
	}
	return s, nil
}

// New makes a system. Its ports are opened before anything else, so that one that
// is taken has nothing started. Stop ends it, whether it was started or not.
func New(ctx context.Context, o Options) (*System, error) {
	if o.Report == nil {
		o.Report = func(deploy.Progress) {}
	}
	if o.Ready <= 0 {
		o.Ready = deploy.DefaultTimeout
	}
	s := &System{Options: o, metrics: host.NewMetrics(), byName: map[string]*part{}, failed: make(chan struct{}), hurry: make(chan struct{}), unscale: func() {}}
	s.bus = &shared{open: o.OpenBus}
	s.keeper = process.NewKeeper(o.Guard, o.Log)
	for i := range o.Components {
		p, err := newPart(s, &o.Components[i])
		if err != nil {
			return nil, errors.Join(err, s.closeListeners())
		}
		s.parts = append(s.parts, p)
		s.byName[p.Config.Name] = p
	}
	for i := range o.Servers {
		srv, err := newServer(s, &o.Servers[i])
		if err != nil {
			return nil, errors.Join(err, s.closeListeners())
		}
		s.servers = append(s.servers, srv)
	}
	s.live, s.end = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

// Bus is the system's bus, which is opened where that hasn't been done yet.
// Closing what it gives closes nothing.
func (s *System) Bus(ctx context.Context) (bus.Bus, registry.Registry, error) { return s.bus.lend(ctx) }

func (s *System) closeListeners() error {
	var errs []error
	for _, p := range s.parts {
		errs = append(errs, p.listener.Close())
	}
	for _, srv := range s.servers {
		errs = append(errs, srv.listener.Close())
	}
	return errors.Join(errs...)
}

// Start begins with the bus, then everything at once: each part waits for those
// that it depends on. When it fails, what it has started goes on.
func (s *System) Start(ctx context.Context) error {
	for _, srv := range s.servers {
		srv.serve(s.live)
	}
	err := s.step(ctx, plan.Step{Op: plan.Ready, Service: "message-bus", Name: "message-bus"}, func(report func(string)) error {
		return s.bus.await(ctx, s.Log, report)
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	for _, p := range s.parts {
		wg.Go(func() {
			if err := p.start(ctx, s.live); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if first == nil && ctx.Err() == nil {
					first = err
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if first == nil {
		first = context.Cause(ctx)
	}
	if first == nil {
		s.unscale = s.autoscale(s.live)
	}
	return first
}

// step reports on one step.
func (s *System) step(ctx context.Context, step plan.Step, do func(report func(string)) error) error {
	begin := time.Now()
	s.Report(deploy.Progress{Step: step, Status: deploy.Running})
	err := do(func(text string) { s.Report(deploy.Progress{Step: step, Status: deploy.Info, Text: text}) })
	switch {
	case err == nil:
		s.Report(deploy.Progress{Step: step, Status: deploy.Done, Elapsed: time.Since(begin)})
	case ctx.Err() == nil:
		s.Report(deploy.Progress{Step: step, Status: deploy.Failed, Elapsed: time.Since(begin), Err: err})
	}
	return err
}

// Failed is closed when the system can't go on by itself; Err says why.
func (s *System) Failed() <-chan struct{} { return s.failed }

// Err is why the system has failed.
func (s *System) Err() error {
	select {
	case <-s.failed:
		return s.err
	default:
		return nil
	}
}

func (s *System) fail(err error) {
	s.failing.Do(func() {
		s.err = err
		close(s.failed)
	})
}

// Addresses are where those that take work from outside do so, by name.
func (s *System) Addresses() map[string]string {
	out := map[string]string{}
	for _, p := range s.parts {
		if p.Ingress && p.Addr != "" {
			out[p.Config.Name] = p.listener.Addr().String()
		}
	}
	for _, srv := range s.servers {
		out[srv.Name] = srv.listener.Addr().String()
	}
	return out
}

// Summary is how a system ended.
type Summary struct {
	Left   map[string]int64 // messages that wait on the bus, by component
	Forced []string         // components that didn't end in time
}

// Stop ends the system in order: nothing is accepted any more, the bus empties
// within the time for that, components stop, dependents first, and the bus last.
// What is being handled has the time for that, too, and is cut off when it is over.
// Where ctx is done nothing is waited for any more.
func (s *System) Stop(ctx context.Context) (Summary, error) {
	var sum Summary
	err := s.StopIntake(ctx)
	sum.Left = s.DrainBus(ctx)
	var stop error
	sum.Forced, stop = s.StopComponents(ctx)
	return sum, errors.Join(err, stop, s.Close())
}

// StopIntake is the first part of Stop: nothing is accepted from outside any
// more, and what is under way is answered.
func (s *System) StopIntake(ctx context.Context) error {
	for _, srv := range s.servers {
		srv.refuse()
	}
	s.unscale()
	s.stopParts(ctx, func(p *part) bool { return p.Ingress })
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.drain(ctx))
	}
	return errors.Join(errs...)
}

// StopComponents is the third part of Stop. It tells which components didn't end
// in time.
func (s *System) StopComponents(ctx context.Context) (forced []string, err error) {
	s.stopParts(ctx, func(p *part) bool { return !p.Ingress })
	var errs []error
	for _, p := range s.parts {
		if err := p.result(); err != nil {
			forced = append(forced, p.Config.Name)
			errs = append(errs, err)
		}
	}
	return forced, errors.Join(errs...)
}

// Close is the last part of Stop: it closes the bus.
func (s *System) Close() error {
	for _, srv := range s.servers {
		srv.close()
	}
	err := s.bus.close()
	s.end()
	s.keeper.Close()
	return err
}

// rush cuts off what is still being handled.
func (s *System) rush() { s.hurried.Do(func() { close(s.hurry) }) }

func (s *System) stopParts(ctx context.Context, want func(*part) bool) {
	defer context.AfterFunc(ctx, s.rush)()
	var wg sync.WaitGroup
	for _, p := range s.parts {
		if want(p) {
			wg.Go(func() {
				p.stop(ctx, slices.DeleteFunc(s.dependents(p), func(d *part) bool { return !want(d) }))
			})
		}
	}
	wg.Wait()
}

// DrainBus is the second part of Stop: it waits until nothing waits for the
// system's components any more, and tells what is left.
func (s *System) DrainBus(ctx context.Context) map[string]int64 {
	b := s.bus.now()
	if b == nil || s.Drain <= 0 || len(s.parts) == 0 {
		return nil
	}
	b.StopAccepting()
	names := slices.Clone(s.Drained)
	for _, p := range s.parts {
		names = append(names, p.Config.Name)
	}
	var left map[string]int64
	step := plan.Step{Op: plan.Drain, Service: "message-bus", Name: "message-bus"}
	_ = s.step(ctx, step, func(report func(string)) (err error) {
		if left, err = bus.AwaitEmpty(ctx, b, s.Drain, true, names...); len(left) > 0 {
			report(fmt.Sprintf("messages are left: %v", left))
			err = cmp.Or(err, fmt.Errorf("not empty after %s", s.Drain))
		}
		return err
	})
	if len(left) > 0 { // there is no more time
		s.rush()
	}
	return left
}

// dependents lists the parts that depend on one.
func (s *System) dependents(of *part) []*part {
	var out []*part
	for _, p := range s.parts {
		for _, d := range p.DependsOn {
			if d == of.Config.Name {
				out = append(out, p)
			}
		}
	}
	return out
}

func listen(addr, whose string) (net.Listener, error) {
	network := "tcp"
	if at, err := netip.ParseAddrPort(addr); err == nil && at.Addr().Is4() {
		network = "tcp4" // else 0.0.0.0 is all addresses of version 6 as well
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return nil, &ListenError{Whose: whose, Addr: addr, Err: err}
	}
	return l, nil
}

// ListenError says that a port can't be opened.
type ListenError struct {
	Whose string // component or server
	Addr  string
	Err   error
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("%s can't listen on %s: %v", e.Whose, e.Addr, cause(e.Err))
}

func (e *ListenError) Unwrap() error { return e.Err }

// cause is an error without the names of the calls that led to it.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
