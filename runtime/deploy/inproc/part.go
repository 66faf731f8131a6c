package inproc

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/host/isolated"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/process"
	"woodwork.dev/ww/runtime/registry"
)

// again is how a component that has failed is started again.
var again = bus.Backoff{Min: time.Second, Max: time.Minute}

// part is one component that runs, as one instance or several: see pool.go.
type part struct {
	*Component
	system   *System
	listener net.Listener  // of the first instance
	begun    chan struct{} // closed when start has been called and the part runs
	told     chan struct{} // closed when it has been reported that it is ready
	ended    chan struct{} // closed when it runs no more
	end      context.CancelFunc
	run      context.Context
	host     host.Options // of each instance
	running  sync.WaitGroup

	mu        sync.Mutex
	instances []*instance
	state     host.State // as long as there are no instances
	err       error
	spent     time.Duration // processor time of instances that have ended
	given     bool          // an instance has the listener
}

func newPart(s *System, c *Component) (*part, error) {
	l, err := listen(cmp.Or(c.Addr, "127.0.0.1:0"), c.Config.Name)
	if err != nil {
		return nil, err
	}
	p := &part{Component: c, system: s, listener: l, begun: make(chan struct{}), told: make(chan struct{}), ended: make(chan struct{})}
	p.state = host.State{Phase: "waiting", Reason: "what it depends on isn't ready"}
	return p, nil
}

// start waits for what the component depends on, runs it, and returns when all
// instances that it begins with are ready.
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
		p.host = p.system.hosting(opts)
		p.host.Grace = p.Grace
		p.run, p.end = context.WithCancel(live)
		close(p.begun)
		begun, err := p.add(p.atLeast())
		if err != nil {
			return err
		}
		err = p.await(ctx, begun)
		if err != nil && ctx.Err() == nil {
			err = p.broken(err.Error())
		}
		return err
	})
	if err == nil {
		close(p.told)
	}
	return err
}

func (p *part) broken(reason string) error {
	return &deploy.ComponentError{Service: p.Config.Name, Container: p.Config.Name, Reason: reason, Remedy: "correct its settings; `ww up --verbose` shows what components log"}
}

// hosting is what the hosts of all components have in common.
func (s *System) hosting(opts host.Options) host.Options {
	opts.Shared, opts.Metrics, opts.Hurry = true, s.metrics, s.hurry
	opts.OpenBus = func(ctx context.Context) (bus.Bus, registry.Registry, error) { return s.bus.lend(ctx) }
	opts.Log, opts.Stdout, opts.Stdin, opts.Secret = s.Log, s.Stdout, s.Stdin, s.Secret
	return opts
}

// supervise runs one instance of the component until it is to stop; why it didn't
// end in order is its result. One that fails before it was ever ready is given up;
// after that it is started again, each time a little later, until it has run for a
// while.
func (p *part) supervise(i *instance) error {
	s, opts := p.system, p.host
	opts.OnState = i.changed
	opts.Listener = i.listener
	opts.Address = i.listener.Addr().String()
	if p.Isolated || p.Programs {
		group := s.keeper.Group(p.Config.Name, p.Limits)
		i.mu.Lock()
		i.processes = group
		i.mu.Unlock()
		defer p.release(i, group)
		opts.Processes, opts.Usage = group, p.usage
	}
	if p.Isolated {
		key := p.Config.Kind + " " + p.Config.Type
		opts.Builders = map[string]component.Builder{key: isolated.Build(s.Isolate)}
	}
	for attempt := 1; ; attempt++ {
		begin := time.Now()
		err := host.Run(i.run, opts)
		if i.run.Err() != nil {
			return err
		}
		if err == nil {
			err = errors.New("it ended by itself")
		}
		select {
		case <-i.ready:
		default:
			return err
		}
		if time.Since(begin) > again.Max {
			attempt = 1
		}
		pause := again.Delay(attempt)
		s.Log.Warn("the component is started again", "component", p.Config.Name, "pause", pause.String(), "error", err)
		select {
		case <-time.After(pause):
		case <-i.run.Done():
			return nil
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

// usage is what the processes of all instances take; false where the component has
// none of its own.
func (p *part) usage() (process.Usage, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum, has := process.Usage{CPU: p.spent}, false
	for _, i := range p.instances {
		i.mu.Lock()
		u, ok := i.processes.Usage()
		i.mu.Unlock()
		sum.CPU, sum.Memory, sum.Processes, has = sum.CPU+u.CPU, sum.Memory+u.Memory, sum.Processes+u.Processes, has || ok
	}
	return sum, has
}

// release ends an instance's processes.
func (p *part) release(i *instance, group *process.Group) {
	used, _ := group.Usage()
	err := group.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.processes = nil
	p.spent += used.CPU
	p.err = errors.Join(p.err, err)
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
		p.finish()
		return p.result()
	})
}
