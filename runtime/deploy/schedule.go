package deploy

import (
	"container/heap"

	"woodwork.dev/ww/runtime/plan"
)

// schedule hands out the steps of a plan: each as soon as what it needs is
// done, not more than a number of calls at a time, and those first on which the
// longest chain of others waits. Steps that only wait count for nothing.
//
// Containers that are created at the same time hold each other up: all of them
// are there at the same time, the bus as well, for which the others wait. So no
// other is created while that is.
type schedule struct {
	steps      []plan.Step
	needs      []int   // how many steps each one still waits for
	dependents [][]int // indices
	height     []int   // length of the longest chain that waits for it
	waits      []int   // free steps that make no call
	calls      []int   // free steps that do: a heap
	slots      int
	top        int   // height of the creations that the longest chain waits for
	topAway    int   // of those, how many are under way
	held       []int // other creations that are free
}

func newSchedule(p plan.Plan, slots int) *schedule {
	n := len(p.Steps)
	s := &schedule{
		steps: p.Steps, needs: make([]int, n), dependents: make([][]int, n), height: make([]int, n), slots: max(1, slots),
	}
	index := make(map[int]int, n)
	for i, step := range p.Steps {
		index[step.ID] = i
	}
	for i, step := range p.Steps {
		s.needs[i] = len(step.Needs)
		for _, id := range step.Needs {
			s.dependents[index[id]] = append(s.dependents[index[id]], i)
		}
	}
	for i := n - 1; i >= 0; i-- { // a step comes after what it needs
		for _, d := range s.dependents[i] {
			s.height[i] = max(s.height[i], s.height[d]+1)
		}
		if s.steps[i].Op == plan.Create {
			s.top = max(s.top, s.height[i])
		}
	}
	for i := range n {
		if s.needs[i] == 0 {
			s.free(i)
		}
	}
	return s
}

func (s *schedule) free(i int) {
	if waits(s.steps[i]) {
		s.waits = append(s.waits, i)
		return
	}
	heap.Push(s, i)
}

// next gives a step that can begin now, if there is one.
func (s *schedule) next() (i int, ok bool) {
	if n := len(s.waits); n > 0 {
		i = s.waits[n-1]
		s.waits = s.waits[:n-1]
		return i, true
	}
	for s.slots > 0 && len(s.calls) > 0 {
		i = heap.Pop(s).(int)
		switch {
		case s.isTop(i):
			s.topAway++
		case s.steps[i].Op == plan.Create && s.topAway > 0:
			s.held = append(s.held, i)
			continue
		}
		s.slots--
		return i, true
	}
	return 0, false
}

func (s *schedule) isTop(i int) bool {
	return s.steps[i].Op == plan.Create && s.height[i] == s.top
}

// done ends a step. What waits for one that failed is never handed out.
func (s *schedule) done(i int, ok bool) {
	if !waits(s.steps[i]) {
		s.slots++
	}
	if s.isTop(i) {
		if s.topAway--; s.topAway == 0 {
			for _, h := range s.held {
				heap.Push(s, h)
			}
			s.held = nil
		}
	}
	if !ok {
		return
	}
	for _, d := range s.dependents[i] {
		if s.needs[d]--; s.needs[d] == 0 {
			s.free(d)
		}
	}
}

func (s *schedule) Len() int { return len(s.calls) }
func (s *schedule) Less(a, b int) bool {
	i, j := s.calls[a], s.calls[b]
	if s.height[i] != s.height[j] {
		return s.height[i] > s.height[j]
	}
	return i < j
}
func (s *schedule) Swap(a, b int) { s.calls[a], s.calls[b] = s.calls[b], s.calls[a] }
func (s *schedule) Push(x any)    { s.calls = append(s.calls, x.(int)) }
func (s *schedule) Pop() any {
	i := s.calls[len(s.calls)-1]
	s.calls = s.calls[:len(s.calls)-1]
	return i
}
