package deploy

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/plan"
)

// OperateRequest is a plan for containers that are there: to start, stop, kill,
// restart or remove some of them.
type OperateRequest struct {
	Name     string // of the project
	Plan     plan.Plan
	Have     plan.Observed  // what the plan was made of
	Since    time.Time      // when that was observed, by this machine's clock
	Project  *types.Project // for its hooks and health checks; from labels alone if nil
	Signal   string         // what a kill step sends
	Grace    *time.Duration // each container's own if nil
	Timeout  time.Duration  // for one component to get ready; DefaultTimeout if 0
	Volumes  bool           // removing takes anonymous volumes along
	Parallel int            // calls at a time; DefaultParallel if 0
	Report   func(Progress)
}

// Operate carries a plan out. It goes as far as it can: what depends on a step
// that failed isn't begun, the rest is.
func Operate(ctx context.Context, d Driver, req OperateRequest) error {
	e := newExecutor(d, UpRequest{Parallel: req.Parallel, Grace: req.Grace, Timeout: req.Timeout, Report: req.Report})
	e.project = fromLabels(req.Name, req.Have)
	if req.Project != nil {
		maps.Copy(e.project.Services, req.Project.Services)
		e.project.Secrets = req.Project.Secrets
	}
	e.volumes, e.carryOn, e.signal = req.Volumes, true, req.Signal
	if slices.ContainsFunc(req.Plan.Steps, waits) {
		w, stop, err := watch(ctx, d, req.Name, req.Since)
		if err != nil {
			return err
		}
		defer stop()
		e.watch = w
	}
	return e.run(ctx, req.Plan)
}

// fromLabels makes up as much of a project as labels tell: which components have
// a health endpoint of ww's.
func fromLabels(name string, have plan.Observed) *types.Project {
	p := &types.Project{Name: name, Services: types.Services{}}
	for _, c := range have.Containers {
		s := types.ServiceConfig{Name: c.Service, Labels: c.Labels}
		if c.Labels[LabelPort] != "" && c.Labels[LabelPhase] != phaseBus && c.Health != "" {
			s.HealthCheck = &types.HealthCheckConfig{Test: types.HealthCheckTest{"CMD", "/ww", "health"}}
		}
		p.Services[c.Service] = s
	}
	return p
}

// OneOffRequest is a container of a service that runs one command.
type OneOffRequest struct {
	UpRequest                     // the project is narrowed to the service and what it needs
	Service   types.ServiceConfig // as the container is to be; its name is the service's
	Name      string              // of the container
	Slug      string              // that tells it from others
	Remove    bool                // the engine removes it when it ends
	Stdin     bool                // it gets this process's input, and its end
	Aliases   bool                // it answers to the service's names
}

// OneOff brings what a one-off container needs, and creates it. When it fails
// or is cancelled, the result's Undo removes what was made.
func OneOff(ctx context.Context, d Driver, req OneOffRequest) (id string, res UpResult, err error) {
	e := newExecutor(d, req.UpRequest)
	res.Undo, res.Stays = e.undo, e.stays
	have, since, err := e.images(ctx, req.UpRequest)
	if err != nil {
		return "", res, err
	}
	opts := req.Options
	opts.Build, opts.Pull = false, ""
	want, err := e.wanted(have)
	if err != nil {
		return "", res, err
	}
	if res.Plan, err = plan.OneOff(want, have, req.Service.Name, opts); err != nil {
		return "", res, err
	}
	e.labels = serviceLabels(want, have.Images, req.EnvFiles)
	e.peers = firstContainers(have)
	if !res.Plan.Empty() {
		w, stop, err := watch(ctx, d, req.Project.Name, since)
		if err != nil {
			return "", res, err
		}
		defer stop()
		e.watch = w
		if err := e.run(ctx, res.Plan); err != nil {
			return "", res, err
		}
	}
	labels := maps.Clone(e.labels[req.Service.Name])
	labels[labelOneOff], labels[labelSlug] = "True", req.Slug
	id, err = d.Create(ctx, req.Project, ContainerSpec{
		Service: req.Service, Number: 1, Name: req.Name, Labels: labels,
		AutoRemove: req.Remove, StdinOnce: req.Stdin, UseAliases: req.Aliases,
	})
	return id, res, err
}

// PreviewOneOff plans a OneOff, and the start of its container, without doing
// anything.
func PreviewOneOff(ctx context.Context, d Driver, req OneOffRequest) (plan.Plan, error) {
	have, err := d.Observe(ctx, req.Project.Name, req.Project)
	if err != nil {
		return plan.Plan{}, err
	}
	want, err := newExecutor(d, req.UpRequest).wanted(have)
	if err != nil {
		return plan.Plan{}, err
	}
	p, err := plan.OneOff(want, have, req.Service.Name, req.Options)
	if err != nil {
		return p, err
	}
	var before []int
	for _, s := range p.Steps {
		before = append(before, s.ID)
	}
	step := plan.Step{ID: len(p.Steps) + 1, Op: plan.Create, Service: req.Service.Name, Name: req.Name, Needs: before}
	start := step
	start.ID, start.Op, start.Needs = step.ID+1, plan.Start, []int{step.ID}
	p.Steps = append(p.Steps, step, start)
	return p, nil
}

const (
	labelSlug = "com.docker.compose.slug"

	// LabelProject holds a project's name.
	LabelProject = labelProject
	// LabelFiles lists the compose files that a project was made of, with commas.
	LabelFiles = labelFiles
)
