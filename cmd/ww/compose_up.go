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
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) upCommand() *cli.Command {
	return &cli.Command{
		Name:      "up",
		Usage:     "bring the system up, and show its output until Ctrl-C takes it down",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when everything is ready, and leave it running"},
			&cli.BoolFlag{Name: "wait", Value: true, Usage: "wait until everything is ready, not only what others need; implies -d when given"},
			&cli.DurationFlag{Name: "wait-timeout", Value: deploy.DefaultTimeout, Usage: "how long one component may take to get ready"},
			&cli.BoolFlag{Name: "build", Usage: "build images that are there already"},
			&cli.StringFlag{Name: "pull", Usage: "always, missing or never (default: each service's own policy)"},
			timeoutFlag(),
			&cli.BoolFlag{Name: "force-recreate", Usage: "replace containers that haven't changed"},
			&cli.BoolFlag{Name: "no-recreate", Usage: "keep containers that have changed"},
			&cli.BoolFlag{Name: "always-recreate-deps", Usage: "with services named: also replace what they depend on"},
			&cli.BoolFlag{Name: "no-deps", Usage: "with services named: leave what they depend on alone"},
			&cli.BoolFlag{Name: "renew-anon-volumes", Aliases: []string{"V"}, Usage: "give replaced containers new anonymous volumes, in place of those that they had"},
			&cli.BoolFlag{Name: "no-start", Usage: "create what is missing, and start nothing"},
			&cli.StringSliceFlag{Name: "scale", Usage: "run so many containers of a service: `SERVICE=N`"},
			&cli.BoolFlag{Name: "remove-orphans", Usage: "remove containers of services that the file has no more"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "make volumes anew whose configuration changed, without asking; what they hold is lost"},
			&cli.BoolFlag{Name: "abort-on-container-exit", Usage: "take everything down when a container ends"},
			&cli.BoolFlag{Name: "abort-on-container-failure", Usage: "take everything down when a container ends with a code other than 0"},
			&cli.StringFlag{Name: "exit-code-from", Usage: "take everything down when `SERVICE` ends, or when another one fails before that, and exit with its code"},
			&cli.BoolFlag{Name: "rollback", Value: true, Usage: "take back what was done when it fails"},
			&cli.BoolFlag{Name: "keep", Usage: "leave what was made when it fails, for a closer look: --rollback=false"},
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "keep it up to date as its files change"},
			&cli.BoolFlag{Name: "dry-run", Usage: "show what would be done, and why"},
			&cli.BoolFlag{Name: "no-color", Usage: "without colours in what the containers write"},
			&cli.BoolFlag{Name: "no-log-prefix", Usage: "without the names of the containers in what they write"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
			&cli.IntFlag{Name: "parallel", Usage: "engine calls at a time", EnvVars: []string{"COMPOSE_PARALLEL_LIMIT"}},
		},
		Action: func(c *cli.Context) error {
			if c.Bool("dry-run") {
				return t.plan(c, "text")
			}
			return t.up(c)
		},
	}
}

func timeoutFlag() cli.Flag {
	return &cli.IntFlag{Name: "timeout", Aliases: []string{"t"}, Usage: "seconds that a container gets to stop (default: its own grace period)"}
}

// grace reads --timeout.
func grace(c *cli.Context) *time.Duration {
	if !c.IsSet("timeout") {
		return nil
	}
	d := time.Duration(c.Int("timeout")) * time.Second
	return &d
}

