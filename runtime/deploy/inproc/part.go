package inproc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/registry"
)

// again is how a component that has failed is started again.
var again = bus.Backoff{Min: time.Second, Max: time.Minute}

// part is one component that runs.
type part struct {
	*Component
	system   *System
	listener net.Listener
	begun    chan struct{} // closed when start has been called and the part runs
	ready    chan struct{} // closed when it is ready for the first time
	told     chan struct{} // closed when that has been reported
	ended    chan struct{} // closed when it runs no more
	end      context.CancelFunc
	run      context.Context

	mu    sync.Mutex
	state host.State
	err   error
}

func newPart(s *System, c *Component) (*part, error) {
	l, err := listen(cmp.Or(c.Addr, "127.0.0.1:0"), c.Config.Name)
	if err != nil {
		return nil, err
	}
	p := &part{Component: c, system: s, listener: l, begun: make(chan struct{}), ready: make(chan struct{}), told: make(chan struct{}), ended: make(chan struct{})}
	p.state = host.State{Phase: "waiting", Reason: "what it depends on isn't ready"}
	return p, nil
}

// start waits for what the component depends on, runs it, and returns when it
// is ready.
func (p *part) start(ctx, live context.Context) error {
	for _, d := range p.DependsOn {
		switch dep := p.system.byName[d]; {
		case dep != nil:
			select {
			case <-dep.told:
			case <-ctx.Done():
				return ctx.Err()
			}
		case p.system.Elsewhere != nil:
			if err := p.system.Elsewhere.Ready(ctx, d); err != nil {
				return err
			}
		}
	}
	step := plan.Step{Op: plan.Ready, Service: p.Config.Name, Name: p.Config.Name}
	err := p.system.step(ctx, step, func(report func(string)) error {
		opts, err := host.New(p.Config, p.system.Builders, p.system.Secret)
		if err != nil {
			return p.broken(err.Error())
		}
		p.run, p.end = context.WithCancel(live)
		close(p.begun)
		failed := make(chan error, 1)
		go p.supervise(opts, failed)
		timer := time.NewTimer(p.system.Ready)
		defer timer.Stop()
		select {
		case <-p.ready:
			return nil
		case err := <-failed:
			return p.broken(err.Error())
		case <-timer.C:
			return p.broken(fmt.Sprintf("was not ready after %s: %s", p.system.Ready, p.now().Reason))
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err == nil {
		close(p.told)
	}
	return err
}

func (p *part) broken(reason string) error {
	return &deploy.ComponentError{Service: p.Config.Name, Container: p.Config.Name, Reason: reason}
}

// supervise runs the component until it is to stop. One that fails before it
// was ever ready is given up; after that it is started again, each time a little
// later, until it has run for a while.
func (p *part) supervise(opts host.Options, failed chan<- error) {
	defer close(p.ended)
	s := p.system
	opts.Shared, opts.Metrics, opts.OnState = true, s.metrics, p.changed
	opts.OpenBus = func(ctx context.Context) (bus.Bus, registry.Registry, error) { return s.bus.lend(ctx) }
	opts.Log, opts.Stdout, opts.Stdin, opts.Grace, opts.Secret = s.Log, s.Stdout, s.Stdin, p.Grace, s.Secret
	opts.Listener = p.listener
	opts.Address = p.listener.Addr().String()
	for attempt := 1; ; attempt++ {
		begin := time.Now()
		err := host.Run(p.run, opts)
		if p.run.Err() != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			return
		}
		if err == nil {
			err = errors.New("it ended by itself")
		}
		select {
		case <-p.ready:
		default:
			failed <- err
			return
		}
		if time.Since(begin) > again.Max {
			attempt = 1
		}
		pause := again.Delay(attempt)
		s.Log.Warn("the component is started again", "component", p.Config.Name, "pause", pause.String(), "error", err)
		select {
		case <-time.After(pause):
		case <-p.run.Done():
			return
		}
		l, err := listen(opts.Address, p.Config.Name)
		if err != nil {
			s.Log.Error("the component has lost its port", "component", p.Config.Name, "error", err)
			l, err = listen("127.0.0.1:0", p.Config.Name)
			if err != nil {
				continue
			}
		}
		opts.Listener = l
	}
}

func (p *part) changed(now host.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = now
	if now.Ready {
		select {
		case <-p.ready:
		default:
			close(p.ready)
		}
	}
}

func (p *part) now() host.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// result is why it didn't end in order; nil if it did.
func (p *part) result() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// stop ends the component once those that depend on it have ended. Where ctx is
// done it doesn't wait for those elsewhere.
func (p *part) stop(ctx context.Context, dependents []*part) {
	for _, d := range dependents {
		select {
		case <-d.begun:
			<-d.ended
		default: // it was never started
		}
	}
	for _, d := range p.Dependents {
		if p.system.Elsewhere != nil {
			_ = p.system.Elsewhere.Ended(ctx, d)
		}
	}
	select {
	case <-p.begun:
	default:
		_ = p.listener.Close()
		return
	}
	step := plan.Step{Op: plan.Stop, Service: p.Config.Name, Name: p.Config.Name}
	_ = p.system.step(context.Background(), step, func(func(string)) error {
		p.end()
		<-p.ended
		return p.result()
	})
}
