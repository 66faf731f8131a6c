package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// verbs are the commands that docker compose has as well, for what runs. Their
// flags, their order of arguments and their columns are those that people know
// from there.
func (t *tool) verbs() []*cli.Command {
	return []*cli.Command{
		t.startCommand(), t.stopCommand(), t.restartCommand(), t.killCommand(), t.rmCommand(),
		t.pauseCommand(), t.unpauseCommand(),
		t.execCommand(), t.portCommand(), t.lsCommand(), t.imagesCommand(), t.volumesCommand(), t.versionCommand(),
		t.configCommand(), t.cpCommand(), t.runCommand(), t.createCommand(), t.scaleCommand(), t.topCommand(), t.composeStatsCommand(), t.eventsCommand(), t.waitCommand(),
	}
}

// listFlag is a flag that may be given several times, and whose values may have
// commas in them.
func listFlag(name, usage string, aliases ...string) cli.Flag {
	return &cli.GenericFlag{Name: name, Aliases: aliases, Usage: usage, Value: &stringList{}}
}

type stringList struct{ items []string }

// Set adds a value. The flags' package sets all names of a flag to its text when
// one of them is given, and that is no value.
func (l *stringList) Set(v string) error {
	if v != "" {
		l.items = append(l.items, v)
	}
	return nil
}

func (l *stringList) String() string { return "" }

// listOf gives a flag's values.
func listOf(c *cli.Context, name string) []string {
	l, ok := c.Generic(name).(*stringList)
	if !ok {
		return nil
	}
	return l.items
}

func indexFlag() cli.Flag {
	return &cli.IntFlag{Name: "index", Usage: "`NUMBER` of the container, where the service has several", DefaultText: "the first"}
}

// pick gives the containers of services, of all if none is named. One that the
// file declares and that has no container is no mistake.
func (t *tool) pick(c *cli.Context, r *running, services []string, oneOffs bool) ([]plan.Container, error) {
	var there []string
	for _, ctr := range r.have.Containers {
		there = append(there, ctr.Service)
	}
	var missing []string
	for _, s := range services {
		if !slices.Contains(there, s) {
			missing = append(missing, s)
		}
	}
	if len(missing) > 0 {
		declared := t.declared(c, r)
		for _, s := range missing {
			if slices.Contains(declared, s) {
				continue
			}
			known := slices.Compact(slices.Sorted(slices.Values(append(declared, there...))))
			if len(known) == 0 {
				return nil, &usageError{fmt.Errorf("there is no service %q: nothing of project %q is there", s, r.name), "`ww compose up -d` starts it; `ww compose ls -a` lists projects"}
			}
			return nil, &usageError{fmt.Errorf("there is no service %q", s), suggestion(s, known, "there are: "+strings.Join(known, ", "))}
		}
	}
	var out []plan.Container
	for _, ctr := range r.have.Containers {
		if (oneOffs || !ctr.OneOff) && (len(services) == 0 || slices.Contains(services, ctr.Service)) {
			out = append(out, ctr)
		}
	}
	return out, nil
}

// declared lists the services of the project's file, where there is one that can
// be read.
func (t *tool) declared(c *cli.Context, r *running) []string {
	l := t.file(c, r)
	if l == nil || l.Project.Name != r.name {
		return nil
	}
	return append(l.Project.ServiceNames(), l.Project.DisabledServiceNames()...)
}

// one gives a running container of a service: that with the number, or the first
// one.
func (t *tool) one(c *cli.Context, r *running, service string, index int) (plan.Container, error) {
	cs, err := t.pick(c, r, []string{service}, false)
	if err != nil {
		return plan.Container{}, err
	}
	if index != 0 {
		i := slices.IndexFunc(cs, func(ctr plan.Container) bool { return ctr.Number == index })
		if i < 0 {
			return plan.Container{}, &usageError{fmt.Errorf("service %q has no container with number %d", service, index), "`ww compose ps " + service + "` lists those that it has"}
		}
		cs = cs[i : i+1]
	}
	for _, ctr := range cs {
		if ctr.State == plan.Running {
			return ctr, nil
		}
	}
	return plan.Container{}, notRunning(service, cs)
}

