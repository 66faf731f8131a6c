package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
	fswatch "woodwork.dev/ww/runtime/watch"
)

func (t *tool) watchCommand() *cli.Command {
	return &cli.Command{
		Name:      "watch",
		Usage:     "bring the system up, and keep it up to date as its files change, until Ctrl-C; it stays up",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "no-up", Usage: "don't bring it up first"},
			&cli.BoolFlag{Name: "prune", Value: true, Usage: "remove images that a rebuild has replaced"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress of builds and starts"},
		},
		Action: t.watch,
	}
}

// session is one run of a watch: what there is to be watched, and the project
// as it was read last.
type session struct {
	tool    *tool
	cli     *cli.Context
	engine  *dockerx.Engine
	loaded  *compose.Loaded
	rules   []fswatch.Rule
	watcher *fswatch.Watcher
	prune   bool
}

func (t *tool) watch(c *cli.Context) error {
	d, err := t.engine(c)
	if err != nil {
		return err
	}
	defer d.Close()
	begin := time.Now()
	l, req, err := t.upRequest(c, d)
	if err != nil {
		return err
	}
	// What changes while it comes up counts.
	s, err := t.openSession(c, d, l, begin)
	if err != nil {
		return err
	}
	defer func() { _ = s.watcher.Close() }()
	if !c.Bool("no-up") {
		req.Options.Wait = true
		if err := s.bringUp(c.Context, l, req); err != nil {
			return err
		}
		if !c.Bool("quiet") {
			fmt.Fprintf(t.err, "%s %s in %.1fs\n", t.paint(green, "up"), l.Project.Name, time.Since(begin).Seconds())
		}
	}
	if err := s.run(c.Context); err != nil {
		return err
	}
	fmt.Fprintf(t.err, "no longer watching; %s stays up: `ww compose down` takes it down\n", s.loaded.Project.Name)
	return nil
}

// openSession begins to watch a project's files, as they are from a moment on.
func (t *tool) openSession(c *cli.Context, d *dockerx.Engine, l *compose.Loaded, since time.Time) (*session, error) {
	s := &session{tool: t, cli: c, engine: d, loaded: l, prune: !c.IsSet("prune") || c.Bool("prune")}
	var err error
	if s.rules, err = t.watchRules(l); err != nil {
		return nil, &configError{err, "`develop.watch` lists, for each path, an action: sync, rebuild, restart, sync+restart or sync+exec"}
	}
	if len(s.rules) == 0 {
		return nil, &configError{errors.New("there is nothing to watch: no service has a `develop` section, or sources of its own"),
			"give a service `develop: {watch: [{path: ./src, action: sync, target: /app}]}`"}
	}
	if s.watcher, err = fswatch.Open(s.rules, fswatch.Options{Since: since}); err != nil {
		return nil, err
	}
	return s, nil
}

// watchRules gives the rules of a project: those of its develop sections, and,
// for components of a .ww file that have none, those for what their images are
// made of. The files of such a project are watched as well.
func (t *tool) watchRules(l *compose.Loaded) ([]fswatch.Rule, error) {
	var rules []fswatch.Rule
	for _, name := range l.Project.ServiceNames() {
		s := l.Project.Services[name]
		own, notes, err := fswatch.Of(s)
		if err != nil {
			return nil, err
		}
		for _, n := range notes {
			fmt.Fprintln(t.err, "note:", n)
		}
		if s.Develop == nil && l.Model != nil {
			if own, err = sourceRules(l, name); err != nil {
				return nil, err
			}
		}
		rules = append(rules, own...)
	}
	if l.Generated != nil {
		for _, f := range l.Files {
			if f != "-" {
				rules = append(rules, fswatch.ProjectFile(f))
			}
		}
	}
	return rules, nil
}

