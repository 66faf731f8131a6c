package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/runtime/process"
)

// glance is a system in a process at one moment.
type glance struct {
	Bus   look               `json:"bus"` // its time is that of all of it
	Parts []inproc.PartState `json:"parts"`
	Self  *process.Usage     `json:"self,omitempty"` // of the process alone
}

// glance looks at what runs in this process; a bus that is away is no error.
func (d *localDoor) glance(ctx context.Context) glance {
	g := glance{Parts: d.parts()}
	within, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	b, _, err := d.open(within)
	if err == nil {
		g.Bus, err = (&agent{bus: b}).look(within)
		err = errors.Join(err, b.Close())
	}
	if err != nil {
		g.Bus = look{Error: err.Error()}
	}
	g.Bus.Time = time.Now().UTC()
	if u, ok := process.Self(); ok {
		g.Self = &u
	}
	return g
}

// inProcesses is a system that `ww up` runs, in one process or several, each with a
// part of it; and with what of it runs in containers, where there is any.
type inProcesses struct {
	tool       *tool
	processes  []*notice
	before     []glance // one for each process; none at first
	containers func(context.Context) (*inContainers, error)
	there      *inContainers // once it was found
}

// seeProcesses is the system that processes of this folder run; nil where none
// does.
func (t *tool) seeProcesses(ctx context.Context, c *cli.Context) *inProcesses {
	s := &inProcesses{tool: t, processes: t.allNearby(ctx, c)}
	if len(s.processes) == 0 {
		return nil
	}
	for _, child := range s.processes[0].Components {
		if child.Runs == inDocker {
			s.containers = func(ctx context.Context) (*inContainers, error) {
				r, err := t.find(ctx, c)
				if err != nil {
					return nil, err
				}
				return &inContainers{tool: t, running: r, way: func() *remote { return t.throughProcess(s.processes[0]) }}, nil
			}
		}
	}
	return s
}

func (s *inProcesses) close() {
	if s.there != nil {
		s.there.close()
	}
}

// look looks at both sides at the same time. Containers that can't be seen are
// noted.
func (s *inProcesses) look(ctx context.Context) (topView, error) {
	var there topView
	var away error
	var side sync.WaitGroup
	if s.containers != nil {
		side.Go(func() { there, away = s.lookThere(ctx) })
	}
	v, err := s.lookHere(ctx)
	side.Wait()
	if err != nil {
		return topView{}, err
	}
	v.Components = append(v.Components, there.Components...)
	if away != nil && ctx.Err() == nil {
		v.note("what runs in containers isn't known: " + away.Error())
	}
	return v, ctx.Err()
}

func (s *inProcesses) lookThere(ctx context.Context) (v topView, err error) {
	if s.there == nil {
		if s.there, err = s.containers(ctx); err != nil {
			return topView{}, err
		}
	}
	return s.there.look(ctx)
}

func (s *inProcesses) lookHere(ctx context.Context) (topView, error) {
	if s.before == nil {
		all, err := s.glances(ctx)
		if err != nil {
			return topView{}, err
		}
		s.before = all
	}
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return topView{}, ctx.Err()
	}
	all, err := s.glances(ctx)
	if err != nil {
		return topView{}, err
	}
	v := topView{Time: time.Now().UTC()}
	for i, g := range all {
		v.Components = append(v.Components, processRows(s.processes[i].PID, s.before[i], g)...)
		if why := g.Bus.Error; why != "" && v.Note == "" {
			v.note("what waits on the bus isn't known: " + why)
		}
	}
	s.before = all
	return v, nil
}

func (s *inProcesses) glances(ctx context.Context) ([]glance, error) {
	all, errs := make([]glance, len(s.processes)), make([]error, len(s.processes))
	var looking sync.WaitGroup
	for i, n := range s.processes {
		r := s.tool.throughProcess(n)
		looking.Go(func() { all[i], errs[i] = only[glance](ctx, r, order{Op: opGlance}) })
	}
	looking.Wait()
	return all, errors.Join(errs...)
}

// processRows is a process, and the components that it runs. Those without
// processes of their own share what it takes.
func processRows(pid int, before, now glance) []topRow {
	window := now.Bus.Time.Sub(before.Bus.Time)
	load := func(before, now *process.Usage) *float64 {
		if before == nil || now == nil || window <= 0 {
			return nil
		}
		percent := 100 * max(now.CPU-before.CPU, 0).Seconds() / window.Seconds()
		return &percent
	}
	was := map[string]*process.Usage{}
	for _, p := range before.Parts {
		was[p.Name] = p.Usage
	}
	rates := rates(before.Bus, now.Bus)
	self := topRow{Component: fmt.Sprintf("ww up (%d)", pid), State: "running", Instances: 1, CPU: load(before.Self, now.Self), Memory: memoryOf(now.Self)}
	rows := []topRow{self}
	for _, p := range now.Parts {
		row := topRow{
			Component: p.Name, Deployment: p.Deployment, State: p.State.Phase, Instances: p.Instances,
			CPU: load(was[p.Name], p.Usage), Memory: memoryOf(p.Usage),
		}
		row.addBus(now.Bus.Components, rates)
		rows = append(rows, row)
	}
	return rows
}

func memoryOf(u *process.Usage) *uint64 {
	if u == nil {
		return nil
	}
	n := uint64(max(u.Memory, 0))
	return &n
}

// addBus adds what the bus says of a component.
func (r *topRow) addBus(all map[string]bus.Stats, rates map[string]rate) {
	if s, ok := all[r.Component]; ok {
		r.Queue, r.InFlight = plus(r.Queue, s.Depth), plus(r.InFlight, s.InFlight)
	}
	if v, ok := rates[r.Component]; ok {
		r.Rate = plus(r.Rate, v.Handled)
	}
}
