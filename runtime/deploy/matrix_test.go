package deploy_test

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"time"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
)

var faults = map[string]enginetest.Fault{
	"fails": {Kind: enginetest.Fail, Message: "broken"},
	"cut":   {Kind: enginetest.Cut},
	"lost":  {Kind: enginetest.Lost},
	"hangs": {Kind: enginetest.Hang},
	"late":  {Kind: enginetest.Late, Delay: 10 * time.Millisecond},
}

// saysWhat matches errors that say what was being done, and to what.
var saysWhat = regexp.MustCompile(`(?m)^(look at project p|watch project p|run check in container p-\w+-1|` +
	`(create|start|stop|remove|rename) ((container|network|volume) )?(to )?([0-9a-f]{12}_)?p[-_]\w+|wait until ready ([0-9a-f]{12}_)?p-\w+-1)`)

// TestFaultsOfUp: whichever call of an up goes wrong in whichever way, the error
// says what was being done; the next up converges, and a down leaves nothing.
func TestFaultsOfUp(t *testing.T) {
	clean := three(t)
	clean.mustUp()
	calls := clean.fake.Calls()
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			each(t, calls, func(t *testing.T, op string, n int) {
				w := three(t)
				err := w.disturbed(op, n, fault, func(ctx context.Context) error {
					_, err := w.up(ctx)
					return err
				})
				w.checkFault(err, op, fault)
				w.mustUp()
				if again, err := deploy.Preview(w.ctx, w.driver, w.request()); err != nil || again.Changes() > 0 {
					t.Errorf("something is left to do: %v\n%s", err, again)
				}
				if n := len(w.observe().Containers); n != 3 {
					t.Errorf("%d containers", n)
				}
				if err := w.down(w.ctx); err != nil || w.left() != "" {
					t.Errorf("down: %v, left: %s", err, w.left())
				}
			})
		})
	}
}

// TestFaultsOfDown is the same for a down.
func TestFaultsOfDown(t *testing.T) {
	clean := three(t)
	clean.mustUp()
	before := len(clean.fake.Calls())
	if err := clean.down(clean.ctx); err != nil {
		t.Fatal(err)
	}
	calls := clean.fake.Calls()[before:]
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			each(t, calls, func(t *testing.T, op string, n int) {
				w := three(t)
				w.mustUp()
				err := w.disturbed(op, n, fault, w.down)
				w.checkFault(err, op, fault)
				w.mustUp()
				if n := len(w.observe().Containers); n != 3 {
					t.Errorf("%d containers", n)
				}
				if err := w.down(w.ctx); err != nil || w.left() != "" {
					t.Errorf("down: %v, left: %s", err, w.left())
				}
			})
		})
	}
}

// disturbed does something while the n-th call from now on of an operation goes
// wrong. What hangs is ended by a deadline.
func (w *world) disturbed(op string, n int, fault enginetest.Fault, f func(context.Context) error) error {
	fault.Op, fault.N = op, n
	before := len(w.fake.Calls(op))
	w.fake.Inject(fault)
	if fault.Kind != enginetest.Hang {
		return f(w.ctx)
	}
	ctx, cancel := context.WithCancelCause(w.ctx)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		w.fake.AwaitCalls(ctx, before+n, op)
		cancel(errDeadline)
	}()
	err := f(ctx)
	cancel(nil)
	<-stop
	return err
}

var errDeadline = errors.New("deadline")

func (w *world) checkFault(err error, op string, fault enginetest.Fault) {
	w.t.Helper()
	// A probe that fails is made again, and so is a listing whose connection
	// was closed.
	mayPass := fault.Kind != enginetest.Hang && (op == "exec.create" || op == "exec.start" || op == "exec.inspect") ||
		fault.Kind == enginetest.Cut || fault.Kind == enginetest.Lost
	switch {
	case err == nil && fault.Kind != enginetest.Late && !mayPass:
		w.t.Error("the fault isn't seen")
	case err != nil && fault.Kind == enginetest.Late:
		w.t.Errorf("late: %v", err)
	case err != nil && !saysWhat.MatchString(err.Error()):
		w.t.Errorf("it isn't said what was being done: %v", err)
	case fault.Kind == enginetest.Hang && !errors.Is(err, context.Canceled):
		w.t.Errorf("%v, want that it was cancelled", err)
	}
}
