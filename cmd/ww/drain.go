package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/plan"
)

// drainFor is how long a system that goes down works off what waits on its bus.
const drainFor = 10 * time.Second

// drainer lets a system work off what waits on its bus before it goes down. Its
// zero value is none.
type drainer struct {
	remote *remote
	budget time.Duration
	nearby string // where the door answers over the network; "" for nowhere
	door   string // its id

	left   map[string]int64
	failed error
}

// newDrain is nil where there is nothing to be drained: no bus of its own runs,
// or no component that could work.
func (t *tool) newDrain(r *running, budget time.Duration) *drainer {
	bus := slices.ContainsFunc(r.have.Containers, func(c plan.Container) bool {
		return isBus(c) && c.State == plan.Running
	})
	if !bus || budget <= 0 {
		return nil
	}
	// What accepts work from outside is gone by then.
	inside := *r
	inside.have.Containers = slices.DeleteFunc(slices.Clone(r.have.Containers), func(c plan.Container) bool {
		return c.Labels[deploy.LabelPhase] == string(model.PhaseIngress)
	})
	door, known, err := inside.door(nil)
	if err != nil {
		return nil
	}
	d := &drainer{remote: t.through(r, door, known), budget: budget, door: door.ID}
	if port := door.Labels[deploy.LabelPort]; r.engine.Near() && port != "" {
		for _, ip := range door.IPs {
			d.nearby = net.JoinHostPort(ip, port)
		}
	}
	return d
}

// run waits until nothing waits on the bus, for some components or for any.
func (d *drainer) run(ctx context.Context, components []string, tell func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, d.budget+patience)
	defer cancel()
	got, err := d.ask(ctx, components)
	d.left, d.failed = got.Left, err
	switch {
	case err != nil:
		return err
	case !got.Drained:
		tell(leftOver(got.Left))
		return errNotDrained
	}
	return nil
}

// ask asks a component over the project's network, which costs next to nothing,
// or else through the engine.
func (d *drainer) ask(ctx context.Context, components []string) (drained, error) {
	if len(components) == 0 {
		if got, err := d.direct(ctx); err == nil {
			return got, nil
		}
	}
	return only[drained](ctx, d.remote, order{Op: opDrain, Components: components, Wait: d.budget, Served: true})
}

// direct is an error wherever the answer isn't for certain that of the container
// that is meant.
func (d *drainer) direct(ctx context.Context) (drained, error) {
	if d.nearby == "" {
		return drained{}, errors.ErrUnsupported
	}
	var got host.Drained
	status, err := deploy.Ask(ctx, d.nearby, "/drained?wait="+d.budget.String(), d.door, &got)
	if err != nil {
		return drained{}, err
	}
	if status != http.StatusOK {
		return drained{}, fmt.Errorf("%s answers %s", d.nearby, http.StatusText(status))
	}
	return drained{got.Drained, got.Left}, nil
}

var errNotDrained = errors.New("not drained in time")

// drainResult is an error where something is left, and says where it is.
func (t *tool) drainResult(d *drainer, volumes bool) error {
	switch {
	case d == nil:
		return nil
	case d.failed != nil && !errors.Is(d.failed, context.Canceled):
		// The containers went down all the same, and what waits stays.
		fmt.Fprintf(t.err, "warning: whether anything waits on the bus isn't known: %v\n", d.failed)
		return nil
	case len(d.left) == 0:
		return nil
	case volumes:
		return &drainError{"not everything was handled, and it went with the bus's volume: " + leftOver(d.left), "--drain 1m waits longer; without -v it stays"}
	}
	return &drainError{"not everything was handled, and it waits on the bus's volume: " + leftOver(d.left), "`ww compose up` goes on with it; --drain 1m waits longer"}
}

// leaving lets components that a system has no more work off what waits for
// them, and remembers for whom something is left.
type leaving struct {
	tool    *tool
	engine  *dockerx.Engine
	project string

	mu     sync.Mutex
	left   map[string]int64
	unsure error // why it isn't known what is left
}

// drainsOrphans has what an up removes be drained before that.
func (t *tool) drainsOrphans(e *dockerx.Engine, req *deploy.UpRequest) *leaving {
	l := &leaving{tool: t, engine: e, project: req.Project.Name}
	req.Drain = l.run
	return l
}

func (l *leaving) run(ctx context.Context, components []string, tell func(string)) error {
	d, err := l.reach(ctx)
	if d == nil {
		return err
	}
	err = d.run(ctx, components, tell)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !errors.Is(err, errNotDrained) {
		l.unsure = errors.Join(l.unsure, err)
	}
	for name, n := range d.left {
		if l.left == nil {
			l.left = map[string]int64{}
		}
		l.left[name] = n
	}
	return err
}

// reach is nil where no bus runs, or nobody who could ask it.
func (l *leaving) reach(ctx context.Context) (*drainer, error) {
	have, err := l.engine.Observe(ctx, l.project, nil)
	if err != nil {
		return nil, err
	}
	return l.tool.newDrain(&running{name: l.project, engine: l.engine, have: have}, drainFor), nil
}

// warn says what nobody takes any more, once those that took it are gone.
func (l *leaving) warn(ctx context.Context) {
	if l.unsure != nil {
		fmt.Fprintf(l.tool.err, "warning: whether anything waits for what the file has no more isn't known: %v\n", l.unsure)
	}
	if len(l.left) == 0 {
		return
	}
	// In their last moments they may have handled some more.
	within, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	if d, err := l.reach(within); err == nil && d != nil {
		if now, err := only[look](within, d.remote, order{Op: opStats}); err == nil {
			for name := range l.left {
				if l.left[name] = now.Components[name].Depth; l.left[name] == 0 {
					delete(l.left, name)
				}
			}
		}
	}
	if len(l.left) > 0 {
		fmt.Fprintf(l.tool.err, "warning: %s went with messages that weren't handled within %s, and nobody takes them now: %s. They are handled once a component of that name is there again\n",
			strings.Join(slices.Sorted(maps.Keys(l.left)), ", "), drainFor, leftOver(l.left))
	}
}

// leftOver lists what is left, by component.
func leftOver(left map[string]int64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(left)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, left[name]))
	}
	return strings.Join(parts, ", ")
}
