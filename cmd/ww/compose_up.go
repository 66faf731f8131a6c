package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) upCommand() *cli.Command {
	return &cli.Command{
		Name:      "up",
		Usage:     "bring the system up, and show its output until Ctrl-C takes it down",
		ArgsUsage: "[SERVICE…]",
		Flags:     append(planFlags(), runFlags()...),
		Action: func(c *cli.Context) error {
			if dryRun(c) {
				return t.plan(c, "text")
			}
			return t.up(c)
		},
	}
}

// upRequest loads a project and makes it ready to be planned.
func (t *tool) upRequest(c *cli.Context, d *dockerx.Engine) (*compose.Loaded, deploy.UpRequest, error) {
	var req deploy.UpRequest
	opts, err := t.planOptions(c)
	if err != nil {
		return nil, req, err
	}
	l, err := t.loadProject(c, c.Args().Slice(), d)
	if err != nil {
		return nil, req, err
	}
	if err := setScales(l.Project, listOf(c, "scale")); err != nil {
		return nil, req, err
	}
	if err := t.ready(l); err != nil {
		return nil, req, err
	}
	for _, name := range l.Unset {
		if _, secret := l.Project.Secrets[name]; !secret {
			fmt.Fprintf(t.err, "warning: the variable %s isn't set and counts as empty\n", name)
		}
	}
	if len(l.Project.Services) == 0 {
		return nil, req, &configError{errors.New("there is nothing to run: the system has no components"), "declare some; `ww compose export` shows what is there"}
	}
	if out := l.Outside(); len(out) > 0 && t.meant == nil {
		var names []string
		for _, c := range out {
			names = append(names, c.Name+" ("+c.Deployment.Name+")")
		}
		fmt.Fprintf(t.err, "note: not in containers, and not part of this: %s; `ww up` runs all of the file\n", strings.Join(names, ", "))
	}
	if err := t.checkKeys(c.Context, l, d); err != nil {
		return nil, req, err
	}
	req = deploy.UpRequest{
		Project: l.Project, Digests: digests(), Confirm: t.mayLose(c), EnvFiles: inheritedList(c, "env-file"), Options: opts,
		Parallel: parallel(c), Timeout: durationOf(c, "wait-timeout"), Grace: grace(c),
	}
	return l, req, nil
}

// setScales sets the numbers of services' containers.
func setScales(p *types.Project, scales []string) error {
	for _, s := range scales {
		name, number, ok := strings.Cut(s, "=")
		n, err := strconv.ParseUint(number, 10, 16)
		if !ok || err != nil {
			return &usageError{fmt.Errorf("%q says of no service how many containers it is to have", s), "write SERVICE=N, such as worker=3"}
		}
		svc, ok := p.Services[name]
		if !ok {
			return &usageError{fmt.Errorf("there is no service %q to scale", name), suggestion(name, p.ServiceNames(), "there are: "+strings.Join(p.ServiceNames(), ", "))}
		}
		if kind := svc.Labels[deploy.LabelKind]; kind != "" && kind != "container" && n > model.MaxInstances {
			return &usageError{fmt.Errorf("%s can't have %d containers: %d share the messages of a component at the most", name, n, model.MaxInstances),
				fmt.Sprintf("write %d or less; `concurrency` says how many messages each handles at the same time", model.MaxInstances)}
		}
		svc.SetScale(int(n))
		p.Services[name] = svc
	}
	return nil
}

func volumeNames(vs []plan.Volume) string {
	var names []string
	for _, v := range vs {
		names = append(names, v.Name)
	}
	return strings.Join(names, ", ")
}

// mayLose asks whether volumes may be made anew. Where nobody can be asked, and
// nobody has said so, they stay, and that is said.
func (t *tool) mayLose(c *cli.Context) func([]plan.Volume) (bool, error) {
	return func(vs []plan.Volume) (bool, error) {
		list := volumeNames(vs)
		if c.Bool("yes") {
			return true, nil
		}
		if !isTerminal(t.err) || !isTerminal(t.in) {
			fmt.Fprintf(t.err, "warning: the configuration of %s changed, and it stays as it is: to make it anew loses what it holds, and --yes does it\n", list)
			return false, nil
		}
		return t.confirm(c.Context, fmt.Sprintf("the configuration of %s changed: make it anew, and lose what it holds?", list), "it stays as it is")
	}
}

