// Package deploy carries out plans over a driver, and holds the coordinators
// of starting up and shutting down. It tells what it does as it goes, undoes
// what a failed start has made, and leaves nothing running that it started.
package deploy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/plan"
)

// UpRequest is a project to bring up.
type UpRequest struct {
	Project  *types.Project
	Hashes   map[string]string // of the services' configurations
	EnvFiles []string          // for the label
	Options  plan.Options
	Parallel int            // calls at a time; DefaultParallel if 0
	Timeout  time.Duration  // for one component to get ready; DefaultTimeout if 0
	Grace    *time.Duration // for containers that are replaced; each one's own if nil
	Report   func(Progress) // called from several goroutines
}

// DefaultTimeout is how long a component may take to get ready.
const DefaultTimeout = 60 * time.Second

// UpResult is what an Up did.
type UpResult struct {
	Plan    plan.Plan
	Elapsed time.Duration
	// Undo removes what the run created, containers first. It is never nil.
	// Volumes that were there before are not touched.
	Undo func(ctx context.Context) error
}

// Preview plans an up without doing anything.
func Preview(ctx context.Context, d Driver, req UpRequest) (plan.Plan, error) {
	have, err := d.Observe(ctx, req.Project.Name, req.Project)
	if err != nil {
		return plan.Plan{}, err
	}
	return plan.Up(req.Project, req.Hashes, have, req.Options)
}

// Up brings a project up. When it fails or is cancelled, what it has made so
// far is there until the result's Undo is called.
func Up(ctx context.Context, d Driver, req UpRequest) (UpResult, error) {
	begin := time.Now()
	e := newExecutor(d, req)
	res := UpResult{Undo: e.undo}
	have, err := e.images(ctx, req)
	if err != nil {
		return res, err
	}
	opts := req.Options
	opts.Build = false
	if opts.Pull == types.PullPolicyAlways {
		opts.Pull = ""
	}
	p, err := plan.Up(req.Project, req.Hashes, have, opts)
	res.Plan = p
	if err != nil || p.Empty() {
		return res, err
	}
	e.labels = serviceLabels(req.Project, req.Hashes, have.Images, req.EnvFiles)
	// A second back: the engine's clock may be another one.
	w, stop, err := watch(ctx, d, req.Project.Name, begin.Add(-time.Second))
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
		driver: d, project: req.Project, parallel: req.Parallel, report: req.Report, grace: req.Grace,
		timeout: req.Timeout, ids: map[int]string{},
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

// images builds and pulls what is missing, and returns what there is then.
func (e *executor) images(ctx context.Context, req UpRequest) (plan.Observed, error) {
	have, err := e.driver.Observe(ctx, req.Project.Name, req.Project)
	if err != nil {
		return have, err
	}
	p, err := plan.Images(req.Project, have, req.Options)
	if err != nil || p.Empty() {
		return have, err
	}
	if err := e.run(ctx, p); err != nil {
		return have, err
	}
	return e.driver.Observe(ctx, req.Project.Name, req.Project)
}

// Images builds or pulls images, and nothing else.
func Images(ctx context.Context, d Driver, req UpRequest, want func(plan.Step) bool) (plan.Plan, error) {
	e := newExecutor(d, req)
	have, err := d.Observe(ctx, req.Project.Name, req.Project)
	if err != nil {
		return plan.Plan{}, err
	}
	p, err := plan.Images(req.Project, have, req.Options)
	if err != nil {
		return p, err
	}
	p.Steps = slices.DeleteFunc(p.Steps, func(s plan.Step) bool { return !want(s) })
	for i := range p.Steps {
		p.Steps[i].ID = i + 1 // image steps need nothing
	}
	return p, e.run(ctx, p)
}

func (e *executor) undo(ctx context.Context) error {
	e.mu.Lock()
	created := slices.Clone(e.created)
	e.mu.Unlock()
	var p plan.Plan
	var removed []int
	add := func(op, undo plan.Op, needs []int) {
		for _, m := range created {
			if m.op == op {
				id := len(p.Steps) + 1
				p.Steps = append(p.Steps, plan.Step{ID: id, Op: undo, Name: m.name, Target: m.name, Needs: needs})
				removed = append(removed, id)
			}
		}
	}
	add(plan.Create, plan.Remove, nil)
	containers := slices.Clone(removed)
	add(plan.CreateNetwork, plan.RemoveNetwork, containers)
	add(plan.CreateVolume, plan.RemoveVolume, containers)
	u := newExecutor(e.driver, UpRequest{Project: e.project, Parallel: e.parallel})
	u.volumes, u.carryOn = true, true
	if err := u.run(ctx, p); err != nil {
		return fmt.Errorf("cleaning up: %w; `ww compose down` removes what is left", err)
	}
	return nil
}
