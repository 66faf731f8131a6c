package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/runtime/component/builtin"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/runtime/plan"
)

// defaultPort is a server deployment's where it names none.
const defaultPort = "43001"

// systemCommand runs a .ww file in the way that its deployments say.
func (t *tool) systemCommand() *cli.Command {
	return &cli.Command{
		Name:  "up",
		Usage: "run the system as its deployments say: in this process, as servers, or in containers",
		Flags: slices.Concat(whereFlags(), []cli.Flag{
			durationFlag("wait-timeout", deploy.DefaultTimeout, "how long one component may take to get ready"),
			durationFlag("drain", drainFor, "how long the bus may take to empty at the end"),
			durationFlag("scale-interval", 0, "how often the load of what is to be scaled is looked at (default: 1s, of containers 2s)"),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
			&cli.BoolFlag{Name: "verbose", Usage: "show what components log, not only warnings"},
		}, projectFlags(true), engineFlags(), consoleFlags()),
		Before: t.setConsole,
		Action: func(c *cli.Context) error {
			s, err := t.readSystem(c)
			if err != nil {
				return err
			}
			switch {
			case s.docker():
				return t.upInContainers(c, s)
			case len(s.inside) > 0:
				return t.upMixed(c, s)
			}
			return t.upHere(c, s)
		},
	}
}

func whereFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "as", Usage: "run all of it as `KIND` of deployment, whatever the file says: local, server or docker"},
		&cli.StringFlag{Name: "deployment", Usage: "run the components of `DEPLOYMENT` alone, of \"local\" those that are in none: the others run elsewhere, and the bus joins them"},
	}
}

// upInContainers is `ww compose up` with what both have.
func (t *tool) upInContainers(c *cli.Context, s *assembly) error {
	t.meant = s
	args := []string{"ww", "compose"}
	for _, name := range []string{"project-name", "project-directory", "host", "context", "progress", "ansi"} {
		if c.IsSet(name) {
			args = append(args, "--"+name, c.String(name))
		}
	}
	for _, name := range []string{"file", "profile", "env-file"} {
		for _, v := range c.StringSlice(name) {
			args = append(args, "--"+name, v)
		}
	}
	args = append(args, "up")
	for _, name := range []string{"wait-timeout", "scale-interval"} {
		if c.IsSet(name) {
			args = append(args, "--"+name, durationOf(c, name).String())
		}
	}
	if c.Bool("quiet") {
		args = append(args, "--quiet")
	}
	app := t.app()
	return app.RunContext(c.Context, interspersed(app, args))
}

// options are what a system in this process is made of.
func (t *tool) options(c *cli.Context, s *assembly) (inproc.Options, error) {
	level := slog.LevelWarn
	if c.Bool("verbose") {
		level = slog.LevelInfo
	}
	o := inproc.Options{
		Builders: builtin.Builders(), Isolate: hidden(isolatedWord), Guard: hidden(guardWord), Stdout: t.out, Stdin: t.in,
		Ready: durationOf(c, "wait-timeout"), Drain: durationOf(c, "drain"), ScaleEvery: durationOf(c, "scale-interval"),
		Log: slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: level, ReplaceAttr: withoutTime})),
		Secret: func(name string) (string, error) {
			if v, ok := s.Lookup(name); ok {
				return v, nil
			}
			return "", fmt.Errorf("the variable %s isn't set", name)
		},
	}
	var err error
	o.Components, o.Servers, err = t.describe(s)
	return o, err
}

// relay hands progress to whoever shows it at the time.
type relay struct {
	scaling func(deploy.Progress) // is told of decisions about the number of instances, which come once the rest has been told

	mu sync.Mutex
	to func(deploy.Progress)
}

