package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"woodwork.dev/ww/runtime/plan"
)

// made is something that this run created, or may have created: a call that is
// cut leaves that open.
type made struct {
	op   plan.Op
	name string
	id   string // of a container; its name otherwise; empty: it isn't known
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
	}
	e.created = append(e.created, made{s.Op, s.Name, id})
	return err
}

func (e *executor) undo(ctx context.Context) error {
	created, err := e.madeByNow(ctx)
	var p plan.Plan
	add := func(op, undo plan.Op, needs []int) (ids []int) {
		for _, m := range created {
			if m.op == op {
				p.Steps = append(p.Steps, plan.Step{ID: len(p.Steps) + 1, Op: undo, Name: m.name, Target: m.id, Needs: needs})
				ids = append(ids, len(p.Steps))
			}
		}
		return ids
	}
	containers := add(plan.Create, plan.Remove, nil)
	add(plan.CreateNetwork, plan.RemoveNetwork, containers)
	add(plan.CreateVolume, plan.RemoveVolume, containers)
	u := newExecutor(e.driver, UpRequest{Project: e.project, Parallel: e.parallel})
	u.volumes, u.carryOn = true, true
	if err := errors.Join(err, u.run(ctx, p)); err != nil {
		return fmt.Errorf("cleaning up: %w; `ww compose down` removes what is left", err)
	}
	return nil
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
