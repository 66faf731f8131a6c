package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
	fswatch "woodwork.dev/ww/runtime/watch"
)

func (s *session) handleAll(ctx context.Context, work []fswatch.Work) {
	for _, w := range work {
		if _, there := s.loaded.Project.Services[w.Service]; there && ctx.Err() == nil {
			s.handle(ctx, w)
		}
	}
}

// handle does the work of one service.
func (s *session) handle(ctx context.Context, w fswatch.Work) {
	why := s.names(w.Changed)
	if w.Rebuild {
		begin := time.Now()
		done, err := s.rebuild(ctx, w.Service, why)
		if err != nil {
			s.failed(ctx, w.Service+" stays as it was", err)
			return
		}
		if done {
			s.say("replaced", w.Service, why, time.Since(begin))
			for _, r := range s.rules {
				if r.Service == w.Service && r.Initial {
					s.initialSync(ctx, r)
				}
			}
		}
	}
	if err := s.update(ctx, w, why); err != nil {
		s.failed(ctx, "", err)
	}
}

// update does everything to a service's containers that leaves them there.
func (s *session) update(ctx context.Context, w fswatch.Work, why string) error {
	if len(w.Files) == 0 && !w.Restart {
		return nil
	}
	begin := time.Now()
	cs, err := s.containers(ctx, w.Service)
	if err != nil {
		return err
	}
	if len(cs) == 0 {
		s.say("changed", w.Service, why+" (it isn't running)", 0)
		return nil
	}
	if len(w.Files) > 0 {
		for _, c := range cs {
			if err := s.sync(ctx, c, w.Files); err != nil {
				return err
			}
		}
		s.say("synced", w.Service, why, time.Since(begin))
	}
	if w.Restart {
		if err := s.restart(ctx, w.Service, cs); err != nil {
			return err
		}
		s.say("restarted", w.Service, why, time.Since(begin))
	}
	for _, x := range w.Exec {
		if err := s.exec(ctx, cs, x); err != nil {
			return fmt.Errorf("%s: %w", w.Service, err)
		}
		s.say("executed", w.Service, strings.Join(x.Command, " "), time.Since(begin))
	}
	return nil
}

// rebuild builds a service's image and replaces its containers, unless nothing
// has changed for it. A build that fails has touched nothing.
func (s *session) rebuild(ctx context.Context, service, why string) (bool, error) {
	l := s.loaded
	if l.Generated != nil {
		// What its image is made of is read when the project is.
		again, err := s.tool.loadProject(s.cli, s.cli.Args().Slice(), s.engine)
		if err != nil {
			return false, err
		}
		if err := setScales(again.Project, listOf(s.cli, "scale")); err != nil {
			return false, err
		}
		if s.loaded, l = again, again; !s.isDifferent(ctx, l, service) {
			return false, nil
		}
	}
	s.say("changed", service, why, 0)
	p, err := s.part(l, service)
	if err != nil {
		return false, err
	}
	if err := l.Prepare(); err != nil {
		return false, prepareError(err)
	}
	unlock, err := s.tool.lock(ctx, s.engine, p.Name)
	if err != nil {
		return false, err
	}
	defer unlock()
	before, err := s.engine.Observe(ctx, p.Name, nil)
	if err != nil {
		return false, err
	}
	progress := s.tool.newProgress(p, s.cli.Bool("quiet"))
	defer progress.end()
	req := deploy.UpRequest{
		Project: p, Digests: digests(), Confirm: s.tool.mayLose(s.cli), EnvFiles: inheritedList(s.cli, "env-file"),
		Report: progress.report,
	}
	image := plan.ImageOf(p, p.Services[service])
	build := plan.BuildAll(p, before, false)
	build.Steps = slices.DeleteFunc(build.Steps, func(step plan.Step) bool { return step.Name != image })
	if err := deploy.Carry(ctx, s.engine, req, build); err != nil {
		return false, err
	}
	req.Options = plan.Options{Wait: true}
	res, err := deploy.Up(ctx, s.engine, req)
	progress.end()
	if err != nil {
		return false, s.tool.failedUp(s.cli, res, err)
	}
	s.pruneAfter(ctx, p, service, before)
	return true, s.restartDependents(ctx, service)
}

// isDifferent tells whether a service is to run from another image than it does.
func (s *session) isDifferent(ctx context.Context, l *compose.Loaded, service string) bool {
	cs, err := s.containers(ctx, service)
	image := plan.ImageOf(l.Project, l.Project.Services[service])
	return err != nil || len(cs) == 0 || slices.ContainsFunc(cs, func(c plan.Container) bool { return c.Image != image })
}

// pruneAfter removes the images that a rebuild has replaced. It isn't worth an
// error where that fails.
func (s *session) pruneAfter(ctx context.Context, p *types.Project, service string, before plan.Observed) {
	if !s.prune {
		return
	}
	_, _ = s.engine.PruneImages(ctx, p.Name)
	image := plan.ImageOf(p, p.Services[service])
	for _, c := range before.Containers {
		// The tag of a component's own image is the digest of what is in it.
		if c.Service == service && c.Image != image && strings.HasPrefix(c.Image, p.Name+"-") {
			_ = s.engine.RemoveImage(ctx, c.Image)
		}
	}
}

