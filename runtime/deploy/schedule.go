package deploy

import (
	"container/heap"

	"woodwork.dev/ww/runtime/plan"
)

// schedule hands out the steps of a plan: each as soon as what it needs is
// done, not more than a number of calls at a time, and those first on which the
// longest chain of others waits. Steps that only wait count for nothing.
type schedule struct {
	steps      []plan.Step
	needs      []int   // how many steps each one still waits for
	dependents [][]int // indices
	height     []int   // length of the longest chain that waits for it
	waits      []int   // free steps that make no call
	calls      []int   // free steps that do: a heap
	slots      int
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
	if s.slots == 0 || len(s.calls) == 0 {
		return 0, false
	}
	s.slots--
	return heap.Pop(s).(int), true
}

// done ends a step. What waits for one that failed is never handed out.
func (s *schedule) done(i int, ok bool) {
	if !waits(s.steps[i]) {
		s.slots++
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