func (t *tool) up(c *cli.Context) error {
	begin := time.Now()
	d, err := t.engine(c)
	if err != nil {
		return err
	}
	defer d.Close()
	l, req, err := t.upRequest(c, d)
	if err != nil {
		return err
	}
	abort, err := newAbort(c, l.Project)
	if err != nil {
		return err
	}
	visible, err := shown(c, l.Project)
	if err != nil {
		return err
	}
	leaves, err := t.leaves(c)
	if err != nil {
		return err
	}
	var watching *session
	if c.Bool("watch") {
		if watching, err = t.openSession(c, d, l, begin); err != nil {
			return err
		}
		defer func() { _ = watching.watcher.Close() }()
	}
	if abort != nil {
		req.Options.Wait = false // a container that ends is what is waited for
	}
	if already := t.runsAlready(c, l.Project.Name, func(name string) bool { return l.Project.Services[name].Name != "" }); already != nil {
		return already
	}
	if err := l.Prepare(); err != nil {
		return prepareError(err)
	}
	unlock, err := t.lock(c.Context, d, l.Project.Name)
	if err != nil {
		return err
	}
	defer unlock()
	progress := t.newProgress(l.Project, c.Bool("quiet"))
	req.Report = progress.reportFor(c)
	leaving := t.drainsOrphans(d, &req)
	res, err := deploy.Up(c.Context, d, req)
	progress.end()
	t.noteOrphans(req, res.Plan)
	if err != nil {
		return t.failedUp(c, res, err)
	}
	leaving.warn(c.Context)
	if !c.Bool("quiet") {
		t.summary(l.Project, res, time.Since(begin))
	}
	if leaves || req.Options.NoStart {
		if names := followsLoad(l.Project); leaves && len(names) > 0 && !c.Bool("quiet") {
			fmt.Fprintf(t.err, "  `ww compose autoscale` has the number of %s follow the load\n", strings.Join(names, ", "))
		}
		return nil
	}
	unlock() // whoever looks on must not keep others from changing it
	if abort == nil {
		// Else the end of a container that is too many would be the end of all.
		defer t.beside(c, d, l.Project)()
	}
	if watching != nil {
		return t.upAndWatch(c, watching, res.Plan, visible, begin)
	}
	var stay []string
	if c.Args().Present() {
		stay = res.Plan.Unchanged // it was there before, and others may need it
	}
	return t.foreground(c, d, l.Project, res.Plan, stay, visible, begin, abort)
}

// failedUp cleans up after an up that failed or was cancelled.
func (t *tool) failedUp(c *cli.Context, res deploy.UpResult, err error) error {
	if c.Bool("keep") || has(c, "rollback") && !c.Bool("rollback") {
		return err
	}
	ctx, cancel := context.WithTimeout(t.cleanup(), time.Minute)
	defer cancel()
	if isTerminal(t.err) && !c.Bool("quiet") {
		fmt.Fprintln(t.err, "removing what it has made; --keep leaves it")
	}
	if undo := res.Undo(ctx); undo != nil {
		fmt.Fprintf(t.err, "warning: %v\n", undo)
	}
	if stays := res.Stays(); len(stays) > 0 {
		when, goesOn := "failed", " when the cause is mended"
		if c.Context.Err() != nil {
			when, goesOn = "was cancelled", ""
		}
		fmt.Fprintf(t.err, "note: replaced or made anew before it %s: %s. `ww compose up` goes on%s\n", when, strings.Join(stays, ", "), goesOn)
	}
	return err
}

// has tells whether a command has a flag.
func has(c *cli.Context, flag string) bool {
	return slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), flag) })
}

