package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/syntax"
	"woodwork.dev/ww/templates"
)

func (t *tool) composeCommand() *cli.Command {
	c := &cli.Command{
		Name:  "compose",
		Usage: "run the system as containers",
		Flags: append(sharedFlags("COMPOSE_PARALLEL_LIMIT"), &cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Hidden: true}),
		Before: func(*cli.Context) error {
			// These commands are short, and large systems are loaded in one go:
			// memory is cheaper than collecting it. Components aren't run here.
			debug.SetGCPercent(400)
			return nil
		},
		Subcommands: append([]*cli.Command{
			t.upCommand(), t.downCommand(), t.psCommand(), t.logsCommand(), t.attachCommand(),
			t.exportCommand(), t.planCommand(), t.buildCommand(), t.pullCommand(), t.pushCommand(), t.commitCommand(), t.watchCommand(), t.autoscaleCommand(),
		}, append(t.verbs(), t.refused()...)...),
	}
	for _, sub := range c.Subcommands {
		// The flags that say which project may stand on either side of the
		// subcommand's name.
		sub.Flags = append(sub.Flags, withoutTaken(sharedFlags(), sub.Flags)...)
		sub.Before = first(setGlobal, first(t.setConsole, sub.Before))
	}
	return c
}

// first does one thing before another, which may be nil.
func first(f, then cli.BeforeFunc) cli.BeforeFunc {
	return func(c *cli.Context) error {
		if err := f(c); err != nil || then == nil {
			return err
		}
		return then(c)
	}
}

// withoutTaken takes the names off flags that others have already, such as the
// -f of `logs` and the -p of `run`.
func withoutTaken(flags, others []cli.Flag) []cli.Flag {
	var taken []string
	for _, f := range others {
		taken = append(taken, f.Names()...)
	}
	isTaken := func(name string) bool { return slices.Contains(taken, name) }
	flags = slices.DeleteFunc(flags, func(f cli.Flag) bool { return isTaken(f.Names()[0]) })
	for _, f := range flags {
		switch f := f.(type) {
		case *cli.StringFlag:
			f.Aliases = slices.DeleteFunc(f.Aliases, isTaken)
		case *cli.StringSliceFlag:
			f.Aliases = slices.DeleteFunc(f.Aliases, isTaken)
		}
	}
	return flags
}

func projectFlags(short bool) []cli.Flag {
	file := &cli.StringSliceFlag{Name: "file", Usage: "a .ww or compose file; may be given several times (default: main.ww, else compose.yaml)"}
	if short {
		file.Aliases = []string{"f"}
	}
	return []cli.Flag{
		file,
		&cli.StringFlag{Name: "project-name", Aliases: []string{"p"}, Usage: "the project's name (default: that of the folder)"},
		&cli.StringFlag{Name: "project-directory", Usage: "the project's folder (default: that of the first file)"},
		&cli.StringSliceFlag{Name: "profile", Usage: "a profile to enable"},
		&cli.StringSliceFlag{Name: "env-file", Usage: "a file of variables in place of .env"},
	}
}

func engineFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "host", Aliases: []string{"H"}, Usage: "address of the engine (default: DOCKER_HOST, or docker's own context)"},
		&cli.StringFlag{Name: "context", Usage: "docker context to use"},
	}
}

// inherited gives a string flag's value from the command or one above it.
func inherited(c *cli.Context, name string) string {
	for _, ctx := range c.Lineage() {
		if ctx.Command != nil && ctx.IsSet(name) {
			if v := ctx.String(name); v != "" {
				return v
			}
		}
	}
	return ""
}

func inheritedList(c *cli.Context, name string) []string {
	for _, ctx := range c.Lineage() {
		if ctx.Command == nil {
			continue
		}
		if v := ctx.StringSlice(name); len(v) > 0 {
			return v
		}
	}
	return nil
}

// request reads which project a command line means.
func (t *tool) request(c *cli.Context) compose.Request {
	r := compose.Request{
		Files:    inheritedList(c, "file"),
		Dir:      inherited(c, "project-directory"),
		Name:     inherited(c, "project-name"),
		Profiles: inheritedList(c, "profile"),
		EnvFiles: inheritedList(c, "env-file"),
		Stdin:    t.in,
		Raw: compose.Raw{ // flags of config
			Values: c.Bool("no-normalize"), Paths: c.Bool("no-path-resolution"),
			EnvFiles: c.Bool("no-env-resolution"), Consistency: c.Bool("no-consistency"),
		},
	}
	if t.meant != nil {
		t.meant.place(&r)
	}
	return r
}

