package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// look shows what the containers write until they are gone, and returns at the
// first signal, or when the system can't go on, and why. What it returns goes on
// showing until it is closed.
func (m *mixed) look(since time.Time) (*outlook, error) {
	t, p := m.tool, m.loaded.Project
	ctx, end := context.WithCancel(m.c.Context)
	defer end()
	v := view{
		style:   logStyle{prefix: true},
		wanted:  func(service string) bool { _, ok := p.Services[service]; return ok },
		visible: func(service string) bool { return service != model.BusService },
	}
	if !m.c.Bool("verbose") {
		v.line = func(text string) bool { return !routine(text) }
	}
	var ended *finish
	w := &wake{engine: m.engine, end: end}
	begun := make(chan struct{})
	out, err := t.lookOn(ctx, m.engine, p.Name, since, m.done, v, func(ev deploy.Event) {
		select {
		case <-begun:
		case <-ctx.Done():
			return
		}
		w.see(ctx, ev.Container)
		ended.see(ev)
	})
	switch {
	case m.c.Context.Err() != nil:
		return out, nil
	case err != nil:
		return nil, err
	}
	for _, c := range out.containers {
		w.see(ctx, c.ID)
	}
	ended = whenEnded(ctx, m.engine, p.Name, v.wanted, out.containers, end)
	close(begun)
	select {
	case <-ctx.Done():
	case <-m.here.Failed():
		end()
	case <-out.ended: // the engine has gone
		end()
	}
	ended.close()
	w.close()
	switch gone := out.gone(); {
	case m.c.Context.Err() != nil:
	case w.failed != nil:
		return out, w.failed
	case ended.all && m.inside:
		return out, &deploy.ComponentError{Service: model.BusService, Exited: true, Started: true,
			Reason: "has ended with all other containers: another command stopped or removed them", Remedy: "the system went down with it: `ww up` starts it again"}
	case ended.all:
		fmt.Fprintln(t.err, "all containers have ended")
	case gone != nil:
		return out, gone
	}
	return out, nil
}

// routine reports a line that a component has logged, and that is no warning.
func routine(line string) bool {
	if !strings.HasPrefix(line, `{"time":`) {
		return false
	}
	var of struct {
		Level slog.Level `json:"level"`
		Msg   *string    `json:"msg"`
	}
	return json.Unmarshal([]byte(line), &of) == nil && of.Msg != nil && of.Level < slog.LevelWarn
}

// wake looks at containers that have ended: one that failed, and that the engine
// doesn't start again, is the failure of the system.
type wake struct {
	engine deploy.Driver
	end    func()

	wg     sync.WaitGroup
	mu     sync.Mutex
	closed bool
	failed error // valid after close
}

// close ends looking: what ends from now on ends as it is told to.
func (w *wake) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wg.Wait()
}

func (w *wake) see(ctx context.Context, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.wg.Go(func() {
		c, err := w.engine.Inspect(ctx, id)
		if err != nil || lives(c) || c.State != plan.Exited && c.State != plan.Dead || c.ExitCode == 0 || c.OneOff {
			return
		}
		logs := deploy.Tail(ctx, w.engine, id, deploy.LogLines)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.failed == nil && ctx.Err() == nil {
			w.failed = &deploy.ComponentError{
				Service: c.Service, Container: c.Name, Exited: true, ExitCode: c.ExitCode, Started: true, Logs: logs,
				Reason: fmt.Sprintf("exited with code %d", c.ExitCode), Remedy: "the system went down with it: `ww up` starts it again",
			}
			w.end()
		}
	})
}

// stop takes both sides down together. Nothing is accepted any more, the bus
// empties while all components work, those stop, dependents first, also across
// the border, and the bus is last. A second signal kills what is left. What
// waits on the bus then is returned, by component.
func (m *mixed) stop() (left map[string]int64, err error) {
	t := m.tool
	ctx := t.cleanup()
	if t.console != nil {
		t.console.verb = "down"
	}
	progress := t.progressOf(m.system.Name, m.phase, m.c.Bool("quiet"))
	defer progress.end()
	m.told.turn(progress.report)
	d := &descent{mixed: m}
	left, err = d.inOrder(ctx)
	if ctx.Err() == nil {
		return left, err
	}
	fmt.Fprintln(t.err, "killing")
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	d.errs = nil
	if d.have, err = m.engine.Observe(last, m.system.Name, nil); err == nil {
		d.grace = new(time.Duration)
		d.down(last, d.ours, deploy.Border{})
	}
	return nil, errors.Join(append(d.errs, err, context.Canceled)...)
}