func containerNames(cs []plan.Container) string {
	var names []string
	for _, c := range cs {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// summary says what there is now.
func (t *tool) summary(p *types.Project, res deploy.UpResult, elapsed time.Duration) {
	n := 0
	for _, s := range p.Services {
		n += min(s.GetScale(), 1)
	}
	services, are := "services", "are"
	if n == 1 {
		services, are = "service", "is"
	}
	if res.Plan.Changes() == 0 {
		fmt.Fprintf(t.err, "nothing to do: %d %s of %s %s up and ready\n", n, services, p.Name, are)
	} else {
		fmt.Fprintf(t.err, "%s %s: %d %s in %.1fs\n", t.paint(green, "up"), p.Name, n, services, elapsed.Seconds())
	}
	for _, a := range reachedAt(p) {
		fmt.Fprintf(t.err, "  %s answers at %s\n", a.service, a.address)
	}
}

// reachedAt lists where services are reached on this machine, in order.
func reachedAt(p *types.Project) []publishedAt {
	var all []publishedAt
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		if s.GetScale() == 0 {
			continue
		}
		for _, port := range s.Ports {
			if port.Published != "" && port.Published != "0" && !strings.Contains(port.Published, "-") {
				host := port.HostIP
				if host == "" || host == "0.0.0.0" || host == "::" {
					host = "127.0.0.1"
				}
				scheme := ""
				if s.Labels[deploy.LabelPhase] == "ingress" {
					scheme = "http://"
				}
				all = append(all, publishedAt{name, scheme + host + ":" + port.Published})
			}
		}
	}
	return all
}

// publishedAt is an address of a service on this machine.
type publishedAt struct{ service, address string }

// foreground shows what the containers write until they are gone: until the
// first signal, and while it then takes the system down; the second signal kills
// what is left.
func (t *tool) foreground(c *cli.Context, d *dockerx.Engine, p *types.Project, done plan.Plan, stay []string, visible func(string) bool, since time.Time, abort *abort) error {
	ctx, end := context.WithCancel(c.Context)
	defer end()
	wanted := func(service string) bool { _, ok := p.Services[service]; return ok }
	var ended *finish
	begun := make(chan struct{})
	out, err := t.lookOn(ctx, d, p.Name, since, done, view{style: upStyle(c), wanted: wanted, visible: visible}, func(ev deploy.Event) {
		select {
		case <-begun:
		case <-ctx.Done():
			return
		}
		abort.see(ev.Service, ev.ExitCode)
		ended.see(ev)
	})
	if err != nil {
		return err
	}
	defer out.close()
	fmt.Fprintln(t.err, "Ctrl-C takes it down")
	if abort != nil {
		abort.end = end
		abort.seen(out.containers)
	}
	ended = whenEnded(ctx, d, p.Name, wanted, out.containers, end)
	close(begun)
	select {
	case <-ctx.Done():
	case <-out.ended: // the engine has gone
		end()
	}
	ended.close()
	switch gone := out.gone(); {
	case c.Context.Err() != nil:
	case ended.all:
		fmt.Fprintln(t.err, "all containers have ended")
	case gone != nil:
		return gone
	}
	fmt.Fprintln(t.err, "going down; Ctrl-C again kills")
	err = t.takeDown(d, p, stay, out.leave, c.Bool("quiet"), grace(c))
	switch {
	case err != nil || c.Context.Err() != nil:
		return err
	case abort != nil:
		return abort.result()
	case len(ended.failed) > 0:
		for _, c := range ended.failed {
			fmt.Fprintf(t.err, "%s %s exited with code %d\n", t.paint(red, "error:"), c.Service, c.ExitCode)
		}
		return errReported{exitComponent}
	}
	return nil
}

// takeDown removes what foreground up has brought up, but for the services that
// stay; volumes stay as well.
func (t *tool) takeDown(d *dockerx.Engine, p *types.Project, stay []string, leave func(context.Context, string), quiet bool, grace *time.Duration) error {
	ctx := t.cleanup()
	unlock, err := t.lock(ctx, nil, p.Name)
	if err != nil {
		return err
	}
	defer unlock()
	if t.console != nil {
		t.console.verb = "down"
	}
	err = t.takeDownIn(ctx, d, p, stay, leave, grace, t.newProgress(p, quiet), drainFor)
	if err == nil || ctx.Err() == nil {
		return err
	}
	fmt.Fprintln(t.err, "killing")
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	now := time.Duration(0)
	return errors.Join(t.takeDownIn(last, d, p, stay, leave, &now, t.newProgress(p, quiet), 0), context.Canceled)
}

func (t *tool) takeDownIn(ctx context.Context, d *dockerx.Engine, p *types.Project, stay []string, leave func(context.Context, string), grace *time.Duration, progress *reporter, budget time.Duration) error {
	have, err := d.Observe(ctx, p.Name, nil)
	if err != nil {
		return err
	}
	keep := slices.DeleteFunc(slices.Clone(have.Containers), func(c plan.Container) bool {
		_, ours := p.Services[c.Service]
		return ours && !slices.Contains(stay, c.Service)
	})
	if t.meant != nil && slices.ContainsFunc(keep, lives) { // another part of the system still has the bus
		keep = append(keep, slices.DeleteFunc(slices.Clone(have.Containers), func(c plan.Container) bool { return c.Service != model.BusService })...)
	}
	drain := t.newDrain(&running{name: p.Name, engine: d, have: have}, budget)
	done, err := deploy.Down(ctx, d, deploy.DownRequest{
		Name: p.Name, Project: p, Have: have, Options: plan.DownOptions{Keep: keep, Drain: drain != nil},
		Grace: grace, Report: progress.report, Drain: drain.run, Leave: leave,
	})
	progress.end()
	if err == nil {
		progress.total(done)
		err = t.drainResult(drain, false)
	}
	return err
}

// noteOrphans tells what stays of services that the file has no more. Who runs one
// part of a system knows that there are others.
func (t *tool) noteOrphans(req deploy.UpRequest, p plan.Plan) {
	if len(p.Orphans) > 0 && !req.Options.RemoveOrphans && (t.meant == nil || t.meant.only == "") {
		fmt.Fprintf(t.err, "note: left over from services that the file has no more: %s; --remove-orphans removes that\n", containerNames(p.Orphans))
	}
}
