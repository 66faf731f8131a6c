package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/registry"
)

// mixed is a system of which some components run in containers and the others in
// this process, around one bus.
type mixed struct {
	tool   *tool
	c      *cli.Context
	system *assembly
	loaded *compose.Loaded // what runs in containers
	engine *dockerx.Engine
	here   *inproc.System
	border *crossing
	told   relay
	needs  map[string][]string // of each component, on the other side
	leave  map[string][]string // those that have to have ended on the other side
	inside bool                // the bus is a container
	done   plan.Plan           // that brought the containers up
	// lastWords waits for what a container has written; nil where nobody looks on.
	lastWords func(ctx context.Context, id string)
}

// upMixed runs a mixed system until the first signal, or until it can't go on.
// Everything is checked before anything is started.
func (t *tool) upMixed(c *cli.Context, s *assembly) error {
	begin := time.Now()
	t.meant = s
	m := &mixed{tool: t, c: c, system: s, border: newCrossing(), needs: s.across(), inside: s.busInside()}
	m.leave = reversed(m.needs)
	m.told.scaling = t.scalingView(m.phase).Report
	o, _, way, err := t.ground(c, s)
	if err != nil {
		return err
	}
	defer way.stop()
	if already := t.runsAlready(c, s.Name, s.isHere); already != nil {
		return already
	}
	if m.engine, err = t.engine(c); err != nil {
		return err
	}
	defer m.engine.Close()
	loaded, req, err := t.upRequest(c, m.engine)
	if err != nil {
		return err
	}
	m.loaded = loaded
	if m.inside && !onThisMachine(m.engine) {
		return &configError{fmt.Errorf("the engine at %s is on another machine, and a bus in a container there is published on that machine's own address", m.engine.Host()),
			"name a bus that both reach: `message_bus = redis { url = $REDIS_URL }`; or run the others on that machine"}
	}
	if err := loaded.Prepare(); err != nil {
		return prepareError(err)
	}
	for _, comp := range s.inside {
		o.Drained = append(o.Drained, comp.Name)
	}
	o.Elsewhere, o.OpenBus, o.Report = m.border, way.open, m.reportHere
	if m.inside {
		o.OpenBus = m.whenReady(way)
	}
	if m.here, err = inproc.New(c.Context, o); err != nil {
		return err
	}
	closeDoor, err := t.announce(s, m.here)
	if err != nil {
		return errors.Join(err, m.notStarted())
	}
	defer closeDoor()
	if err := m.start(req); err != nil {
		return err
	}
	if !c.Bool("quiet") {
		t.isUp(s.Name, len(s.here)+len(s.inside), begin, m.addresses())
		fmt.Fprintln(t.err, "Ctrl-C takes it down")
	}
	unscale := t.beside(c, m.engine, m.loaded.Project)
	out, failed := m.look(begin)
	unscale()
	if out != nil {
		m.lastWords = out.leave
		defer out.close()
	}
	fmt.Fprintln(t.err, "going down; Ctrl-C again kills")
	left, err := m.stop()
	switch err = errors.Join(failed, m.here.Err(), err); {
	case err != nil:
		return err
	case len(left) > 0:
		return m.notDrained(left)
	}
	return nil
}

// onThisMachine tells whether what an engine publishes on a loopback address is
// reached from here.
func onThisMachine(e *dockerx.Engine) bool {
	scheme, rest, _ := strings.Cut(e.Host(), "://")
	host, _, _ := strings.Cut(rest, ":")
	return scheme == "unix" || scheme == "npipe" || scheme == "tcp" && model.OnlyHere(host)
}

func (m *mixed) notDrained(left map[string]int64) error {
	where := "on the bus's volume"
	if !m.inside {
		where = "on the bus"
	}
	return &drainError{"not everything was handled, and it waits " + where + ": " + leftOver(left), "`ww up` goes on with it; --drain 1m waits longer"}
}