// loadProject loads a project with the binary for its images, and narrows it
// to the services that are named and what they need.
// With an engine that is on another machine, the binary is one for that.
func (t *tool) loadProject(c *cli.Context, services []string, e *dockerx.Engine) (*compose.Loaded, error) {
	req := t.request(c)
	arch, err := engineArch(c.Context, e)
	if err != nil {
		return nil, err
	}
	if req.Binary, err = templates.FindBinary(arch); err != nil {
		return nil, &configError{err, ""}
	}
	l, err := t.load(c.Context, req)
	if err != nil {
		return nil, err
	}
	var deps []types.DependencyOption
	if c.Bool("no-deps") {
		deps = append(deps, types.IgnoreDependencies)
	}
	if err := narrow(l, services, asked(c, "all-resources"), deps...); err != nil {
		return nil, err
	}
	return l, nil
}

// engineArch is the architecture that images are made for: the one that the
// environment names, or the engine's. Empty: this machine's, where an engine
// on it runs, too.
func engineArch(ctx context.Context, e *dockerx.Engine) (string, error) {
	if parts := strings.Split(os.Getenv("DOCKER_DEFAULT_PLATFORM"), "/"); len(parts) > 1 {
		return parts[1], nil
	}
	if e == nil || strings.HasPrefix(e.Host(), "unix://") || strings.HasPrefix(e.Host(), "npipe://") {
		return "", nil
	}
	info, err := e.Info(ctx)
	return info.Arch, err
}

// narrow leaves only services and what they need, and unless all is to stay, only
// the networks, volumes, configs and secrets that these use.
func narrow(l *compose.Loaded, services []string, all bool, deps ...types.DependencyOption) error {
	names := l.Project.ServiceNames()
	for _, s := range services {
		known := append(slices.Clone(names), l.Project.DisabledServiceNames()...)
		if !slices.Contains(known, s) {
			return &usageError{fmt.Errorf("there is no service %q", s), suggestion(s, known, "there are: "+strings.Join(known, ", "))}
		}
	}
	p, err := l.Project.WithServicesEnabled(services...)
	if err != nil {
		return &configError{err, ""}
	}
	if len(services) > 0 {
		if p, err = p.WithSelectedServices(services, deps...); err != nil {
			return &configError{err, ""}
		}
	}
	if !all {
		p = p.WithoutUnnecessaryResources()
	}
	l.Project = p
	return nil
}

// ready checks what has to be there before anything is started: kinds that
// this version can run, and the variables that the system needs.
func (t *tool) ready(l *compose.Loaded) error {
	var diags syntax.Diagnostics
	if l.Generated != nil {
		diags = append(unbuilt(l), unset(l)...)
	}
	if len(diags) > 0 {
		if err := syntax.Render(t.err, diags, l.Sources, colourful(t.err)); err != nil {
			return err
		}
		return errReported{exitConfig}
	}
	for _, name := range l.Project.ServiceNames() {
		for _, s := range l.Project.Services[name].Secrets {
			from := l.Project.Secrets[s.Source].Environment
			if _, ok := l.Project.Environment[from]; from != "" && !ok {
				return &configError{
					fmt.Errorf("service %q needs the variable %s for its secret %q, and it isn't set", name, from, s.Source),
					fmt.Sprintf("export %s=…, or write it into .env beside the file", from),
				}
			}
		}
	}
	return nil
}

func unbuilt(l *compose.Loaded) syntax.Diagnostics {
	var diags syntax.Diagnostics
	for _, c := range l.Generated.Unbuilt {
		if _, wanted := l.Project.Services[c.Name]; !wanted {
			continue
		}
		diags = append(diags, notBuilt(c))
	}
	return diags
}

func notBuilt(c *model.Component) syntax.Diagnostic {
	return syntax.Diagnostic{
		Severity: syntax.Error, Code: "not-built", Span: c.Span,
		Message: fmt.Sprintf("%q is of kind `%s`, which this version of ww can't run yet", c.Name, strings.TrimSpace(c.Kind+" "+c.Type)),
		Remedy:  "it can run: " + strings.Join(model.BuiltKinds(), ", "),
	}
}

