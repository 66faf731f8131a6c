// Package deploy carries out plans over a driver, and holds the coordinators
// of starting up and shutting down. It tells what it does as it goes, undoes
// what a failed start has made, and leaves nothing running that it started.
package deploy

import (
	"context"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/plan"
)

// UpRequest is a project to bring up.
type UpRequest struct {
	Project  *types.Project
	Digests  Digests
	EnvFiles []string // for the label
	Options  plan.Options
	// BuildMemory is how many bytes a step of a build may take; no limit if 0.
	BuildMemory int64
	Parallel    int            // calls at a time; DefaultParallel if 0
	Timeout     time.Duration  // for one component to get ready; DefaultTimeout if 0
	Grace       *time.Duration // for containers that are replaced; each one's own if nil
	Report      func(Progress) // called from several goroutines
	// Confirm is asked whether volumes may be made anew, which loses what they
	// hold. Without it, or where it says no, they stay as they are.
	Confirm func([]plan.Volume) (bool, error)
	Drain   Drain // for components that the project has no more; nil for none
	Border  Border
}

// DefaultTimeout is how long a component may take to get ready.
const DefaultTimeout = 60 * time.Second

// UpResult is what an Up did.
type UpResult struct {
	Plan    plan.Plan
	Elapsed time.Duration
	// Undo removes what the run created, containers first, starts again what it
	// stopped for that, and gives the tags of images that it built or pulled back
	// to those that the containers have. A container that has taken the place of
	// another one stays. It is never nil, and may be called again. What was there
	// before is not touched.
	Undo func(ctx context.Context) error
	// Stays lists the containers that have taken the place of others by now, and
	// the networks and volumes that were made anew, which Undo leaves: replicas that were replaced before a later one failed,
	// and what uses a network or volume that was made anew. It is never nil.
	Stays func() []string
}

// Preview plans an up without doing anything.
func Preview(ctx context.Context, d Driver, req UpRequest) (plan.Plan, error) {
	have, err := d.Observe(ctx, req.Project.Name, req.Project)
	if err != nil {
		return plan.Plan{}, err
	}
	_, p, err := newExecutor(d, req).plan(ctx, have, req.Options)
	return p, err
}

// Up brings a project up. When it fails or is cancelled, what it has made so
// far is there until the result's Undo is called.
func Up(ctx context.Context, d Driver, req UpRequest) (UpResult, error) {
	begin := time.Now()
	e := newExecutor(d, req)
	res := UpResult{Undo: e.undo, Stays: e.stays}
	have, since, err := e.images(ctx, req)
	if err != nil {
		return res, err
	}
	opts := req.Options
	opts.Build = false
	if opts.Pull == types.PullPolicyAlways {
		opts.Pull = ""
	}
	want, p, err := e.plan(ctx, have, opts)
	if err == nil && len(p.Diverged) > 0 && req.Confirm != nil {
		if opts.RecreateVolumes, err = req.Confirm(p.Diverged); err == nil && opts.RecreateVolumes {
			want, p, err = e.plan(ctx, have, opts)
		}
	}
	res.Plan = p
	if err != nil {
		return res, err
	}
	if p = req.Border.join(p); p.Empty() {
		return res, nil
	}
	e.labels = serviceLabels(want, have.Images, req.EnvFiles)
	e.peers = firstContainers(have)
	w, stop, err := watch(ctx, d, req.Project.Name, since)
	if err != nil {
		return res, err
	}
	defer stop()
	e.watch = w
	err = e.run(ctx, p)
	res.Elapsed = time.Since(begin)
	return res, err
}

func newExecutor(d Driver, req UpRequest) *executor {
	e := &executor{
		driver: d, project: req.Project, digests: req.Digests, parallel: req.Parallel, report: req.Report, grace: req.Grace,
		timeout: req.Timeout, drain: req.Drain, border: req.Border, renew: req.Options.RenewAnonVolumes, memory: req.BuildMemory, ids: map[int]string{},
		moved: map[string]string{}, replaced: map[string]bool{}, retired: map[string]bool{}, served: map[string]bool{}, unpaused: map[string]bool{},
	}
	if e.parallel == 0 {
		e.parallel = DefaultParallel()
	}
	if e.timeout == 0 {
		e.timeout = DefaultTimeout
	}
	if e.report == nil {
		e.report = func(Progress) {}
	}
	return e
}

// images builds and pulls what is missing, and returns what there is then, and
// from when on events tell more than that.
func (e *executor) images(ctx context.Context, req UpRequest) (plan.Observed, time.Time, error) {
	since := time.Now()
	have, err := e.driver.Observe(ctx, req.Project.Name, req.Project)
	if err != nil {
		return have, since, err
	}
	e.before = have
	p, err := plan.Images(req.Project, have, req.Options)
	if err != nil || p.Empty() {
		return have, since, err
	}
	if err := e.run(ctx, p); err != nil {
		return have, since, err
	}
	since = time.Now()
	have, err = e.driver.Observe(ctx, req.Project.Name, req.Project)
	return have, since, err
}

// Carry carries a plan for a project out that was made of what there is, such as
// one for its images.
func Carry(ctx context.Context, d Driver, req UpRequest, p plan.Plan) error {
	return newExecutor(d, req).run(ctx, p)
}
