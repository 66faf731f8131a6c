package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/plan"
)

// Status is how far a step is.
type Status string

const (
	Running Status = "running"
	Done    Status = "done"
	Failed  Status = "failed"
	Info    Status = "info" // a word about a running step: Text
)

// Progress is what a user interface is told.
type Progress struct {
	Step    plan.Step
	Status  Status
	Elapsed time.Duration // of the step
	Text    string        // a line of a builder's output, a share of a pull
	Err     error
}

// executor runs a plan: every step as soon as what it needs is done. Nothing
// that depends on a failed step is begun; the first failure ends everything,
// unless it is to carry on.
type executor struct {
	driver   Driver
	project  *types.Project // may be nil where something is taken down
	digests  Digests
	parallel int
	report   func(Progress)
	labels   map[string]map[string]string // of containers, by service
	grace    *time.Duration               // for stopping; each container's own if nil
	volumes  bool                         // removing takes anonymous volumes along
	timeout  time.Duration                // for one component to get ready
	carryOn  bool                         // a failure ends only what depends on it
	signal   string                       // what a kill sends
	memory   int64                        // of a build's steps
	renew    bool                         // a replaced container's anonymous volumes go with it
	drain    Drain
	leave    func(ctx context.Context, id string) // before a container is removed; may be nil
	border   Border

	watch     *watcher
	addresses *addresses
	quiet     *quiet

	mu      sync.Mutex
	ids     map[int]string    // create step → container
	peers   map[string]string // service → container that references to it mean
	created []made
	gone    []string    // networks and volumes that it has removed
	stopped []plan.Step // in the order in which that was begun
	// replaced, retired, served and unpaused are containers that the plan
	// replaces, that are being removed, that were ready, and that go on.
	replaced, retired, served, unpaused map[string]bool

	before plan.Observed     // what there was
	moved  map[string]string // image references that were built or pulled → the service
}

// DefaultParallel is how many calls that change something are under way at
// once. Attaching to a bridge dominates a start, and more of them at a time than
// this only wait for each other; see the measurements of `make bench`.
func DefaultParallel() int { return min(max(8, 8*runtime.NumCPU()), 64) }

func (e *executor) run(ctx context.Context, p plan.Plan) error {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type result struct {
		at  int
		err error
	}
	e.note(p)
	e.quiet = newQuiet(p)
	if e.project != nil {
		e.addresses = newAddresses(ctx, e.driver, e.project.Name, p)
		defer e.addresses.close()
	}
	todo := newSchedule(p, e.parallel)
	results := make(chan result)
	running := 0
	var failures, interrupted error
	for {
		for ctx.Err() == nil {
			i, ok := todo.next()
			if !ok {
				break
			}
			running++
			go func() { results <- result{i, e.step(ctx, p.Steps[i])} }()
		}
		if running == 0 {
			break
		}
		r := <-results
		running--
		s := p.Steps[r.at]
		e.quiet.made(s)
		if outer.Err() != nil && interrupted == nil {
			interrupted = fmt.Errorf("%s %s: %w", s.Op, s.Name, outer.Err())
		}
		ok := r.err == nil || s.Optional && ctx.Err() == nil
		switch {
		case ok:
		case e.carryOn && ctx.Err() == nil:
			failures = errors.Join(failures, r.err)
		default:
			cancel(r.err)
		}
		todo.done(r.at, ok)
	}
	cause := context.Cause(ctx)
	if outer.Err() != nil && cause == context.Cause(outer) && interrupted != nil {
		cause = interrupted // it says what was under way
	}
	return errors.Join(cause, failures)
}

// waits tells whether a step makes no call that changes something.
func waits(s plan.Step) bool {
	return s.Op == plan.Ready || s.Op == plan.Completed || s.Op == plan.Drain || s.Op == plan.Await
}