func notRunning(service string, cs []plan.Container) error {
	if len(cs) == 0 {
		return &configError{fmt.Errorf("service %q isn't running: it has no container", service), "`ww compose up -d` starts it"}
	}
	remedy := "`ww compose start " + service + "` starts it"
	if cs[0].State == plan.Paused {
		remedy = "`ww compose unpause " + service + "` lets it go on"
	}
	return &configError{fmt.Errorf("service %q isn't running: %s is %s", service, cs[0].Name, cs[0].State), remedy}
}

// each does something for several containers at the same time, and goes on with
// the others when it fails for one.
func each(c *cli.Context, cs []plan.Container, do func(context.Context, plan.Container) error) error {
	errs := make([]error, len(cs))
	var wg sync.WaitGroup
	limit := make(chan struct{}, cmp.Or(parallel(c), deploy.DefaultParallel()))
	ctx := c.Context
	for i, ctr := range cs {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = named(do(ctx, ctr), ctr)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// named has an engine's error name a container by its name, not its id.
func named(err error, c plan.Container) error {
	var ee *deploy.EngineError
	if errors.As(err, &ee) {
		ee.What = strings.ReplaceAll(ee.What, c.ID, c.Name)
	}
	return err
}

// verb is a change of containers that are there.
type verb struct {
	words map[plan.Op]string // what is said when a step is done
	free  bool               // it doesn't wait for another ww that changes the project
	idle  string             // what is said when there is nothing to do
	plan  func(r *running) (plan.Plan, error)
	set   func(*deploy.OperateRequest) // what is special about it; may be nil
}

// operate finds the project, plans, and carries out.
func (t *tool) operate(c *cli.Context, o verb) error {
	find, unlock := t.find, func() {}
	if !o.free {
		find = func(ctx context.Context, c *cli.Context) (r *running, err error) {
			r, unlock, err = t.findLocked(ctx, c, true)
			return r, err
		}
	}
	r, err := find(c.Context, c)
	if err != nil {
		return err
	}
	defer r.engine.Close()
	defer unlock()
	p, err := o.plan(r)
	if err != nil {
		return err
	}
	switch {
	case p.Empty() && len(r.have.Containers) == 0:
		fmt.Fprintf(t.err, "nothing to do: there is nothing of %s\n", r.name)
		return nil
	case p.Empty():
		fmt.Fprintln(t.err, "nothing to do:", o.idle)
		return nil
	case dryRun(c):
		_, err := fmt.Fprint(t.out, p)
		return err
	}
	req := deploy.OperateRequest{
		Name: r.name, Plan: p, Have: r.have, Since: r.since, Parallel: parallel(c), Report: t.tell(o.words),
	}
	if l := t.file(c, r); l != nil && l.Project.Name == r.name {
		req.Project = l.Project
	}
	if o.set != nil {
		o.set(&req)
	}
	return deploy.Operate(c.Context, r.engine, req)
}

// tell prints a line on standard error for each step that is done and has a word.
func (t *tool) tell(words map[plan.Op]string) func(deploy.Progress) {
	begin := time.Now()
	var mu sync.Mutex
	return func(p deploy.Progress) {
		word, ok := words[p.Step.Op]
		c := green
		switch {
		case p.Status == deploy.Failed:
			word, c = "failed", red
		case p.Status != deploy.Done || !ok:
			return
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(t.err, "  %s %s  %.1fs\n", t.paint(c, fmt.Sprintf("%-9s", word)), p.Step.Name, time.Since(begin).Seconds())
	}
}

// ignoreGone takes it for no failure that a container is gone by now.
func ignoreGone(err error) error {
	var ee *deploy.EngineError
	if errors.As(err, &ee) && ee.Kind == deploy.NotFound {
		return nil
	}
	return err
}

// compareNames orders containers as listings do.
func compareNames(a, b plan.Container) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
}
