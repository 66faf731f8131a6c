package deploy

import (
	"context"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/plan"
)

// quiet is when a plan's calls are all made. A health check costs an engine as
// much as half a start: where nothing waits for what it says, and the engine runs it
// soon anyway, there is no use in running it while other containers start.
type quiet struct {
	needed map[int]bool // steps that others wait for
	calls  int          // that aren't made yet
	now    chan struct{}
}

// soon is an interval of checks that is short enough to wait for the engine's.
const soon = 2 * time.Second

func newQuiet(p plan.Plan) *quiet {
	q := &quiet{needed: map[int]bool{}, now: make(chan struct{})}
	for _, s := range p.Steps {
		for _, id := range s.Needs {
			q.needed[id] = true
		}
		if !waits(s) {
			q.calls++
		}
	}
	q.check()
	return q
}

// made counts a step that has ended. It is called by one goroutine, as newQuiet is.
func (q *quiet) made(s plan.Step) {
	if !waits(s) {
		q.calls--
		q.check()
	}
}

func (q *quiet) check() {
	if q.calls == 0 {
		close(q.now)
		q.calls-- // once
	}
}

// await waits until it is time to run a check that a step waits for. The engine
// has run its own at the latest when that is over.
func (q *quiet) await(ctx context.Context, s plan.Step, h *types.HealthCheckConfig) {
	first := firstCheck(h)
	if q.needed[s.ID] || first > soon {
		return
	}
	timer := time.NewTimer(first)
	defer timer.Stop()
	select {
	case <-q.now:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// firstCheck is how long after its start a container is checked for the first time.
func firstCheck(h *types.HealthCheckConfig) time.Duration {
	if h == nil || h.Interval == nil || *h.Interval == 0 {
		return 30 * time.Second
	}
	return time.Duration(*h.Interval)
}