func unset(l *compose.Loaded) syntax.Diagnostics {
	var diags syntax.Diagnostics
	seen := map[string]bool{}
	for _, v := range l.Generated.Variables {
		_, wanted := l.Project.Services[v.Component]
		value, set := l.Project.Environment[v.Name]
		if !wanted || !missing(v.Env, value, set) || seen[v.Name] {
			continue
		}
		seen[v.Name] = true
		diags = append(diags, needsVariable(v.Component, v.Env))
	}
	return diags
}

// missing reports whether a variable is needed and has no value.
func missing(e model.Env, value string, set bool) bool {
	_, def := e.Default()
	return !def && (!set || value == "" && e.Op == ":?")
}

func needsVariable(component string, e model.Env) syntax.Diagnostic {
	msg := fmt.Sprintf("%q needs the variable $%s, and it isn't set", component, e.Name)
	if e.Arg != "" {
		msg += ": " + e.Arg
	}
	return syntax.Diagnostic{
		Severity: syntax.Error, Code: "unset-variable", Span: e.Span, Message: msg,
		Remedy: fmt.Sprintf("export %s=…, or write it into .env beside the file", e.Name),
	}
}

// digests are what a project is compared by with what runs.
func digests() deploy.Digests {
	return deploy.Digests{
		Service: compose.Hash, Effect: compose.EffectHash, Network: compose.NetworkHash, Volume: compose.VolumeHash,
		Contents: compose.ContentHashes,
	}
}

// running is a project that commands look at by its labels alone.
type running struct {
	name   string
	engine *dockerx.Engine
	have   plan.Observed
	since  time.Time       // from when on events tell more than that
	loaded *compose.Loaded // what the files say, where they had to be loaded for the name
}

// find observes a project by its name; no file is needed when it is given.
func (t *tool) find(ctx context.Context, c *cli.Context) (*running, error) {
	r, err := t.named(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := r.observe(ctx); err != nil {
		return nil, errors.Join(err, r.engine.Close())
	}
	return r, nil
}

// findLocked is find for what changes the project: no other ww does until unlock
// is called.
func (t *tool) findLocked(ctx context.Context, c *cli.Context, settle bool) (r *running, unlock func(), err error) {
	if r, err = t.named(ctx, c); err != nil {
		return nil, nil, err
	}
	var settled *dockerx.Engine
	if settle {
		settled = r.engine
	}
	if unlock, err = t.lock(ctx, settled, r.name); err != nil {
		return nil, nil, errors.Join(err, r.engine.Close())
	}
	if err := r.observe(ctx); err != nil {
		unlock()
		return nil, nil, errors.Join(err, r.engine.Close())
	}
	return r, unlock, nil
}

// named finds out which project is meant.
func (t *tool) named(ctx context.Context, c *cli.Context) (*running, error) {
	name, loaded, err := compose.Named(ctx, t.request(c))
	if err != nil {
		var mistakes *compose.MistakesError
		switch {
		case errors.As(err, &mistakes):
			if err := syntax.Render(t.err, mistakes.Diagnostics, mistakes.Sources, colourful(t.err)); err != nil {
				return nil, err
			}
			fmt.Fprintln(t.err, t.paint(cyan, "help:"), "the file may say which project is meant: correct it, or name the project with -p alone")
			return nil, errReported{exitConfig}
		case errors.Is(err, compose.ErrNoFile):
			return nil, &configError{err, "name the project with -p, or its file with -f"}
		}
		return nil, &configError{err, ""}
	}
	e, err := t.engine(c)
	if err != nil {
		return nil, err
	}
	return &running{name: name, engine: e, loaded: loaded}, nil
}

func (r *running) observe(ctx context.Context) (err error) {
	r.since = time.Now()
	r.have, err = r.engine.Observe(ctx, r.name, nil)
	return err
}

// containers narrows to the named services; all of them if none is named.
func (r *running) containers(services []string) ([]plan.Container, error) {
	var names []string
	for _, c := range r.have.Containers {
		names = append(names, c.Service)
	}
	for _, s := range services {
		if !slices.Contains(names, s) {
			if len(names) == 0 {
				return nil, &usageError{fmt.Errorf("nothing of project %q is running", r.name), "`ww compose up -d` starts it"}
			}
			return nil, &usageError{fmt.Errorf("there is no container of service %q", s), suggestion(s, names, "there are: "+strings.Join(slices.Compact(names), ", "))}
		}
	}
	var out []plan.Container
	for _, c := range r.have.Containers {
		if len(services) == 0 && !c.OneOff || slices.Contains(services, c.Service) {
			out = append(out, c)
		}
	}
	return out, nil
}
