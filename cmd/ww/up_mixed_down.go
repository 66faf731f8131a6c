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

// look shows what the containers write until the first signal, or until the
// system can't go on, and says why.
func (m *mixed) look(since time.Time) error {
	t, p := m.tool, m.loaded.Project
	ctx, end := context.WithCancel(m.c.Context)
	defer end()
	now := time.Now().Add(-time.Second) // also what ended while nobody looked
	have, err := m.engine.Observe(ctx, p.Name, nil)
	switch {
	case m.c.Context.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	wanted := func(service string) bool { _, ok := p.Services[service]; return ok }
	cs := slices.DeleteFunc(have.Containers, func(c plan.Container) bool { return !wanted(c.Service) })
	shown := func(service string) bool { return service != model.BusService }
	verbose := m.c.Bool("verbose")
	printer := t.newLogPrinter(slices.DeleteFunc(slices.Clone(cs), func(c plan.Container) bool { return !shown(c.Service) }), logStyle{prefix: true})
	soon := func() { time.AfterFunc(lastWords, end) } // what was written last is still on its way
	w := &wake{engine: m.engine, end: soon}
	for _, c := range cs {
		w.see(ctx, c.ID)
	}
	ended := whenEnded(ctx, m.engine, p.Name, wanted, cs, soon)
	var others sync.WaitGroup
	others.Go(func() {
		select {
		case <-m.here.Failed():
			end()
		case <-ctx.Done():
		}
	})
	opts := deploy.LogOptions{Since: since.Add(-time.Second).Format(time.RFC3339Nano)}
	err = deploy.Follow(ctx, m.engine, p.Name, now, cs, opts, wanted, func(l deploy.LogLine) {
		if shown(l.Container.Service) && (verbose || !routine(l.Text)) {
			printer.print(l)
		}
	}, func(ev deploy.Event) {
		fmt.Fprintf(t.err, "%s exited with code %d\n", ev.Name, ev.ExitCode)
		w.see(ctx, ev.Container)
		ended.see(ev)
	})
	stopped := ctx.Err() != nil
	end()
	ended.close()
	others.Wait()
	w.wg.Wait()
	switch {
	case w.failed != nil && m.c.Context.Err() == nil:
		return w.failed
	case !stopped:
		return err
	case ended.all && m.c.Context.Err() == nil:
		fmt.Fprintln(t.err, "all containers have ended")
	}
	return nil
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
	failed error
}

func (w *wake) see(ctx context.Context, id string) {
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
		Name: d.system.Name, Project: d.loaded.Project, Have: d.have, Options: plan.DownOptions{Keep: keep}, Grace: d.grace, Border: border,
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