func (r *relay) turn(to func(deploy.Progress)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

func (r *relay) report(ev deploy.Progress) {
	if ev.Step.Op == plan.Scale {
		r.scaling(ev)
		return
	}
	r.mu.Lock()
	to := r.to
	r.mu.Unlock()
	to(ev)
}

// ground is what a system in this process stands on, alone or beside containers:
// its options, all of the file as containers would have it, and the way to the
// bus, which the caller stops.
func (t *tool) ground(c *cli.Context, s *assembly) (inproc.Options, *compose.Loaded, *busWay, error) {
	o, err := t.options(c, s)
	if err != nil {
		return o, nil, nil, err
	}
	joint, err := t.joint(c, s)
	if err != nil {
		return o, nil, nil, err
	}
	way, err := s.findBus(joint, o.Log)
	return o, joint, way, err
}

// upHere runs a system in this process until the first signal, or until it can't
// go on.
func (t *tool) upHere(c *cli.Context, s *assembly) error {
	begin := time.Now()
	o, joint, way, err := t.ground(c, s)
	if err != nil {
		return err
	}
	defer way.stop()
	if way.container != "" {
		if err := joint.KeepBusPort(); err != nil {
			return prepareError(err)
		}
	}
	o.OpenBus = way.open
	if already := t.runsAlready(c, s.Name, s.isHere); already != nil {
		fmt.Fprintf(t.err, "warning: %v\n", already)
	}
	progress := t.progressOf(s.Name, s.phase, c.Bool("quiet"))
	told := &relay{to: progress.report, scaling: t.scalingView(s.phase).Report}
	o.Report = told.report
	running, err := inproc.New(c.Context, o)
	if err != nil {
		return err
	}
	leave, err := t.announce(s, running)
	if err == nil {
		defer leave()
		err = running.Start(c.Context)
	}
	progress.end()
	if err != nil {
		// What failed is told; the end must not be held up by it.
		_, stop := running.Stop(context.WithoutCancel(c.Context))
		if c.Context.Err() != nil {
			err = c.Context.Err()
		}
		return errors.Join(err, stop)
	}
	if !c.Bool("quiet") {
		t.isUp(s.Name, len(o.Components), begin, addressesOf(running))
		fmt.Fprintln(t.err, "Ctrl-C takes it down")
	}
	select {
	case <-c.Context.Done():
	case <-running.Failed():
	}
	if t.console != nil {
		t.console.verb = "down"
	}
	ctx := t.cleanup()
	if !c.Bool("quiet") {
		fmt.Fprintln(t.err, "going down; Ctrl-C again kills")
	}
	down := t.progressOf(s.Name, s.phase, c.Bool("quiet"))
	told.turn(down.report)
	sum, err := running.Stop(ctx)
	down.end()
	if err := errors.Join(running.Err(), err); err != nil {
		return err
	}
	return t.ended(sum, ctx)
}

// addressesOf are those of what takes work in this process.
func addressesOf(s *inproc.System) map[string]string {
	all := map[string]string{}
	for name, addr := range s.Addresses() {
		all[name] = "http://" + addr
	}
	return all
}

// isUp says what there is now.
func (t *tool) isUp(name string, components int, begin time.Time, addresses map[string]string) {
	fmt.Fprintf(t.err, "%s %s: %s in %s\n", t.paint(green, "up"), name, count(components, "component", "components"), briefly(time.Since(begin)))
	for _, name := range slices.Sorted(maps.Keys(addresses)) {
		fmt.Fprintf(t.err, "  %s answers at %s\n", name, addresses[name])
	}
}

func (t *tool) ended(sum inproc.Summary, ctx context.Context) error {
	if len(sum.Left) > 0 {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(sum.Left)) {
			parts = append(parts, fmt.Sprintf("%s %d", name, sum.Left[name]))
		}
		fmt.Fprintf(t.err, "messages that weren't handled: %s\n", strings.Join(parts, ", "))
		return errReported{exitDrain}
	}
	if ctx.Err() != nil {
		return context.Canceled
	}
	return nil
}

// briefly writes a time that may be far below a second.
func briefly(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// listenRemedy says what to do about a port that can't be opened.
func listenRemedy(e *inproc.ListenError) string {
	return "stop what has it, or give it another port: `ss -ltnp | grep :" + e.Addr[strings.LastIndexByte(e.Addr, ':')+1:] + "` shows who"
}