// start brings both sides up at the same time, each component as soon as what it
// depends on is ready. When it fails, or is cancelled, all of it goes down again.
func (m *mixed) start(req deploy.UpRequest) error {
	t, c := m.tool, m.c
	unlock, err := t.lock(c.Context, m.engine, m.system.Name)
	if err != nil {
		return errors.Join(err, m.notStarted())
	}
	defer unlock()
	progress := t.progressOf(m.system.Name, m.phase, c.Bool("quiet"))
	m.told.turn(progress.report)
	planned := false
	leaving := t.drainsOrphans(m.engine, &req)
	req.Options.Wait = true
	req.Report = func(ev deploy.Progress) {
		m.told.report(ev)
		m.border.container(ev)
	}
	req.Border = deploy.Border{
		Before: m.before, Await: m.border.Ready,
		Planned: func(p plan.Plan) {
			planned = true
			m.border.planned(p, m.loaded.Project.ServiceNames())
		},
	}
	ctx, fail := context.WithCancelCause(c.Context)
	defer fail(nil)
	var res deploy.UpResult
	var sides sync.WaitGroup
	sides.Go(func() {
		var err error
		if res, err = deploy.Up(ctx, m.engine, req); err != nil {
			fail(err)
		}
	})
	sides.Go(func() {
		if err := m.here.Start(ctx); err != nil {
			fail(err)
		}
	})
	sides.Wait()
	progress.end()
	err = context.Cause(ctx)
	if err == nil {
		m.done = res.Plan
		leaving.warn(c.Context)
		return nil
	}
	if c.Context.Err() != nil {
		err = c.Context.Err()
	}
	m.nameBusPort(err)
	unlock() // ending it takes the lock itself
	if !planned {
		return errors.Join(err, m.notStarted())
	}
	return errors.Join(err, m.takeBack(res))
}

// nameBusPort says what to do where the port is taken that was chosen for the
// bus.
func (m *mixed) nameBusPort(err error) {
	var engine *deploy.EngineError
	port := m.loaded.Generated.BusPort
	if port != "" && errors.As(err, &engine) && engine.Kind == deploy.PortTaken && strings.Contains(err.Error()+engine.Remedy, port) {
		engine.Remedy = "stop what has it; or remove " + compose.BusPortFile(m.loaded.Dir, m.loaded.Name) + ", and another port is chosen for the bus"
	}
}

// notStarted ends what there is in this process where no container was made.
func (m *mixed) notStarted() error {
	_, err := m.here.Stop(m.tool.cleanup())
	return err
}

// before lists what a container waits for outside of containers before it is
// started: where the bus is elsewhere, it is that as well.
func (m *mixed) before(s plan.Step) []string {
	if m.inside {
		return m.needs[s.Service]
	}
	return append([]string{model.BusService}, m.needs[s.Service]...)
}

// takeBack ends what a start that has failed has begun. Containers that were
// there before are as they were; otherwise all goes down in order: work may have
// been accepted.
func (m *mixed) takeBack(res deploy.UpResult) error {
	ctx := m.tool.cleanup()
	old := func(s plan.Step) bool { return s.Target != "" }
	if len(res.Plan.Unchanged) > 0 || slices.ContainsFunc(res.Plan.Steps, old) {
		_, err := m.here.Stop(ctx)
		return errors.Join(err, m.undo(ctx, res))
	}
	left, err := m.stop()
	if len(left) > 0 {
		fmt.Fprintf(m.tool.err, "note: %v\n", m.notDrained(left))
	}
	if !m.border.busIsReady() {
		err = errors.Join(err, m.undo(ctx, res)) // its volume holds nothing
	}
	return err
}

func (m *mixed) undo(ctx context.Context, res deploy.UpResult) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return res.Undo(ctx)
}

// reportHere is told of what happens in this process. Of a bus that is a
// container, that side tells.
func (m *mixed) reportHere(ev deploy.Progress) {
	if m.inside && ev.Step.Service == model.BusService && ev.Step.Op == plan.Ready {
		return
	}
	m.told.report(ev)
	m.border.component(ev)
}

// whenReady opens a bus that is a container once that is ready.
func (m *mixed) whenReady(way *busWay) opener {
	return func(ctx context.Context) (bus.Bus, registry.Registry, error) {
		if err := m.border.Ready(ctx, model.BusService); err != nil {
			return nil, nil, err
		}
		return way.open(ctx)
	}
}

func (m *mixed) phase(service string) string {
	if p := m.loaded.Project.Services[service].Labels[deploy.LabelPhase]; p != "" {
		return p
	}
	return m.system.phase(service)
}

// addresses are those of both sides.
func (m *mixed) addresses() map[string]string {
	all := addressesOf(m.here)
	for _, a := range reachedAt(m.loaded.Project) {
		if a.service != model.BusService {
			all[a.service] = a.address
		}
	}
	return all
}
