package deploy

import (
	"slices"
	"testing"

	"woodwork.dev/ww/runtime/plan"
)

func TestScheduleTakesTheLongestChainFirst(t *testing.T) {
	p := plan.Plan{Steps: []plan.Step{
		{ID: 1, Op: plan.Create, Name: "a"},
		{ID: 2, Op: plan.Create, Name: "b"},
		{ID: 3, Op: plan.Create, Name: "bus"},
		{ID: 4, Op: plan.Start, Name: "bus", Needs: []int{3}},
		{ID: 5, Op: plan.Ready, Name: "bus", Needs: []int{4}},
		{ID: 6, Op: plan.Start, Name: "a", Needs: []int{1, 5}},
		{ID: 7, Op: plan.Start, Name: "b", Needs: []int{2, 5}},
	}}
	s := newSchedule(p, 2)
	var order []int
	var running []int
	for {
		for i, ok := s.next(); ok; i, ok = s.next() {
			running = append(running, i)
			order = append(order, p.Steps[i].ID)
			calls := 0
			for _, r := range running {
				if !waits(p.Steps[r]) {
					calls++
				}
			}
			if calls > 2 {
				t.Fatalf("%d calls at a time", calls)
			}
		}
		if len(running) == 0 {
			break
		}
		s.done(running[0], true)
		running = running[1:]
	}
	if want := []int{3, 1, 4, 2, 5, 6, 7}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

func TestScheduleKeepsBackWhatNeedsAFailedStep(t *testing.T) {
	s := newSchedule(plan.Plan{Steps: []plan.Step{
		{ID: 1, Op: plan.Create}, {ID: 2, Op: plan.Start, Needs: []int{1}}, {ID: 3, Op: plan.Create},
	}}, 1)
	i, _ := s.next()
	s.done(i, false)
	if j, ok := s.next(); !ok || s.steps[j].ID != 3 {
		t.Fatalf("the independent step isn't handed out: %d, %v", j, ok)
	}
	if j, ok := s.next(); ok {
		t.Errorf("step %d is handed out", s.steps[j].ID)
	}
}