// sourceRules are about what a component's image is made of. The image is named
// by the digest of that: whether a change matters shows when it is read again.
func sourceRules(l *compose.Loaded, name string) ([]fswatch.Rule, error) {
	c := l.Model.Component(name)
	if c == nil {
		return nil, nil
	}
	source, script := c.Settings.Text("source"), c.Settings.Text("python")
	if source == "" {
		source = script
	}
	dockerfile := c.Settings.Text("dockerfile")
	if dockerfile != "" {
		source = filepath.Dir(dockerfile)
	}
	var rules []fswatch.Rule
	for _, p := range []string{source, c.Settings.Text("requirements"), dockerfile} {
		if p == "" {
			continue
		}
		if !filepath.IsAbs(p) {
			p = filepath.Join(l.Dir, filepath.FromSlash(p))
		}
		ignore := filepath.Join(p, ".dockerignore")
		if info, err := os.Stat(p); err == nil && !info.IsDir() {
			ignore = "" // it is watched alone
		}
		r, err := fswatch.Source(name, p, ignore)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// bringUp brings a project up that has been loaded.
func (s *session) bringUp(ctx context.Context, l *compose.Loaded, req deploy.UpRequest) error {
	if err := l.Prepare(); err != nil {
		return prepareError(err)
	}
	unlock, err := s.tool.lock(ctx, s.engine, l.Project.Name)
	if err != nil {
		return err
	}
	defer unlock()
	progress := s.tool.newProgress(l.Project, s.cli.Bool("quiet"))
	req.Report = progress.reportFor(s.cli)
	leaving := s.tool.drainsOrphans(s.engine, &req)
	res, err := deploy.Up(ctx, s.engine, req)
	progress.end()
	if err != nil {
		return s.tool.failedUp(s.cli, res, err)
	}
	leaving.warn(ctx)
	return nil
}

// run does what changes ask for, one batch after the other, until ctx ends.
// What fails is told, and is no reason to end.
func (s *session) run(ctx context.Context) error {
	for _, r := range s.rules {
		if r.Initial {
			s.initialSync(ctx, r)
		}
	}
	s.announce()
	for ctx.Err() == nil {
		again, err := s.follow(ctx)
		if err != nil || again == nil {
			return err
		}
		if err := s.watcher.Close(); err != nil {
			return err
		}
		s.loaded, s.rules, s.watcher = again.loaded, again.rules, again.watcher
		s.announce()
	}
	return nil
}

func (s *session) announce() {
	paths := map[string]bool{}
	services := map[string]bool{}
	for _, r := range s.rules {
		paths[r.Path()] = true
		if r.Service != "" {
			services[r.Service] = true
		}
	}
	what := "its own files"
	if len(services) > 0 {
		what = strings.Join(slices.Sorted(maps.Keys(services)), ", ")
	}
	fmt.Fprintf(s.tool.err, "watching %s of %s; Ctrl-C ends it\n", plural(len(paths), "path"), what)
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// follow handles batches until ctx ends. Where the project's own files have
// changed, it gives the session that takes this one's place.
func (s *session) follow(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan []fswatch.Change)
	ended := make(chan error, 1)
	go func() { ended <- s.watcher.Run(ctx, batches) }()
	stop := func() error { cancel(); return <-ended }
	for batch := range batches {
		work, reload := fswatch.Decide(s.rules, batch)
		if len(reload) > 0 {
			if again := s.reload(ctx, reload); again != nil {
				again.handleAll(ctx, work)
				return again, stop()
			}
		}
		s.handleAll(ctx, work)
	}
	return nil, stop()
}

// reload reads the project anew and brings up what has changed in it.
func (s *session) reload(ctx context.Context, changed []string) *session {
	s.say("changed", s.loaded.Project.Name, s.names(changed), 0)
	begin := time.Now()
	l, req, err := s.tool.upRequest(s.cli, s.engine)
	if err != nil {
		s.failed(ctx, "what runs stays as it was", err)
		return nil
	}
	again, err := s.tool.openSession(s.cli, s.engine, l, begin)
	if err != nil {
		s.failed(ctx, "what runs stays as it was", err)
		return nil
	}
	// What was asked for once was for the beginning.
	req.Options = plan.Options{Wait: true, RemoveOrphans: true}
	if err := s.bringUp(ctx, l, req); err != nil {
		s.failed(ctx, "", err)
	} else {
		s.say("applied", l.Project.Name, s.names(changed), time.Since(begin))
	}
	return again
}

// say prints what was done to whom, because of what, and in how long.
func (s *session) say(word, whom, what string, took time.Duration) {
	line := fmt.Sprintf("  %s %-10s %s", s.tool.paint(cyan, fmt.Sprintf("%-9s", word)), whom, what)
	if took > 0 {
		line += fmt.Sprintf("  %.2fs", took.Seconds())
	}
	fmt.Fprintln(s.tool.err, line)
}

// failed tells of an error and what it means for what runs.
func (s *session) failed(ctx context.Context, meaning string, err error) {
	if ctx.Err() != nil {
		return
	}
	s.tool.report(err)
	if meaning != "" {
		fmt.Fprintln(s.tool.err, "note:", meaning)
	}
}

// names lists a few of some paths, as seen from the project's folder.
func (s *session) names(paths []string) string {
	const shown = 3
	var out []string
	for _, p := range paths {
		p = shownFrom(s.loaded.Dir, p)
		if len(out) == shown {
			out = append(out, fmt.Sprintf("%d more", len(paths)-shown))
			break
		}
		out = append(out, harmless(p))
	}
	return strings.Join(out, ", ")
}

// upAndWatch is foreground that watches.
func (t *tool) upAndWatch(c *cli.Context, s *session, done plan.Plan, visible func(string) bool, since time.Time) error {
	p := s.loaded.Project
	out, err := t.lookOn(c.Context, s.engine, p.Name, since, done, view{style: upStyle(c), wanted: anyService, visible: visible}, func(deploy.Event) {})
	if err != nil {
		return err
	}
	defer out.close()
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- s.run(ctx)
	}()
	select {
	case err = <-ended: // that all containers have ended is no reason: a change may mend them
	case <-out.ended: // the engine has gone
		cancel()
		err = errors.Join(<-ended, out.err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(t.err, "going down; Ctrl-C again kills")
	return t.takeDown(s.engine, s.loaded.Project, nil, out.leave, c.Bool("quiet"), grace(c))
}

// part narrows the project to one service and what it needs.
func (s *session) part(l *compose.Loaded, service string) (*types.Project, error) {
	p, err := l.Project.WithSelectedServices([]string{service})
	if err != nil {
		return nil, &configError{err, ""}
	}
	return p.WithoutUnnecessaryResources(), nil
}
