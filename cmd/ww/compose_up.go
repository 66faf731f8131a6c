package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
			&cli.BoolFlag{Name: "remove-orphans", Usage: "remove containers of services that the file has no more"},
			&cli.BoolFlag{Name: "keep", Usage: "leave what was made when it fails, for a closer look"},
			&cli.BoolFlag{Name: "dry-run", Usage: "show what would be done, and why"},
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
	h, err := hashes(l.Project)
	req = deploy.UpRequest{
		Project: l.Project, Hashes: h, EnvFiles: inheritedList(c, "env-file"), Options: opts,
		Parallel: c.Int("parallel"), Timeout: c.Duration("wait-timeout"), Grace: grace(c),
	}
	return l, req, err
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
	if err := l.Prepare(); err != nil {
		return prepareError(err)
	}
	unlock, err := t.lock(c.Context, l.Project.Name)
	if err != nil {
		return err
	}
	defer unlock()
	progress := t.newProgress(l.Project, c.Bool("quiet"))
	req.Report = progress.report
	res, err := deploy.Up(c.Context, d, req)
	if len(res.Plan.Orphans) > 0 && !req.Options.RemoveOrphans {
		fmt.Fprintf(t.err, "note: left over from services that the file has no more: %s; --remove-orphans removes that\n", containerNames(res.Plan.Orphans))
	}
	if err != nil {
		return t.failedUp(c, res, err)
	}
	if !c.Bool("quiet") {
		t.summary(l.Project, res, time.Since(begin))
	}
	if c.Bool("detach") || c.IsSet("wait") {
		return nil
	}
	unlock() // whoever looks on must not keep others from changing it
	return t.foreground(c, d, l.Project, begin)
}

// failedUp cleans up after an up that failed or was cancelled.
func (t *tool) failedUp(c *cli.Context, res deploy.UpResult, err error) error {
	if c.Bool("keep") {
		return err
	}
	ctx, cancel := context.WithTimeout(t.cleanup(), time.Minute)
	defer cancel()
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
	n := len(p.Services)
	services := "services"
	if n == 1 {
		services = "service"
	}
	if res.Plan.Changes() == 0 {
		fmt.Fprintf(t.err, "nothing to do: %d %s of %s are up and ready\n", n, services, p.Name)
	} else {
		fmt.Fprintf(t.err, "%s %s: %d %s in %.1fs\n", t.paint(green, "up"), p.Name, n, services, elapsed.Seconds())
	}
	for _, name := range p.ServiceNames() {
		for _, port := range p.Services[name].Ports {
			if port.Published != "" && port.Published != "0" && !strings.Contains(port.Published, "-") {
				host := port.HostIP
				if host == "" || host == "0.0.0.0" || host == "::" {
					host = "127.0.0.1"
				}
				scheme := ""
				if p.Services[name].Labels[deploy.LabelPhase] == "ingress" {
					scheme = "http://"
				}
				fmt.Fprintf(t.err, "  %s answers at %s%s:%s\n", name, scheme, host, port.Published)
			}
		}
	}
}

// foreground shows what the containers write until the first signal, then
// takes the system down; the second signal kills what is left.
func (t *tool) foreground(c *cli.Context, d deploy.Driver, p *types.Project, since time.Time) error {
	have, err := d.Observe(c.Context, p.Name, nil)
	if err != nil {
		return err
	}
	wanted := func(service string) bool { _, ok := p.Services[service]; return ok }
	cs := slices.DeleteFunc(have.Containers, func(c plan.Container) bool { return !wanted(c.Service) })
	printer := t.newLogPrinter(cs, logStyle{prefix: true, timestamps: false})
	fmt.Fprintln(t.err, "Ctrl-C takes it down")
	opts := deploy.LogOptions{Since: since.Add(-time.Second).Format(time.RFC3339Nano)}
	err = deploy.Follow(c.Context, d, p.Name, cs, opts, wanted, printer.print, func(ev deploy.Event) {
		fmt.Fprintf(t.err, "%s exited with code %d\n", ev.Name, ev.ExitCode)
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(t.err, "going down; Ctrl-C again kills")
	return t.takeDown(d, p, c.Bool("quiet"), grace(c))
}

// takeDown removes what foreground up has brought up; volumes stay.
func (t *tool) takeDown(d deploy.Driver, p *types.Project, quiet bool, grace *time.Duration) error {
	ctx := t.cleanup()
	unlock, err := t.lock(ctx, p.Name)
	if err != nil {
		return err
	}
	defer unlock()
	err = t.takeDownIn(ctx, d, p, grace, t.newProgress(p, quiet))
	if err == nil || ctx.Err() == nil {
		return err
	}
	fmt.Fprintln(t.err, "killing")
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	now := time.Duration(0)
	return errors.Join(t.takeDownIn(last, d, p, &now, t.newProgress(p, quiet)), context.Canceled)
}

func (t *tool) takeDownIn(ctx context.Context, d deploy.Driver, p *types.Project, grace *time.Duration, progress *progress) error {
	have, err := d.Observe(ctx, p.Name, nil)
	if err != nil {
		return err
	}
	keep := slices.DeleteFunc(slices.Clone(have.Containers), func(c plan.Container) bool {
		_, ours := p.Services[c.Service]
		return ours
	})
	_, err = deploy.Down(ctx, d, deploy.DownRequest{
		Name: p.Name, Have: have, Options: plan.DownOptions{Keep: keep}, Grace: grace, Report: progress.report,
	})
	return err
}
