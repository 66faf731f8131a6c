package main

import (
	"context"
	"sync"
	"time"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/registry"
)

// labelDeployment says to which deployment a container's component belongs.
const labelDeployment = "dev.woodwork.deployment"

// inContainers is a system that runs in containers: the engine says what they take,
// and the bus, through one of them, what they get done.
type inContainers struct {
	tool    *tool
	running *running
	before  look           // of the bus; rates are what happened since
	way     func() *remote // to the bus; nil: through one of the containers
}

func (s *inContainers) close() { _ = s.running.engine.Close() } // nothing is left to be said on it

func (s *inContainers) look(ctx context.Context) (topView, error) {
	r := s.running
	if err := r.observe(ctx); err != nil {
		return topView{}, err
	}
	var cs []plan.Container
	for _, c := range r.have.Containers {
		if !c.OneOff {
			cs = append(cs, c)
		}
	}
	if len(cs) == 0 {
		return topView{}, busNotRunning(nothingRuns(r.name))
	}
	var first error
	if s.before.Time.IsZero() {
		s.before, first = s.bus(ctx)
	}
	var entries []registry.Entry
	var asking sync.WaitGroup
	if first == nil {
		asking.Go(func() { entries, _ = s.entries(ctx) }) // whatever is wrong with that way, the bus tells below
	}
	usage, err := s.measure(ctx, cs)
	asking.Wait()
	if err != nil {
		return topView{}, err
	}
	now, why := look{}, first
	if first == nil {
		now, why = s.bus(ctx)
	}
	v := topView{Time: time.Now().UTC(), Components: topRows(cs, usage, now, rates(s.before, now))}
	v.say(entries)
	if why != nil {
		v.Note = "what waits on the bus isn't known: " + why.Error()
	}
	s.before = now
	return v, ctx.Err()
}

// bus looks at the bus.
func (s *inContainers) bus(ctx context.Context) (look, error) {
	r, err := s.remote()
	if err != nil {
		return look{}, err
	}
	return only[look](ctx, r, order{Op: opStats})
}

// entries is what components say of themselves.
func (s *inContainers) entries(ctx context.Context) ([]registry.Entry, error) {
	r, err := s.remote()
	if err != nil {
		return nil, err
	}
	return collect[registry.Entry](ctx, r, order{Op: opServices})
}

// remote is the way to the bus.
func (s *inContainers) remote() (*remote, error) {
	if s.way != nil {
		return s.way(), nil
	}
	door, names, err := s.running.door(nil)
	if err != nil {
		return nil, err
	}
	return s.tool.through(s.running, door, names), nil
}

// say gives components that an engine has yet to check, which it does once a minute,
// the state that they have by their own account.
func (v *topView) say(entries []registry.Entry) {
	ready := map[string]int{}
	for _, e := range entries {
		if e.State == registry.Ready || e.State == registry.Active {
			ready[e.Name]++
		}
	}
	for i := range v.Components {
		row := &v.Components[i]
		if row.State == string(plan.Starting) && row.Instances > 0 && ready[row.Component] >= row.Instances {
			row.State = "ready"
		}
	}
}

// measure measures all containers that run at the same time: each takes the engine
// a second or two.
func (s *inContainers) measure(ctx context.Context, cs []plan.Container) (map[string]dockerx.Usage, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	usage := map[string]dockerx.Usage{}
	for _, c := range cs {
		if c.State != plan.Running {
			continue
		}
		wg.Go(func() {
			err := ignoreGone(s.running.engine.Stats(ctx, c.ID, false, func(u dockerx.Usage) {
				mu.Lock()
				defer mu.Unlock()
				usage[c.ID] = u
			}))
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = err
			}
		})
	}
	wg.Wait()
	return usage, failed
}

// topRows puts together what is known of each component: its containers, what these
// take, and what the bus says of its queue.
func topRows(cs []plan.Container, usage map[string]dockerx.Usage, bus look, rates map[string]rate) []topRow {
	at := map[string]int{}
	var rows []topRow
	for _, c := range cs {
		name := c.Labels[deploy.LabelComponent]
		if name == "" {
			name = c.Service
		}
		i, ok := at[name]
		if !ok {
			i = len(rows)
			at[name] = i
			rows = append(rows, topRow{Component: name, Deployment: c.Labels[labelDeployment], State: stateOf(c)})
		}
		row := &rows[i]
		if state := stateOf(c); state != "ready" && state != "running" {
			row.State = state
		}
		if c.State == plan.Running {
			row.Instances++
		}
		if u, ok := usage[c.ID]; ok {
			row.CPU, row.Memory = plus(row.CPU, u.CPU), plus(row.Memory, u.Memory)
			row.NetIn, row.NetOut = plus(row.NetIn, u.NetIn), plus(row.NetOut, u.NetOut)
		}
	}
	for i := range rows {
		rows[i].addBus(bus.Components, rates)
	}
	return rows
}

// plus is a sum of which nothing is known before its first part.
func plus[T int64 | uint64 | float64](sum *T, part T) *T {
	if sum != nil {
		part += *sum
	}
	return &part
}

// stateOf is a container's state in one word.
func stateOf(c plan.Container) string {
	switch {
	case c.State != plan.Running:
		return string(c.State)
	case c.Health == plan.Healthy:
		return "ready"
	case c.Health != "":
		return string(c.Health)
	}
	return string(c.State)
}
