package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/connect"
	"woodwork.dev/ww/runtime/bus/nats/embedded"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/builtin"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/registry"
	"woodwork.dev/ww/syntax"
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
			if s.docker() {
				return t.upInContainers(c)
			}
			return t.upHere(c, s)
		},
	}
}

func whereFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "as", Usage: "run all of it as `KIND` of deployment, whatever the file says: local, server or docker"},
		&cli.StringFlag{Name: "deployment", Usage: "run the components of this deployment alone: the others run elsewhere, and the bus joins them"},
	}
}

// upInContainers is `ww compose up` with what both have.
func (t *tool) upInContainers(c *cli.Context) error {
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

// assembly is a .ww file with where its components run.
type assembly struct {
	*compose.Loaded
	here    []*model.Component // in the order in which they start
	inside  int                // components that run in containers
	servers map[string]*model.Deployment
	alone   bool // one deployment of several
}

func (s *assembly) docker() bool { return len(s.here) == 0 && s.inside > 0 }

// readSystem reads the file, and says where each of its components runs.
func (t *tool) readSystem(c *cli.Context) (*assembly, error) {
	as, only := c.String("as"), c.String("deployment")
	if as != "" {
		if err := oneOf("as", as, "local", "server", "docker"); err != nil {
			return nil, err
		}
	}
	req := t.request(c)
	req.Here = true
	l, err := t.load(c.Context, req)
	if err != nil {
		return nil, err
	}
	if l.Model == nil {
		return nil, &configError{errors.New("there is no .ww file: a compose file runs in containers"), "`ww compose up` runs it"}
	}
	s := &assembly{Loaded: l, servers: map[string]*model.Deployment{}}
	var names []string
	for _, d := range l.Model.Deployments {
		names = append(names, d.Name)
	}
	if only != "" && l.Model.Deployment(only) == nil {
		return nil, &usageError{fmt.Errorf("there is no deployment %q", only), suggestion(only, names, "the file has: "+strings.Join(names, ", "))}
	}
	for _, name := range l.Model.Order() {
		comp := l.Model.Component(name)
		d := comp.Deployment
		kind := "local"
		if d != nil {
			kind = d.Kind
		}
		if only != "" && (d == nil || d.Name != only) {
			s.alone = true
			continue
		}
		if as != "" {
			kind = as
		}
		if comp.Kind == "container" && kind != "docker" {
			return nil, &configError{fmt.Errorf("%q is a container of its own and can't run without an engine", name), "`ww compose up` runs it"}
		}
		if kind == "docker" {
			s.inside++
			continue
		}
		s.here = append(s.here, comp)
		if kind == "server" {
			if d == nil || d.Kind != "server" {
				d = &model.Deployment{Name: "server", Kind: "server", Settings: &model.Map{}}
			}
			s.servers[d.Name] = d
		}
	}
	if len(s.here) > 0 && s.inside > 0 {
		return nil, &configError{errors.New("this file has some components run in containers and others without, and this version of ww can't join them"),
			"`--as docker` or `--as local` runs all of them in one way; --deployment NAME runs one part, where the bus has a URL"}
	}
	if len(s.here)+s.inside == 0 {
		return nil, &configError{errors.New("there is nothing to run: the system has no components"), "declare some; `ww graph` shows what is there"}
	}
	return s, t.runnable(s)
}

// runnable reports kinds that this version can't run, and variables that aren't
// set.
func (t *tool) runnable(s *assembly) error {
	var diags syntax.Diagnostics
	seen := map[string]bool{}
	for _, c := range s.here {
		if !c.Built {
			diags = append(diags, notBuilt(c))
			continue
		}
		model.Envs(c.Settings, func(e model.Env) {
			value, set := s.Lookup(e.Name)
			if missing(e, value, set) && !seen[e.Name] {
				seen[e.Name] = true
				diags = append(diags, needsVariable(c.Name, e))
			}
		})
		if f := c.Settings.Map("scale").Field("cpu"); f != nil {
			diags = append(diags, syntax.Diagnostic{
				Severity: syntax.Warning, Code: "no-container", Span: f.Span, Remedy: "`queue_depth` counts here; `ww compose up` honours both",
				Message: fmt.Sprintf("the processor's load of %q alone can't be told in one process: %q has no effect here", c.Name, "cpu"),
			})
		}
		diags = append(diags, ofContainers(c)...)
	}
	if len(diags) == 0 {
		return nil
	}
	if err := syntax.Render(t.err, diags, s.Sources, colourful(t.err)); err != nil {
		return err
	}
	if diags.HasErrors() {
		return errReported{exitConfig}
	}
	return nil
}

// upHere runs a system in this process until the first signal, or until it can't
// go on.
func (t *tool) upHere(c *cli.Context, s *assembly) error {
	begin := time.Now()
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
	if o.Components, o.Servers, err = t.describe(s); err != nil {
		return err
	}
	open, stopBus, err := s.openBus(o.Log)
	if err != nil {
		return err
	}
	defer stopBus()
	o.OpenBus = open
	progress := t.progressOf(s.Name, s.phase, c.Bool("quiet"))
	scaling := t.scalingView(s.phase)
	o.Report = func(ev deploy.Progress) {
		if ev.Step.Op == plan.Scale { // they come once the rest has been told
			scaling.Report(ev)
			return
		}
		progress.report(ev)
	}
	running, err := inproc.Start(c.Context, o)
	progress.end()
	if err != nil {
		return err
	}
	if !c.Bool("quiet") {
		fmt.Fprintf(t.err, "%s %s: %s in %s\n", t.paint(green, "up"), s.Name, count(len(o.Components), "component", "components"), briefly(time.Since(begin)))
		addresses := running.Addresses()
		for _, name := range slices.Sorted(maps.Keys(addresses)) {
			fmt.Fprintf(t.err, "  %s answers at http://%s\n", name, addresses[name])
		}
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
	down := t.progressOf(s.Name, s.phase, c.Bool("quiet"))
	sum, err := running.Stop(ctx)
	down.end()
	if err := errors.Join(running.Err(), err); err != nil {
		return err
	}
	return t.ended(sum, ctx)
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

func (s *assembly) phase(name string) string {
	if c := s.Model.Component(name); c != nil {
		return string(c.Phase)
	}
	return string(model.PhaseBus)
}

// describe says what is to run, for the coordinator.
func (t *tool) describe(s *assembly) ([]inproc.Component, []inproc.Server, error) {
	var parts []inproc.Component
	members := map[string][]string{}
	for _, c := range s.here {
		settings, err := s.SettingsHere(c)
		if err != nil {
			return nil, nil, &configError{fmt.Errorf("the settings of %q: %w", c.Name, err), ""}
		}
		p := inproc.Component{
			Config:    component.Config{Name: c.Name, Kind: c.Kind, Type: c.Type, To: c.To, Topics: c.Topics, Settings: settings},
			DependsOn: s.Model.DependsOn(c.Name), Ingress: c.Phase == model.PhaseIngress, Deployment: "local",
			Workers: c.Workers, Scale: c.Scale,
		}
		if c.Deployment != nil {
			p.Deployment = c.Deployment.Name
		}
		isolate(&p, c)
		if v, ok := c.Settings.Get("grace"); ok {
			if p.Grace, err = model.Duration(v); err != nil {
				return nil, nil, &configError{fmt.Errorf("grace of %q: %w", c.Name, err), ""}
			}
		}
		if v, ok := c.Settings.Get("port"); ok {
			host, err1 := s.value(c.Settings, "host", "127.0.0.1")
			port, err2 := s.text(v)
			if err := errors.Join(err1, err2); err != nil {
				return nil, nil, err
			}
			p.Addr = net.JoinHostPort(host, port)
		}
		parts = append(parts, p)
		members[p.Deployment] = append(members[p.Deployment], c.Name)
	}
	var servers []inproc.Server
	for _, name := range slices.Sorted(maps.Keys(s.servers)) {
		d := s.servers[name]
		host, err1 := s.value(d.Settings, "host", "127.0.0.1")
		port, err2 := s.value(d.Settings, "port", defaultPort)
		token, err3 := s.value(d.Settings, "token", "")
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, nil, err
		}
		if token == "" && !loopback(host) {
			return nil, nil, &configError{fmt.Errorf("server %s would listen on %s without a token: anybody could use it", name, host),
				"add `token: $WW_TOKEN`, or leave `host` out to listen on 127.0.0.1"}
		}
		list := members[name]
		if len(list) == 0 { // --as server
			list = slices.Concat(slices.Collect(maps.Values(members))...)
		}
		servers = append(servers, inproc.Server{
			Name: name, Addr: net.JoinHostPort(host, port), Components: list, Token: token,
			Health: d.Settings.Bool("health_checks", true), Discovery: d.Settings.Bool("component_discovery", true),
		})
	}
	return parts, servers, nil
}

// value is a setting that is text or a variable.
func (s *assembly) value(m *model.Map, key, def string) (string, error) {
	v, ok := m.Get(key)
	if !ok {
		return def, nil
	}
	return s.text(v)
}

func (s *assembly) text(v model.Value) (string, error) {
	e, variable := v.(model.Env)
	if !variable {
		text, _ := model.Scalar(v)
		return text, nil
	}
	value, set := s.Lookup(e.Name)
	if def, ok := e.Default(); ok && (!set || value == "" && e.Op == ":-") {
		return def, nil
	}
	if !set {
		return "", &configError{fmt.Errorf("the variable %s isn't set", e.Name), fmt.Sprintf("export %s=…, or write it into .env beside the file", e.Name)}
	}
	return value, nil
}

// openBus gives the way to the bus, and what ends a server of our own.
func (s *assembly) openBus(log *slog.Logger) (open func(context.Context) (bus.Bus, registry.Registry, error), stop func(), err error) {
	stop = func() {}
	o := connect.Options{Project: s.Name, Log: log}
	b := s.Model.Bus
	switch {
	case b == nil:
		o.URL, err = connect.FromEnv(func(name string) string { v, _ := s.Lookup(name); return v })
		if v, set := s.Lookup("WOODWORK_MESSAGE_BUS"); err != nil && (!set || v == "" || v == "auto") {
			o.URL, err = connect.Memory, nil // nothing is named
		}
	case b.Kind == "memory":
		o.URL = connect.Memory
	case b.URL != nil:
		o.URL, err = s.text(b.URL)
	case b.Kind == "nats":
		password := rand.Text()
		dir := filepath.Join(s.Dir, compose.Folder, "nats")
		if err := compose.EnsureFolder(filepath.Join(s.Dir, compose.Folder)); err != nil {
			return nil, nil, err
		}
		server, err := embedded.Start(embedded.Options{StoreDir: dir, Password: password, Log: log})
		if err != nil {
			return nil, nil, err
		}
		stop = server.Shutdown
		o.URL, o.Password = "nats://"+server.Addr(), password
	default:
		err = errors.New("the file wants a Redis of its own, which runs in a container")
		return nil, nil, &configError{err, "name one that runs, `redis { url = $REDIS_URL }`; or leave `message_bus` out, and the bus is in this process; or `--as docker`"}
	}
	if err == nil {
		err = connect.Check(o.URL)
	}
	if err != nil {
		var config *configError
		if !errors.As(err, &config) {
			err = &configError{fmt.Errorf("the message bus: %w", err), "write a URL such as redis://127.0.0.1:6379 or nats://127.0.0.1:4222"}
		}
		return nil, nil, err
	}
	if s.alone && o.URL == connect.Memory {
		return nil, nil, &configError{errors.New("--deployment runs a part of the system, and a bus in memory joins it with nothing"),
			"give the file a bus that all parts reach: `message_bus = redis { url = $REDIS_URL }`"}
	}
	return func(ctx context.Context) (bus.Bus, registry.Registry, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return connect.Open(ctx, o)
	}, stop, nil
}

// listenRemedy says what to do about a port that can't be opened.
func listenRemedy(e *inproc.ListenError) string {
	return "stop what has it, or give it another port: `ss -ltnp | grep :" + e.Addr[strings.LastIndexByte(e.Addr, ':')+1:] + "` shows who"
}
