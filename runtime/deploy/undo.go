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
		if !retired[s.Target] {
			before = []int{add(plan.Step{Op: plan.Start, Service: s.Service, Number: s.Number, Name: s.Name, Target: s.Target, Needs: before, Cause: "it was stopped for what has failed"})}
		}
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