// containers lists those of a service that run.
func (s *session) containers(ctx context.Context, service string) ([]plan.Container, error) {
	have, err := s.engine.Observe(ctx, s.loaded.Project.Name, nil)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(have.Containers, func(c plan.Container) bool {
		return c.Service != service || c.OneOff || c.State != plan.Running
	}), nil
}

// initialSync copies all that a rule syncs.
func (s *session) initialSync(ctx context.Context, r fswatch.Rule) {
	begin := time.Now()
	files, err := r.Files()
	var cs []plan.Container
	if err == nil {
		cs, err = s.containers(ctx, r.Service)
	}
	for _, c := range cs {
		if err == nil {
			err = s.sync(ctx, c, files)
		}
	}
	switch {
	case err != nil:
		s.failed(ctx, "", err)
	case len(cs) > 0:
		s.say("synced", r.Service, fmt.Sprintf("%s of %s", plural(len(files), "file"), s.names([]string{r.Path()})), time.Since(begin))
	}
}

// removedAtOnce is how many paths one command removes: its arguments have an
// end.
const removedAtOnce = 500

// sync removes files in a container, and copies others into it.
func (s *session) sync(ctx context.Context, c plan.Container, files []fswatch.File) error {
	var gone []string
	for _, f := range files {
		if f.Removed {
			gone = append(gone, f.Target)
		}
	}
	for some := range slices.Chunk(gone, removedAtOnce) {
		if err := s.runIn(ctx, c, deploy.ExecSpec{Cmd: append([]string{"rm", "-rf", "--"}, some...), User: "0"}); err != nil {
			return err
		}
	}
	if len(gone) == len(files) {
		return nil
	}
	err := s.unpack(ctx, c, files, false)
	if dockerx.IsOverwrite(err) {
		// A folder of this machine is a link or a file there. What is in a
		// folder finds its way through a link; a file makes way.
		err = s.unpack(ctx, c, files, true)
	}
	if dockerx.IsReadOnly(err) {
		return &configError{fmt.Errorf("sync files into %s: its root is read-only", c.Name), "use the action rebuild for these files, or mount their folder"}
	}
	return err
}

func (s *session) unpack(ctx context.Context, c plan.Container, files []fswatch.File, replace bool) error {
	r, w := io.Pipe()
	made := make(chan error, 1)
	go func() {
		_, err := fswatch.Archive(w, files, !replace)
		_ = w.CloseWithError(err)
		made <- err
	}()
	err := s.engine.Unpack(ctx, c.ID, r, replace)
	_ = r.Close()
	if archived := <-made; archived != nil && !errors.Is(archived, io.ErrClosedPipe) {
		return fmt.Errorf("sync files into %s: %w", c.Name, archived)
	}
	return err
}

// runIn runs a command in a container; one that fails is an error with what it
// said last.
func (s *session) runIn(ctx context.Context, c plan.Container, spec deploy.ExecSpec) error {
	var said lastBytes
	spec.Stdout, spec.Stderr = &said, &said
	code, err := s.engine.Exec(ctx, c.ID, spec)
	if err != nil {
		return err
	}
	if code != 0 {
		return &answerError{fmt.Sprintf("%s in %s ended with exit code %d: %s", spec.Cmd[0], c.Name, code, harmless(said.text())), "run it by hand: `docker exec`"}
	}
	return nil
}

func (s *session) exec(ctx context.Context, cs []plan.Container, x types.ServiceHook) error {
	var env []string
	for _, k := range slices.Sorted(maps.Keys(x.Environment)) {
		if v := x.Environment[k]; v != nil {
			env = append(env, k+"="+*v)
		} else if v, ok := s.loaded.Project.Environment[k]; ok {
			env = append(env, k+"="+v)
		}
	}
	for _, c := range cs {
		var out bytes.Buffer
		spec := deploy.ExecSpec{Cmd: x.Command, User: x.User, Dir: x.WorkingDir, Privileged: x.Privileged, Env: env, Stdout: &out, Stderr: &out}
		code, err := s.engine.Exec(ctx, c.ID, spec)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out.String()) {
			fmt.Fprintf(s.tool.err, "  | %s\n", harmless(strings.TrimRight(line, "\r\n")))
		}
		if code != 0 {
			return &answerError{fmt.Sprintf("`%s` in %s ended with exit code %d", strings.Join(x.Command, " "), c.Name, code), "what it said is above"}
		}
	}
	return nil
}

// restart stops and starts containers, and then those of services that are to
// be restarted with theirs.
func (s *session) restart(ctx context.Context, service string, cs []plan.Container) error {
	unlock, err := s.tool.lock(ctx, s.engine, s.loaded.Project.Name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.stopAndStart(ctx, cs); err != nil {
		return err
	}
	return s.restartDependents(ctx, service)
}

func (s *session) stopAndStart(ctx context.Context, cs []plan.Container) error {
	for _, c := range cs {
		if err := s.engine.Stop(ctx, c.ID, nil); err != nil {
			return err
		}
		// What has been stopped is started, also when someone ends the watch.
		if err := s.engine.Start(s.tool.cleanup(), c.ID); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) restartDependents(ctx context.Context, service string) error {
	for _, name := range s.loaded.Project.ServiceNames() {
		if !s.loaded.Project.Services[name].DependsOn[service].Restart {
			continue
		}
		cs, err := s.containers(ctx, name)
		if err != nil {
			return err
		}
		if err := s.stopAndStart(ctx, cs); err != nil {
			return err
		}
		s.say("restarted", name, "with "+service, 0)
	}
	return nil
}