// step does one step and tells of it.
func (e *executor) step(ctx context.Context, s plan.Step) error {
	if s.Op == plan.Await { // whoever does it tells
		return e.border.Await(ctx, s.Name)
	}
	begin := time.Now()
	e.report(Progress{Step: s, Status: Running})
	err := e.do(ctx, s)
	elapsed := time.Since(begin)
	if err != nil {
		if ctx.Err() != nil && isContext(err) {
			return err // another step's failure, or the user, ended it
		}
		e.name(err, s)
		e.report(Progress{Step: s, Status: Failed, Elapsed: elapsed, Err: err})
		return err
	}
	if s.Op == plan.Ready {
		id := e.container(s)
		e.mu.Lock()
		e.served[id] = true
		e.mu.Unlock()
	}
	e.report(Progress{Step: s, Status: Done, Elapsed: elapsed})
	return nil
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// name has an engine's error name a container or network by its name where the
// driver was given the id.
func (e *executor) name(err error, s plan.Step) {
	var ee *EngineError
	if id := e.container(s); id != "" && errors.As(err, &ee) {
		ee.What = strings.ReplaceAll(ee.What, id, s.Name)
	}
}

func (e *executor) do(ctx context.Context, s plan.Step) error {
	switch s.Op {
	case plan.Build:
		e.moves(s)
		return e.build(ctx, s)
	case plan.Pull:
		e.moves(s)
		platform := e.project.Services[s.Service].Platform
		return e.driver.Pull(ctx, s.Name, platform, func(done float64, what string) {
			e.report(Progress{Step: s, Status: Info, Text: fmt.Sprintf("%3.0f%% %s", done*100, what)})
		})
	case plan.Push:
		return e.driver.Push(ctx, s.Name, func(done float64, what string) {
			e.report(Progress{Step: s, Status: Info, Text: fmt.Sprintf("%3.0f%% %s", done*100, what)})
		})
	case plan.CreateNetwork:
		return e.making(ctx, s, func(ctx context.Context) (string, error) {
			return s.Name, e.driver.CreateNetwork(ctx, e.project, s.Service)
		})
	case plan.CreateVolume:
		return e.making(ctx, s, func(ctx context.Context) (string, error) {
			return s.Name, e.driver.CreateVolume(ctx, e.project, s.Service)
		})
	case plan.Create:
		return e.create(ctx, s)
	case plan.Ready:
		return e.awaitReady(ctx, s)
	case plan.Completed:
		return e.awaitCompleted(ctx, s)
	case plan.Stop:
		return e.stop(ctx, s)
	case plan.Kill: // who kills wants no hooks
		return e.driver.Kill(ctx, s.Target, e.signal)
	case plan.Drain:
		if e.drain == nil {
			return nil
		}
		return e.drain(ctx, s.Components, func(text string) { e.report(Progress{Step: s, Status: Info, Text: text}) })
	case plan.Start:
		return e.start(ctx, s)
	case plan.Remove:
		if e.leave != nil {
			e.leave(ctx, s.Target)
		}
	}
	return e.change(ctx, s)
}

// change does a step that is one short call.
func (e *executor) change(ctx context.Context, s plan.Step) error {
	ctx, release := finishing(ctx)
	defer release()
	switch s.Op {
	case plan.Remove:
		e.mu.Lock()
		e.retired[s.Target] = true
		anonymous := e.volumes || e.renew && e.replaced[s.Target]
		e.mu.Unlock()
		return e.driver.Remove(ctx, s.Target, anonymous)
	case plan.Unpause:
		e.mu.Lock()
		e.unpaused[s.Target] = true
		e.mu.Unlock()
		return e.driver.Unpause(ctx, s.Target)
	case plan.Pause:
		return e.driver.Pause(ctx, s.Target)
	case plan.Tag:
		return e.driver.Tag(ctx, s.Target, s.Name)
	case plan.Rename:
		return e.driver.Rename(ctx, e.container(s), s.Name)
	case plan.RemoveNetwork:
		return e.unmade("network "+s.Name, e.driver.RemoveNetwork(ctx, s.Target))
	case plan.RemoveVolume:
		return e.unmade("volume "+s.Name, e.driver.RemoveVolume(ctx, s.Target))
	case plan.RemoveImage:
		return e.driver.RemoveImage(ctx, s.Target)
	}
	return fmt.Errorf("step %d: there is no operation %q", s.ID, s.Op)
}

// unmade notes what is gone, to be made anew.
func (e *executor) unmade(what string, err error) error {
	if err == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.gone = append(e.gone, what)
	}
	return err
}

func (e *executor) build(ctx context.Context, s plan.Step) error {
	svc := e.project.Services[s.Service]
	_, err := e.driver.Build(ctx, BuildSpec{
		Service: s.Service, Image: s.Name, Build: svc.Build, Platform: svc.Platform,
		NoCache: svc.Build.NoCache, Pull: svc.Build.Pull, Memory: e.memory,
		Labels: map[string]string{labelProject: e.project.Name, labelService: s.Service, labelVersion: composeVersion},
	}, func(line string) {
		e.report(Progress{Step: s, Status: Info, Text: line})
	})
	return err
}

