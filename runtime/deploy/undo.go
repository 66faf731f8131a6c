package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"woodwork.dev/ww/runtime/plan"
)

// made is something that this run created, or may have created: a call that is
// cut leaves that open.
type made struct {
	op      plan.Op
	service string
	number  int
	name    string
	id      string // of a container; its name otherwise; empty: it isn't known

	replaces string // container whose place it takes
}

// finishWithin is how long a short call that changes something may go on when
// the run is over: its answer tells what there is to be undone, and nothing
// happens any more once the run has ended.
const finishWithin = time.Second

// finishing gives a context that ends finishWithin after ctx. The function that
// it returns releases it.
func finishing(ctx context.Context) (context.Context, func()) {
	call, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(finishWithin)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-call.Done():
		}
	})
	return call, func() { stop(); cancel() }
}

// making carries out a step that creates something, and notes what that was.
func (e *executor) making(ctx context.Context, s plan.Step, create func(context.Context) (string, error)) error {
	call, release := finishing(ctx)
	defer release()
	id, err := create(call)
	var engine *EngineError
	if err != nil && !isContext(err) && !(errors.As(err, &engine) && engine.Kind == Unreachable) {
		return err // the engine has refused
	}
	if err != nil {
		id = ""
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.Op == plan.Create && err == nil {
		e.ids[s.ID] = id
		if first, ok := e.peers[s.Service]; !ok || first == s.Replaces {
			e.peers[s.Service] = id
		}
	}
	e.created = append(e.created, made{op: s.Op, service: s.Service, number: s.Number, name: s.Name, id: id, replaces: s.Replaces})
	return err
}

// note looks up what a plan means to replace.
func (e *executor) note(p plan.Plan) {
	for _, s := range p.Steps {
		if s.Op == plan.Create && s.Replaces != "" {
			e.replaced[s.Replaces] = true
		}
	}
}

// stays lists the containers that this run made and that have taken the place
// of others for good, and the networks and volumes that it made anew.
func (e *executor) stays() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	names := slices.Clone(e.gone)
	for _, m := range e.created {
		if e.retired[m.replaces] {
			names = append(names, plan.FinalName(m.name))
		}
	}
	slices.Sort(names)
	return names
}

// undo takes back what a run that failed has done: what it created goes, unless
// it has taken a place already, and what it stopped is started again. A new
// container that is ready may have begun something, and gets its time to stop.
func (e *executor) undo(ctx context.Context) error {
	created, err := e.madeByNow(ctx)
	e.mu.Lock()
	retired, stopped, served := maps.Clone(e.retired), slices.Clone(e.stopped), maps.Clone(e.served)
	e.mu.Unlock()
	var p plan.Plan
	add := func(s plan.Step) int {
		s.ID = len(p.Steps) + 1
		p.Steps = append(p.Steps, s)
		return s.ID
	}
	var containers []int
	stays := false
	for _, m := range created {
		if m.op != plan.Create {
			continue
		}
		if retired[m.replaces] {
			stays = true
			continue
		}
		gone := plan.Step{Op: plan.Stop, Service: m.service, Number: m.number, Name: m.name, Target: m.id}
		if m.replaces != "" && served[m.id] {
			gone.Needs = []int{add(gone)}
		}
		gone.Op = plan.Remove
		containers = append(containers, add(gone))
	}
	for _, m := range created {
		switch {
		case stays: // it may be in use
		case m.op == plan.CreateNetwork:
			add(plan.Step{Op: plan.RemoveNetwork, Name: m.name, Target: m.id, Needs: containers})
		case m.op == plan.CreateVolume:
			add(plan.Step{Op: plan.RemoveVolume, Name: m.name, Target: m.id, Needs: containers})
		}
	}
	before := containers
	for _, s := range slices.Backward(stopped) { // what stopped last is what the others need
		if retired[s.Target] {
			continue
		}
		again := plan.Step{Op: plan.Start, Service: s.Service, Number: s.Number, Name: s.Name, Target: s.Target, Needs: before, Cause: "it was stopped for what has failed"}
		before = []int{add(again)}
		if e.wasPaused(s.Target) {
			again.Op, again.Needs = plan.Pause, before
			add(again)
		}
	}
	for _, s := range e.movedBack(created, retired) {
		add(s)
	}
	u := newExecutor(e.driver, UpRequest{Parallel: e.parallel, Report: func(p Progress) {
		if p.Step.Op == plan.Start {
			e.report(p)
		}
	}})
	u.volumes, u.carryOn = true, true
	if err := errors.Join(err, u.run(ctx, p)); err != nil {
		return fmt.Errorf("cleaning up: %w; `ww compose up` goes on, and `ww compose down` removes what is left", err)
	}
	return nil
}

// wasPaused reports whether a container was paused before the run.
func (e *executor) wasPaused(id string) bool {
	return slices.ContainsFunc(e.before.Containers, func(c plan.Container) bool { return c.ID == id && c.State == plan.Paused })
}

// moves notes that a step gives a tag to another image.
func (e *executor) moves(s plan.Step) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.moved[s.Name] = s.Service
}

// movedBack gives the steps that bring the tags back that this run has moved
// away from the images of containers that stay: whatever makes another container
// of the service, or makes it anew, is to use what works. Where a container of
// the new image stays, so does the tag.
func (e *executor) movedBack(created []made, retired map[string]bool) []plan.Step {
	e.mu.Lock()
	moved := maps.Clone(e.moved)
	e.mu.Unlock()
	var steps []plan.Step
	for _, ref := range slices.Sorted(maps.Keys(moved)) {
		uses := func(service string) bool {
			s, ok := e.project.Services[service]
			return ok && plan.ImageOf(e.project, s) == ref
		}
		if slices.ContainsFunc(created, func(m made) bool { return m.op == plan.Create && uses(m.service) && retired[m.replaces] }) {
			continue
		}
		id := ""
		for _, c := range e.before.Containers {
			switch {
			case !uses(c.Service) || c.OneOff || retired[c.ID]:
			case c.Image == ref:
				id = c.ImageID
			case c.Image == c.ImageID && id == "": // its tag had been moved away before
				id = e.before.Images[ref]
			}
		}
		if id != "" {
			steps = append(steps, plan.Step{Op: plan.Tag, Service: moved[ref], Name: ref, Target: id})
		}
	}
	return steps
}

// madeByNow lists what this run created. Where a call didn't tell, it looks
// whether the project has something of that name now: it had none when the plan
// was made, or the plan has removed it.
func (e *executor) madeByNow(ctx context.Context) ([]made, error) {
	e.mu.Lock()
	created := slices.Clone(e.created)
	e.mu.Unlock()
	unknown := func(m made) bool { return m.id == "" }
	if !slices.ContainsFunc(created, unknown) {
		return created, nil
	}
	have, err := e.driver.Observe(ctx, e.project.Name, nil)
	for i, m := range created {
		if unknown(m) {
			created[i].id = appeared(m, have)
		}
	}
	return slices.DeleteFunc(created, unknown), err
}

// appeared gives the id of what a call may have made, if it is there.
func appeared(m made, now plan.Observed) string {
	switch m.op {
	case plan.Create:
		for _, c := range now.Containers {
			if c.Name == m.name {
				return c.ID
			}
		}
	case plan.CreateNetwork:
		for _, n := range now.Networks {
			if n.Name == m.name && n.Owned {
				return n.ID
			}
		}
	case plan.CreateVolume:
		for _, v := range now.Volumes {
			if v.Name == m.name && v.Owned {
				return v.Name
			}
		}
	}
	return ""
}
