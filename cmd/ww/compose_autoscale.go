package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/progress"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/scale"
)

// scaleEvery is how often the load of containers is looked at.
const scaleEvery = 2 * time.Second

func (t *tool) autoscaleCommand() *cli.Command {
	return &cli.Command{
		Name:  "autoscale",
		Usage: "have the number of containers follow the load, as `scale` of the components says, until Ctrl-C; they stay up",
		Flags: []cli.Flag{
			durationFlag("interval", scaleEvery, "how often the load is looked at"),
			durationFlag("wait-timeout", deploy.DefaultTimeout, "how long one container may take to get ready"),
			timeoutFlag(),
		},
		Action: func(c *cli.Context) error {
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			what := scaledServices(r.have.Containers)
			if len(what) == 0 {
				return &configError{fmt.Errorf("nothing of %s that runs is to be scaled", r.name),
					"give a component `scale = { max: 5 }` and bring it up: `ww compose up -d`"}
			}
			a := t.newAutoscaler(c, r.engine, r.name, durationOf(c, "interval"))
			if _, err := a.policies(what); err != nil {
				return err
			}
			fmt.Fprintf(t.err, "scaling %s of %s; Ctrl-C ends it\n", strings.Join(slices.Sorted(maps.Keys(what)), ", "), r.name)
			if err := a.run(c.Context); err != nil {
				return err
			}
			fmt.Fprintf(t.err, "no longer scaling; %s stays as it is\n", r.name)
			return nil
		},
	}
}

// scaledServices gives the containers that run, of services whose number follows
// their load, by their service.
func scaledServices(cs []plan.Container) map[string][]plan.Container {
	all := map[string][]plan.Container{}
	for _, c := range cs {
		if !c.OneOff && c.State == plan.Running && c.Labels[scale.Label] != "" {
			all[c.Service] = append(all[c.Service], c)
		}
	}
	return all
}

// autoscaler has the number of a project's containers follow their load. It goes by
// labels alone: new containers are like those that run, whatever a file says by now.
type autoscaler struct {
	tool    *tool
	engine  *dockerx.Engine
	name    string
	every   time.Duration
	request deploy.UpRequest // what all changes have in common
	loads   *loads

	services map[string]*scaling
}

// scaling is a service whose number follows its load. Whoever has its turn may use
// it.
type scaling struct {
	controller *scale.Controller
	turn       chan struct{}
	pause      time.Time // until then no more are tried: the last ones didn't get ready
}

func (t *tool) newAutoscaler(c *cli.Context, e *dockerx.Engine, name string, every time.Duration) *autoscaler {
	return &autoscaler{
		tool: t, engine: e, name: name, every: cmp.Or(every, scaleEvery), services: map[string]*scaling{},
		request: deploy.UpRequest{
			Digests: digests(), Parallel: parallel(c), Grace: grace(c), Timeout: durationOf(c, "wait-timeout"),
		},
	}
}

// followsLoad lists the services of a project whose number follows their load.
func followsLoad(p *types.Project) []string {
	return slices.DeleteFunc(p.ServiceNames(), func(name string) bool { return p.Services[name].Labels[scale.Label] == "" })
}

// beside scales while something else goes on, if there is something to scale in a
// project; stop ends that, and waits for it. What goes wrong is told.
func (t *tool) beside(c *cli.Context, e *dockerx.Engine, p *types.Project) (stop func()) {
	if len(followsLoad(p)) == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(c.Context)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a := t.newAutoscaler(c, e, p.Name, durationOf(c, "scale-interval"))
		if err := a.run(ctx); err != nil {
			t.report(err)
			fmt.Fprintln(t.err, "note: no longer scaling; `ww compose autoscale` takes it up")
		}
	}()
	return func() { cancel(); <-ended }
}

// run scales until ctx is done. A bus that isn't there, or nothing that leads to it,
// is tried again; that nobody answers for the engine is the end.
func (a *autoscaler) run(ctx context.Context) error {
	work, cancel := context.WithCancel(ctx)
	a.loads = watchLoads(work, a.engine)
	defer func() {
		for _, s := range a.services {
			s.turn <- struct{}{} // what is under way ends with its context
		}
		cancel()
		a.loads.wait()
	}()
	away := false
	for {
		err := a.watch(ctx, func() { away = false })
		if ctx.Err() != nil {
			return nil
		}
		if code, _ := classify(err); err != nil && code != exitComponent {
			return err
		}
		if err != nil && !away {
			away = true
			fmt.Fprintf(a.tool.err, "%s; trying again until Ctrl-C\n", oneLine(err.Error()))
		}
		select {
		case <-time.After(a.every):
		case <-ctx.Done():
			return nil
		}
	}
}

// watch looks at the bus through one of the containers, until that is gone.
func (a *autoscaler) watch(ctx context.Context, seen func()) error {
	r := &running{name: a.name, engine: a.engine}
	if err := r.observe(ctx); err != nil {
		return err
	}
	door, known, err := r.door(nil)
	if err != nil {
		return err
	}
	remote := a.tool.through(r, door, known)
	return remote.watch(ctx, order{Op: opStats, Every: a.every}, parsed(func(l look) error {
		if l.Error != "" {
			return remote.away(ctx, l.Error)
		}
		seen()
		return a.look(ctx, l)
	}))
}