func (e *executor) create(ctx context.Context, s plan.Step) error {
	svc := e.project.Services[s.Service]
	e.mu.Lock()
	peers := maps.Clone(e.peers)
	e.mu.Unlock()
	labels := map[string]string{labelNumber: fmt.Sprint(s.Number)}
	for k, v := range e.labels[s.Service] {
		labels[k] = v
	}
	if plan.SharesContainers(svc) {
		// The digest names containers that weren't there when it was planned.
		for label, of := range map[string]func(types.ServiceConfig) (string, error){labelHash: e.digests.Service, LabelEffect: e.digests.Effect} {
			if err := digest(labels, label, of, named(svc, peers)); err != nil {
				return err
			}
		}
	}
	if s.Replaces != "" {
		labels[labelReplace] = svc.ContainerName
		if svc.ContainerName == "" {
			labels[labelReplace] = fmt.Sprintf("%s-%d", svc.Name, s.Number)
		}
	}
	inherit(&svc, s.Inherit)
	return e.making(ctx, s, func(ctx context.Context) (string, error) {
		return e.driver.Create(ctx, e.project, ContainerSpec{Service: svc, Number: s.Number, Name: s.Name, Labels: labels, Peers: peers})
	})
}

// inherit gives a service the anonymous volumes of the container that it
// replaces, but for places where it has something else now.
func inherit(s *types.ServiceConfig, mounts []plan.Mount) {
	s.Volumes = slices.Clone(s.Volumes)
	for _, m := range mounts {
		at := slices.IndexFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == m.Target })
		switch {
		case at < 0:
			s.Volumes = append(s.Volumes, types.ServiceVolumeConfig{Type: types.VolumeTypeVolume, Source: m.Volume, Target: m.Target})
		case s.Volumes[at].Type == types.VolumeTypeVolume && s.Volumes[at].Source == "":
			s.Volumes[at].Source = m.Volume
		}
	}
}

// start starts a container and runs its hooks.
func (e *executor) start(ctx context.Context, s plan.Step) error {
	id := e.container(s)
	call, release := finishing(ctx)
	err := unstartable(e.driver.Start(call, id), s)
	release()
	if e.project == nil {
		return err
	}
	e.addresses.started()
	if err != nil {
		return err
	}
	for _, hook := range e.project.Services[s.Service].PostStart {
		if err := e.hook(ctx, s, id, "post_start", hook); err != nil {
			return err
		}
	}
	return nil
}

// stop runs a container's hooks and stops it. That a hook fails is told, and
// keeps nothing from stopping.
func (e *executor) stop(ctx context.Context, s plan.Step) error {
	e.mu.Lock()
	e.stopped = append(e.stopped, s)
	e.mu.Unlock()
	if e.project != nil {
		for _, hook := range e.project.Services[s.Service].PreStop {
			if err := e.hook(ctx, s, s.Target, "pre_stop", hook); err != nil {
				e.report(Progress{Step: s, Status: Info, Text: err.Error()})
			}
		}
	}
	return e.driver.Stop(ctx, s.Target, e.grace)
}

// hook runs a command of a service's lifecycle in its container.
func (e *executor) hook(ctx context.Context, s plan.Step, id, which string, h types.ServiceHook) error {
	var out lines
	code, err := e.driver.Exec(ctx, id, ExecSpec{
		Cmd: h.Command, User: h.User, Privileged: h.Privileged, Dir: h.WorkingDir, Env: environment(h.Environment), Stdout: &out, Stderr: &out,
	})
	if err == nil && code == 0 {
		return nil
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	reason := fmt.Sprintf("%s hook %q exited with code %d", which, strings.Join(h.Command, " "), code)
	if err != nil {
		reason = fmt.Sprintf("%s hook %q: %v", which, strings.Join(h.Command, " "), err)
	}
	return &ComponentError{Service: s.Service, Container: s.Name, Reason: reason, Logs: out.last(LogLines), Started: true}
}

func environment(m types.MappingWithEquals) []string {
	var env []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if v := m[k]; v != nil {
			env = append(env, k+"="+*v)
		}
	}
	return env
}

// container gives the id of the container that a step is about.
func (e *executor) container(s plan.Step) string {
	if s.Target != "" {
		return s.Target
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ids[s.AwaitStep]
}
