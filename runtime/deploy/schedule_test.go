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
	if want := []int{3, 4, 1, 5, 2, 6, 7}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

// TestScheduleCreatesAloneWhatOthersWaitFor: while that is created, steps of other
// kinds go on and other containers aren't created; where it has to be pulled
// before, they are.
func TestScheduleCreatesAloneWhatOthersWaitFor(t *testing.T) {
	steps := []plan.Step{
		{ID: 1, Op: plan.Create, Name: "a"},
		{ID: 2, Op: plan.Create, Name: "b"},
		{ID: 3, Op: plan.CreateVolume, Name: "v"},
		{ID: 4, Op: plan.Create, Name: "bus"},
		{ID: 5, Op: plan.Start, Name: "bus", Needs: []int{4}},
		{ID: 6, Op: plan.Start, Name: "a", Needs: []int{1, 5}},
	}
	free := func(s *schedule) (ids []int) {
		for i, ok := s.next(); ok; i, ok = s.next() {
			ids = append(ids, s.steps[i].ID)
		}
		return ids
	}
	s := newSchedule(plan.Plan{Steps: steps}, 8)
	if got := free(s); !slices.Equal(got, []int{4, 3}) {
		t.Errorf("begun: %v", got)
	}
	s.done(2, true)
	if got := free(s); len(got) > 0 {
		t.Errorf("begun beside the creation of the bus: %v", got)
	}
	s.done(3, true)
	if got := free(s); !slices.Equal(got, []int{1, 5, 2}) {
		t.Errorf("begun after it: %v", got)
	}

	steps[3].Needs = []int{7}
	s = newSchedule(plan.Plan{Steps: append([]plan.Step{{ID: 7, Op: plan.Pull, Name: "bus"}}, steps...)}, 8)
	if got := free(s); !slices.Equal(got, []int{7, 1, 2, 3}) {
		t.Errorf("begun beside the pull: %v", got)
	}

	// One that fails holds nobody.
	s = newSchedule(plan.Plan{Steps: []plan.Step{steps[0], {ID: 4, Op: plan.Create, Name: "bus"}, steps[4], steps[5]}}, 8)
	free(s)
	s.done(1, false)
	if got := free(s); !slices.Equal(got, []int{1}) {
		t.Errorf("begun after a failure: %v", got)
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