// look decides for each service, from one look at the bus and one at the engine.
func (a *autoscaler) look(ctx context.Context, l look) error {
	have, err := a.engine.Observe(ctx, a.name, nil)
	if err != nil {
		return err
	}
	what := scaledServices(have.Containers)
	policies, err := a.policies(what)
	if err != nil {
		return err
	}
	a.loads.keep(what, policies)
	for name, p := range policies {
		s := a.services[name]
		if s == nil {
			s = &scaling{controller: scale.New(p), turn: make(chan struct{}, 1)}
			a.services[name] = s
		}
		q, known := l.Components[name]
		select {
		case s.turn <- struct{}{}:
		default:
			continue // what was decided before is still being done
		}
		if !known {
			<-s.turn
			continue
		}
		if s.controller.Policy() != scale.New(p).Policy() {
			s.controller = scale.New(p)
		}
		d := s.controller.Observe(scale.Observation{
			Time: l.Time, Instances: numbers(what[name]), Depth: q.Depth - q.Delayed, InFlight: q.InFlight, Handled: q.Handled,
			CPU: a.loads.average(what[name]),
		})
		if !d.Changes() || d.To > d.From && time.Now().Before(s.pause) {
			<-s.turn
			continue
		}
		go func() {
			defer func() { <-s.turn }()
			if err := a.apply(ctx, name, d); err != nil && ctx.Err() == nil {
				s.pause = time.Now().Add(max(p.CoolDown, 2*a.every))
			}
		}()
	}
	return nil
}

// policies reads those of services. A label that can't be read is a mistake.
func (a *autoscaler) policies(what map[string][]plan.Container) (map[string]scale.Policy, error) {
	all := map[string]scale.Policy{}
	for name, cs := range what {
		newest := slices.MaxFunc(cs, func(a, b plan.Container) int { return a.Created.Compare(b.Created) })
		p, err := scale.Parse(newest.Labels[scale.Label])
		if err != nil {
			return nil, &configError{fmt.Errorf("container %s: %w", newest.Name, err), "bring it up anew with `ww compose up -d --force-recreate " + name + "`"}
		}
		all[name] = p
	}
	return all, nil
}

// numbers counts containers of one service: two that have one number are one that
// is being replaced.
func numbers(cs []plan.Container) int {
	seen := map[int]bool{}
	for _, c := range cs {
		seen[c.Number] = true
	}
	return len(seen)
}

// apply does what was decided, unless somebody else has changed the number by now.
func (a *autoscaler) apply(ctx context.Context, service string, d scale.Decision) error {
	unlock, err := a.tool.lock(ctx, a.engine, a.name)
	if err != nil {
		return err
	}
	defer unlock()
	have, err := a.engine.Observe(ctx, a.name, nil)
	if err != nil {
		return err
	}
	cs := scaledServices(have.Containers)[service]
	if numbers(cs) != d.From {
		return nil
	}
	step := plan.Step{Op: plan.Scale, Service: service, Name: fmt.Sprintf("%s %d → %d", service, d.From, d.To), Cause: d.Reason}
	view := a.tool.scalingView(func(string) string { return cs[0].Labels[deploy.LabelPhase] })
	begin := time.Now()
	view.Report(deploy.Progress{Step: step, Status: deploy.Running})
	req := a.request
	req.Project, req.Report = alike(a.name, service, cs[0], d.To), view.Report
	req.Options = plan.Options{NoRecreate: true, Wait: true, Scaled: []string{service}}
	res, err := deploy.Up(ctx, multiplying{a.engine, cs[0].ID}, req)
	status := deploy.Done
	if err != nil {
		status = deploy.Failed
		undo, cancel := context.WithTimeout(a.tool.cleanup(), time.Minute)
		defer cancel()
		err = errors.Join(err, res.Undo(undo))
	}
	if ctx.Err() == nil {
		view.Report(deploy.Progress{Step: step, Status: status, Elapsed: time.Since(begin), Err: err})
	}
	view.End()
	return err
}

// alike is a project of one service, as far as it matters to the number of its
// containers: what they are is that which one of them is.
func alike(project, service string, like plan.Container, n int) *types.Project {
	s := types.ServiceConfig{Name: service, Image: like.ImageID, Labels: like.Labels, Restart: types.RestartPolicyUnlessStopped}
	s.SetScale(n)
	return &types.Project{Name: project, Services: types.Services{service: s}}
}

// multiplying is an engine that creates containers like one that is there.
type multiplying struct {
	*dockerx.Engine
	like string
}

// Create implements deploy.Driver.
func (m multiplying) Create(ctx context.Context, _ *types.Project, spec deploy.ContainerSpec) (string, error) {
	return m.Clone(ctx, m.like, spec)
}

// scalingView tells of what is done while something else is shown: in lines, never
// as a tree.
func (t *tool) scalingView(phases progress.Phases) progress.View {
	if t.console != nil {
		out := t.err.(*stream)
		switch t.console.progressMode(out) {
		case "quiet":
			return progress.Silent{}
		case "json":
			return progress.NewJSON(records{out}, phases)
		}
	}
	paint := func(c progress.Colour, s string) string { return t.paint(colour(c), s) }
	return progress.NewPlain(t.err, phases, paint, time.Now)
}
