package main

import (
	"context"
	"errors"
	"testing"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func TestCrossing(t *testing.T) {
	b := newCrossing()
	ready := func(name string) plan.Step { return plan.Step{Op: plan.Ready, Service: name} }
	b.planned(plan.Plan{Steps: []plan.Step{ready("two"), ready("two"), {Op: plan.Start, Service: "old"}}}, []string{"old", "two"})
	if !b.has(moment{"old", false}) || b.has(moment{"two", false}) {
		t.Error("what isn't waited for is ready, and nothing else")
	}
	b.container(deploy.Progress{Step: ready("two"), Status: deploy.Running})
	b.container(deploy.Progress{Step: ready("two"), Status: deploy.Done})
	if b.has(moment{"two", false}) {
		t.Error("one of two containers is enough")
	}
	b.container(deploy.Progress{Step: ready("two"), Status: deploy.Done})
	if err := b.Ready(t.Context(), "two"); err != nil {
		t.Error(err)
	}
	b.component(deploy.Progress{Step: ready("here"), Status: deploy.Failed})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Ready(gone, "here"); !errors.Is(err, context.Canceled) {
		t.Errorf("a component that failed is ready: %v", err)
	}

	// Nobody waits for an end that isn't one in order.
	if err := b.Ended(gone, "here"); err != nil {
		t.Error(err)
	}
	b.stop()
	if err := b.Ended(gone, "here"); err == nil {
		t.Error("it has ended before it has")
	}
	stop := plan.Step{Op: plan.Stop, Service: "two"}
	b.ending(plan.Plan{Steps: []plan.Step{stop, stop}}, []string{"old", "two"})
	b.gone(deploy.Progress{Step: stop, Status: deploy.Done})
	if !b.has(moment{"old", true}) || b.has(moment{"two", true}) {
		t.Error("what isn't stopped has ended, and nothing else")
	}
	b.gone(deploy.Progress{Step: stop, Status: deploy.Failed})
	b.component(deploy.Progress{Step: plan.Step{Op: plan.Stop, Service: "here"}, Status: deploy.Done})
	for _, name := range []string{"two", "here"} {
		if err := b.Ended(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
}
