package inproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/process"
)

// instance is one of the instances of a component, which compete for its
// messages. Each has an entry of its own in the registry.
type instance struct {
	listener net.Listener
	run      context.Context // ends when it is to stop
	end      context.CancelFunc
	ready    chan struct{} // closed when it is ready for the first time
	ended    chan struct{} // closed when it runs no more

	mu        sync.Mutex
	state     host.State
	processes *process.Group // nil: it has none, or doesn't run
	err       error          // once it has ended: why it didn't in order
}

func (i *instance) changed(now host.State) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.state = now
	if now.Ready {
		select {
		case <-i.ready:
		default:
			close(i.ready)
		}
	}
}

func (i *instance) now() host.State {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.state
}

// leaving reports whether it is to stop, or has ended.
func (i *instance) leaving() bool { return i.run.Err() != nil }

// atLeast is how many instances the component begins with.
func (p *part) atLeast() int { return max(p.Workers, 1) }

// add starts n more instances; none once the part is to stop. Where a port can't
// be opened, it starts none.
func (p *part) add(n int) ([]*instance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run.Err() != nil {
		return nil, p.run.Err()
	}
	var added []*instance
	for range n {
		l := p.listener
		if p.given {
			var err error
			if l, err = listen("127.0.0.1:0", p.Config.Name); err != nil {
				for _, i := range added {
					i.end()
					_ = i.listener.Close()
				}
				return nil, err
			}
		}
		p.given = true
		i := &instance{listener: l, ready: make(chan struct{}), ended: make(chan struct{}), state: host.State{Phase: "starting", Reason: "the component is starting"}}
		i.run, i.end = context.WithCancel(p.run)
		added = append(added, i)
	}
	for _, i := range added {
		p.instances = append(p.instances, i)
		p.running.Go(func() {
			err := p.supervise(i)
			i.mu.Lock()
			i.err = err
			i.mu.Unlock()
			p.over(i, err)
		})
	}
	return added, nil
}

// over takes an instance out that has ended, unless all end: it is told then how
// they did.
func (p *part) over(i *instance, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.run.Err() != nil:
		p.err = errors.Join(p.err, err)
	default:
		p.instances = slices.DeleteFunc(p.instances, func(o *instance) bool { return o == i })
		if err != nil && i.leaving() {
			p.system.Log.Warn("an instance didn't end in order", "component", p.Config.Name, "error", err)
		}
		if len(p.instances) == 0 {
			p.state = i.now()
		}
	}
	i.end()
	close(i.ended)
}

// await waits until instances are ready, within the time that a component has.
func (p *part) await(ctx context.Context, begun []*instance) error {
	timer := time.NewTimer(p.system.Ready)
	defer timer.Stop()
	for _, i := range begun {
		select {
		case <-i.ready:
			continue
		default:
		}
		select {
		case <-i.ready:
		case <-i.ended:
			i.mu.Lock()
			err := i.err
			i.mu.Unlock()
			return err
		case <-timer.C:
			return fmt.Errorf("was not ready after %s: %s", p.system.Ready, i.now().Reason)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// count is how many instances there are, without those that are to stop.
func (p *part) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.staying())
}

// staying lists the instances that aren't to stop. With p.mu held.
func (p *part) staying() []*instance {
	var out []*instance
	for _, i := range p.instances {
		if !i.leaving() {
			out = append(out, i)
		}
	}
	return out
}

// resize has n instances run, and returns when those that are new are ready. Those
// that are too many take no more messages, finish what they have, and go; that
// isn't waited for. The last to come go first.
func (p *part) resize(ctx context.Context, n int) error {
	p.mu.Lock()
	staying := p.staying()
	p.mu.Unlock()
	if n <= len(staying) {
		for _, i := range staying[n:] {
			i.end()
		}
		return nil
	}
	begun, err := p.add(n - len(staying))
	if err == nil {
		err = p.await(ctx, begun)
	}
	if err != nil { // those that aren't ready don't count
		for _, i := range begun {
			i.end()
		}
	}
	return err
}

// now is how the part is: ready as soon as it has as many instances that are as it
// begins with.
func (p *part) now() host.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	state, ready := p.state, 0
	for _, i := range p.instances {
		now := i.now()
		if now.Ready {
			ready++
		}
		if ready == p.atLeast() {
			return now
		}
		if !now.Ready {
			state = now
		}
	}
	return state
}

// result is why it didn't end in order; nil if it did.
func (p *part) result() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// finish ends all instances, and waits until none runs any more.
func (p *part) finish() {
	p.mu.Lock()
	p.end() // from here on none is added
	p.mu.Unlock()
	p.running.Wait()
	close(p.ended)
}