func (t *tool) planOptions(c *cli.Context) (plan.Options, error) {
	o := plan.Options{
		ForceRecreate: c.Bool("force-recreate"), NoRecreate: c.Bool("no-recreate"), RemoveOrphans: c.Bool("remove-orphans"),
		Build: c.Bool("build"), Pull: c.String("pull"), Wait: c.Bool("wait"),
	}
	if o.Pull != "" {
		if err := oneOf("pull", o.Pull, "always", "missing", "never"); err != nil {
			return o, err
		}
	}
	o.Targets, o.RecreateDeps = c.Args().Slice(), c.Bool("always-recreate-deps")
	o.RenewAnonVolumes, o.NoStart = c.Bool("renew-anon-volumes"), c.Bool("no-start")
	o.ForceRecreate = o.ForceRecreate || o.RecreateDeps && len(o.Targets) == 0
	if o.ForceRecreate && o.NoRecreate {
		return o, &usageError{errors.New("--force-recreate and --no-recreate exclude each other"), "leave one of them out"}
	}
	return o, nil
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
	if err := scale(l.Project, c.StringSlice("scale")); err != nil {
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
	if err := checkKeys(c.Context, l, d); err != nil {
		return nil, req, err
	}
	req = deploy.UpRequest{
		Project: l.Project, Digests: digests(), Confirm: t.mayLose(c), EnvFiles: inheritedList(c, "env-file"), Options: opts,
		Parallel: c.Int("parallel"), Timeout: c.Duration("wait-timeout"), Grace: grace(c),
	}
	return l, req, nil
}

// scale sets the number of a service's containers.
func scale(p *types.Project, scales []string) error {
	for _, s := range scales {
		name, number, ok := strings.Cut(s, "=")
		n, err := strconv.ParseUint(number, 10, 16)
		if !ok || err != nil {
			return &usageError{fmt.Errorf("--scale %q", s), "write SERVICE=N, such as --scale worker=3"}
		}
		svc, ok := p.Services[name]
		if !ok {
			return &usageError{fmt.Errorf("--scale: there is no service %q", name), suggestion(name, p.ServiceNames(), "there are: "+strings.Join(p.ServiceNames(), ", "))}
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
	var watching *session
	if c.Bool("watch") {
		if c.Bool("detach") || c.IsSet("wait") {
			return &usageError{errors.New("--watch and --detach exclude each other"), "`ww compose watch` leaves it running when it ends"}
		}
		if watching, err = t.openSession(c, d, l, begin); err != nil {
			return err
		}
		defer func() { _ = watching.watcher.Close() }()
	}
	if abort != nil {
		req.Options.Wait = false // a container that ends is what is waited for
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
	req.Report = progress.report
	res, err := deploy.Up(c.Context, d, req)
	progress.end()
	if len(res.Plan.Orphans) > 0 && !req.Options.RemoveOrphans {
		fmt.Fprintf(t.err, "note: left over from services that the file has no more: %s; --remove-orphans removes that\n", containerNames(res.Plan.Orphans))
	}
	if err != nil {
		return t.failedUp(c, res, err)
	}
	if !c.Bool("quiet") {
		t.summary(l.Project, res, time.Since(begin))
	}
	if c.Bool("detach") || c.IsSet("wait") || req.Options.NoStart {
		return nil
	}
	unlock() // whoever looks on must not keep others from changing it
	if watching != nil {
		return t.upAndWatch(c, watching, begin)
	}
	var stay []string
	if c.Args().Present() {
		stay = res.Plan.Unchanged // it was there before, and others may need it
	}
	return t.foreground(c, d, l.Project, stay, begin, abort)
}

// failedUp cleans up after an up that failed or was cancelled.
func (t *tool) failedUp(c *cli.Context, res deploy.UpResult, err error) error {
	if c.Bool("keep") || !c.Bool("rollback") {
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
	return err
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
				fmt.Fprintf(t.err, "  %s answers at %s%s:%s\n", name, scheme, host, port.Published)
			}
		}
	}
}

// lastWords is how long the output of a container that has ended is waited for.
const lastWords = 500 * time.Millisecond

// foreground shows what the containers write until the first signal, then
// takes the system down; the second signal kills what is left.
func (t *tool) foreground(c *cli.Context, d *dockerx.Engine, p *types.Project, stay []string, since time.Time, abort *abort) error {
	ctx, end := context.WithCancel(c.Context)
	defer end()
	now := time.Now()
	have, err := d.Observe(ctx, p.Name, nil)
	if err != nil {
		return err
	}
	wanted := func(service string) bool { _, ok := p.Services[service]; return ok }
	cs := slices.DeleteFunc(have.Containers, func(c plan.Container) bool { return !wanted(c.Service) })
	printer := t.newLogPrinter(cs, logStyle{prefix: !c.Bool("no-log-prefix"), plain: c.Bool("no-color")})
	fmt.Fprintln(t.err, "Ctrl-C takes it down")
	opts := deploy.LogOptions{Since: since.Add(-time.Second).Format(time.RFC3339Nano)}
	if abort != nil {
		// What it wrote last is still on its way.
		abort.end = func() { time.AfterFunc(lastWords, end) }
		abort.seen(cs)
	}
	err = deploy.Follow(ctx, d, p.Name, now, cs, opts, wanted, attached(p, printer.print), func(ev deploy.Event) {
		fmt.Fprintf(t.err, "%s exited with code %d\n", ev.Name, ev.ExitCode)
		abort.see(ev.Service, ev.ExitCode)
	})
	if err != nil && ctx.Err() == nil {
		return err
	}
	fmt.Fprintln(t.err, "going down; Ctrl-C again kills")
	err = t.takeDown(d, p, stay, c.Bool("quiet"), grace(c))
	if err == nil && abort != nil && c.Context.Err() == nil {
		return abort.result()
	}
	return err
}

// takeDown removes what foreground up has brought up, but for the services that
// stay; volumes stay as well.
func (t *tool) takeDown(d *dockerx.Engine, p *types.Project, stay []string, quiet bool, grace *time.Duration) error {
	ctx := t.cleanup()
	unlock, err := t.lock(ctx, nil, p.Name)
	if err != nil {
		return err
	}
	defer unlock()
	if t.console != nil {
		t.console.verb = "down"
	}
	err = t.takeDownIn(ctx, d, p, stay, grace, t.newProgress(p, quiet), drainFor)
	if err == nil || ctx.Err() == nil {
		return err
	}
	fmt.Fprintln(t.err, "killing")
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	now := time.Duration(0)
	return errors.Join(t.takeDownIn(last, d, p, stay, &now, t.newProgress(p, quiet), 0), context.Canceled)
}

func (t *tool) takeDownIn(ctx context.Context, d *dockerx.Engine, p *types.Project, stay []string, grace *time.Duration, progress *reporter, budget time.Duration) error {
	have, err := d.Observe(ctx, p.Name, nil)
	if err != nil {
		return err
	}
	keep := slices.DeleteFunc(slices.Clone(have.Containers), func(c plan.Container) bool {
		_, ours := p.Services[c.Service]
		return ours && !slices.Contains(stay, c.Service)
	})
	drain := t.newDrain(&running{name: p.Name, engine: d, have: have}, budget)
	done, err := deploy.Down(ctx, d, deploy.DownRequest{
		Name: p.Name, Project: p, Have: have, Options: plan.DownOptions{Keep: keep, Drain: drain != nil},
		Grace: grace, Report: progress.report, Drain: drain.run,
	})
	progress.end()
	if err == nil {
		progress.total(done)
		err = t.drainResult(drain, false)
	}
	return err
}