// descent is the way down of a mixed system.
type descent struct {
	*mixed
	have  plan.Observed
	grace *time.Duration // each container's own if nil

	mu   sync.Mutex
	errs []error
}

func (d *descent) failed(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.errs = append(d.errs, err)
	}
}

func (d *descent) ours(c plan.Container) bool {
	_, ok := d.loaded.Project.Services[c.Service]
	return ok && !c.OneOff
}

// inOrder goes down as long as ctx isn't done; the part in this process has ended
// in any case.
func (d *descent) inOrder(ctx context.Context) (map[string]int64, error) {
	unlock, err := d.tool.lock(ctx, nil, d.system.Name)
	if err != nil {
		return nil, errors.Join(err, d.notStarted())
	}
	defer unlock()
	if d.have, err = d.engine.Observe(ctx, d.system.Name, nil); err != nil {
		return nil, errors.Join(err, d.notStarted())
	}
	left := d.stop(ctx)
	return left, errors.Join(d.errs...)
}

func (d *descent) stop(ctx context.Context) map[string]int64 {
	phase := func(c plan.Container) model.Phase { return model.Phase(c.Labels[deploy.LabelPhase]) }
	d.both(func() { d.failed(d.here.StopIntake(ctx)) }, func() {
		d.down(ctx, func(c plan.Container) bool { return d.ours(c) && phase(c) == model.PhaseIngress }, deploy.Border{})
	})
	left := d.here.DrainBus(ctx)

	// From here on each side waits for what depends on its own on the other one.
	var services []string
	for name, s := range d.loaded.Project.Services {
		if s.Labels[deploy.LabelPhase] != string(model.PhaseBus) {
			services = append(services, name)
		}
	}
	d.border.stop()
	for _, c := range d.system.here {
		if !d.border.has(moment{c.Name, false}) {
			d.border.come(moment{c.Name, true}) // it was never there
		}
	}
	d.both(func() {
		_, err := d.here.StopComponents(ctx)
		d.failed(err)
		for _, c := range d.system.here {
			d.border.come(moment{c.Name, true})
		}
	}, func() {
		d.down(ctx, func(c plan.Container) bool { return d.ours(c) && phase(c) != model.PhaseBus }, deploy.Border{
			Before:  func(s plan.Step) []string { return d.leave[s.Service] },
			Await:   d.border.Ended,
			Planned: func(p plan.Plan) { d.border.ending(p, services) },
		})
		for _, name := range services {
			d.border.come(moment{name, true})
		}
	})
	d.failed(d.here.Close())
	d.down(ctx, d.ours, deploy.Border{})
	return left
}

func (d *descent) both(here, inContainers func()) {
	var sides sync.WaitGroup
	sides.Go(here)
	sides.Go(inContainers)
	sides.Wait()
}

// down stops and removes the containers that are meant; the last one takes the
// networks along.
func (d *descent) down(ctx context.Context, meant func(plan.Container) bool, border deploy.Border) {
	keep := slices.DeleteFunc(slices.Clone(d.have.Containers), meant)
	if len(keep) == len(d.have.Containers) && len(keep) > 0 {
		if border.Planned != nil {
			border.Planned(plan.Plan{})
		}
		return
	}
	_, err := deploy.Down(ctx, d.engine, deploy.DownRequest{
		Name: d.system.Name, Project: d.loaded.Project, Have: d.have, Options: plan.DownOptions{Keep: keep}, Grace: d.grace, Leave: d.lastWords, Border: border,
		Report: func(ev deploy.Progress) {
			d.told.report(ev)
			d.border.gone(ev)
		},
	})
	d.failed(err)
	if err == nil {
		d.have.Containers = keep
	}
}
