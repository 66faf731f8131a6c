package deploy

import (
	"context"
	"errors"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/plan"
)

// leastStops and mostStops are how many containers a down stops at the same time,
// where there are as many.
const leastStops, mostStops = 4, 64

// DownRequest is a project to take down.
type DownRequest struct {
	Name     string
	Project  *types.Project // for its hooks, where it is known
	Have     plan.Observed  // as Observe gave it
	Options  plan.DownOptions
	Grace    *time.Duration // each container's own if nil
	Parallel int            // calls at a time; if 0 as many as is fast for so many containers
	Report   func(Progress)
	Drain    Drain // needed where Options.Drain is set
	// Leave is called with each container that has stopped, before it is removed:
	// with it goes what it has written. May be nil.
	Leave  func(ctx context.Context, id string)
	Border Border
}

// Drain waits until nothing waits on the bus for some components, or for any
// where none is named, and tells how it gets on. That it fails ends nothing.
type Drain func(ctx context.Context, components []string, tell func(string)) error

// Down stops and removes a project. What is gone already is no error. It goes
// as far as it can: what depends on a step that failed stays, the rest goes.
func Down(ctx context.Context, d Driver, req DownRequest) (plan.Plan, error) {
	p := plan.Down(req.Have, req.Options)
	if req.Parallel == 0 {
		// A stop is mostly waiting for a process, so more of them are under way than
		// other calls; but containers leave their network faster when not all do so
		// at once.
		req.Parallel = min(max(leastStops, len(req.Have.Containers)*2/3), mostStops)
	}
	e := newExecutor(d, UpRequest{Parallel: req.Parallel, Report: req.Report, Grace: req.Grace, Border: req.Border})
	e.project, e.drain, e.leave = req.Project, req.Drain, req.Leave
	e.volumes, e.carryOn = req.Options.Volumes, true
	err := e.run(ctx, req.Border.join(p))
	var ee *EngineError
	if errors.As(err, &ee) && ee.Kind == Conflict && ee.Remedy == "" {
		ee.Remedy = "something that isn't part of the project uses it: `docker network inspect` and `docker ps -a` tell what"
	}
	return p, err
}
