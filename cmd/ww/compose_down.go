package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) downCommand() *cli.Command {
	return &cli.Command{
		Name:      "down",
		Usage:     "stop and remove the system's containers and networks; of services that are named, their containers and those of all that depend on them",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "volumes", Aliases: []string{"v"}, Usage: "also its volumes, and with them the messages that wait on the bus"},
			&cli.StringFlag{Name: "rmi", Usage: "also images that nothing else uses: `local` for all that was ever built for the system, or `all` for those of its containers as well"},
			timeoutFlag(),
			durationFlag("drain", drainFor, "how long the components may work off what waits on the bus; 0 for not at all"),
			&cli.BoolFlag{Name: "remove-orphans", Usage: "also containers of services that the compose file has no more"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
		},
		Action: t.down,
	}
}

func (t *tool) down(c *cli.Context) error {
	if rmi := c.String("rmi"); rmi != "" {
		if err := oneOf("rmi", rmi, "all", "local"); err != nil {
			return err
		}
	}
	find := t.findLocked
	if dryRun(c) {
		find = func(ctx context.Context, c *cli.Context, _ bool) (*running, func(), error) {
			r, err := t.find(ctx, c)
			return r, func() {}, err
		}
	}
	r, unlock, err := find(c.Context, c, false)
	if err != nil {
		return err
	}
	defer r.engine.Close()
	defer unlock()
	if _, err := t.pick(c, r, c.Args().Slice(), false); err != nil {
		return err
	}
	opts := plan.DownOptions{Volumes: c.Bool("volumes")}
	l := t.file(c, r)
	off := disabled(l, r)
	var others []plan.Container
	if !c.Bool("remove-orphans") {
		others = t.others(l, r)
	}
	if some := c.Args().Slice(); len(some) > 0 {
		opts.Keep = plan.Without(r.have.Containers, some)
		off, others = nil, nil // who names services knows that others stay
	} else {
		opts.Keep = slices.Concat(off, others)
	}
	if busGoes(r.have, opts.Keep) && !dryRun(c) {
		if lives := t.livesOnBus(c, r.name); lives != nil {
			return lives
		}
	}
	var inUse []string
	if opts.Images, inUse, err = r.images(c.Context, c.String("rmi"), opts.Keep); err != nil {
		return err
	}
	var project *types.Project // for its hooks
	if l != nil {
		project = l.Project
	}
	progress := t.progressOf(r.name, r.phase, c.Bool("quiet"))
	drain := t.newDrain(r, durationOf(c, "drain"))
	if slices.ContainsFunc(opts.Keep, isBus) {
		drain = nil // the bus stays, and keeps what waits
	}
	opts.Drain = drain != nil
	if p := plan.Down(r.have, opts); dryRun(c) && !p.Empty() {
		_, err := fmt.Fprint(t.out, p)
		return err
	}
	p, err := deploy.Down(c.Context, r.engine, deploy.DownRequest{
		Name: r.name, Project: project, Have: r.have, Options: opts, Grace: grace(c), Parallel: parallel(c), Report: progress.report, Drain: drain.run,
	})
	progress.end()
	if err != nil {
		return err
	}
	if len(others) > 0 {
		fmt.Fprintf(t.err, "note: %s belong to no service of the file and stay, with the networks: --remove-orphans removes them\n", containerNames(others))
	}
	if len(off) > 0 {
		fmt.Fprintf(t.err, "note: %s are of profiles that aren't enabled and stay, with the networks: --profile '*' down takes them along\n", containerNames(off))
	}
	if len(inUse) > 0 {
		fmt.Fprintf(t.err, "note: %s stay: other containers are of them\n", strings.Join(inUse, ", "))
	}
	if p.Empty() && c.Args().Present() && len(r.have.Containers) > 0 {
		fmt.Fprintln(t.err, "nothing to do: they have no containers")
	} else if p.Empty() && !c.Bool("quiet") {
		fmt.Fprintf(t.err, "nothing to do: there is nothing of %s\n", r.name)
	} else {
		progress.total(p)
	}
	return t.drainResult(drain, opts.Volumes)
}

func isBus(c plan.Container) bool { return c.Labels[deploy.LabelPhase] == string(model.PhaseBus) }

// busGoes reports whether there is a bus, and it isn't kept.
func busGoes(have plan.Observed, keep []plan.Container) bool {
	return slices.ContainsFunc(have.Containers, isBus) && !slices.ContainsFunc(keep, isBus)
}

// others lists the containers of services that a compose file doesn't name:
// several files may share one project, and each takes down its own. A .ww file
// is a whole system: everything of it goes.
func (t *tool) others(l *compose.Loaded, r *running) []plan.Container {
	if l == nil || l.Generated != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.have.Containers), func(c plan.Container) bool {
		_, mine := l.Project.Services[c.Service]
		_, disabled := l.Project.DisabledServices[c.Service]
		return mine || disabled
	})
}

// disabled lists the containers of services whose profile isn't enabled. As with
// docker compose, they stay until it is.
func disabled(l *compose.Loaded, r *running) []plan.Container {
	if l == nil || l.Generated != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.have.Containers), func(c plan.Container) bool {
		_, off := l.Project.DisabledServices[c.Service]
		return !off
	})
}

// file is what the command line's files say, where there are any that can be
// read: going down doesn't depend on that. As with docker compose, a name without
// -f means a project of its own: a file that happens to be here has no say in it.
func (t *tool) file(c *cli.Context, r *running) *compose.Loaded {
	if r.loaded != nil {
		return r.loaded
	}
	req := t.request(c)
	if req.Name != "" && len(req.Files) == 0 {
		return nil
	}
	req.Running = true
	l, err := compose.Load(c.Context, req)
	if err != nil || l.Project == nil {
		return nil
	}
	return l
}

// phase is the phase of a service, as its containers say.
func (r *running) phase(service string) string {
	for _, c := range r.have.Containers {
		if c.Service == service {
			return c.Labels[deploy.LabelPhase]
		}
	}
	return ""
}

// images lists the images that go along: those that were built for the project,
// also for an earlier state of it, and for "all" those of its containers as well.
// What a container that stays is of, or one of another project, is left out:
// inUse are the names of those.
func (r *running) images(ctx context.Context, which string, kept []plan.Container) (refs, inUse []string, err error) {
	if which == "" {
		return nil, nil, nil
	}
	built, used, err := r.engine.Built(ctx, r.name)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range kept {
		used[c.ImageID] = true
	}
	take := func(id string, names ...string) {
		if used[id] {
			inUse = append(inUse, names...)
		} else {
			refs = append(refs, names...)
		}
	}
	for _, b := range built {
		take(b.ID, b.Tags...)
		if b.Untagged && !used[b.ID] {
			refs = append(refs, b.ID)
		}
	}
	if which == "all" {
		for _, c := range r.have.Containers {
			stays := slices.ContainsFunc(kept, func(k plan.Container) bool { return k.ID == c.ID })
			if own := c.Image + ":latest"; !stays && !slices.Contains(refs, own) && !slices.Contains(inUse, own) {
				take(c.ImageID, c.Image)
			}
		}
	}
	slices.Sort(refs)
	slices.Sort(inUse)
	return slices.Compact(refs), slices.Compact(inUse), nil
}
