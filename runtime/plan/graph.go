package plan

import (
	"container/heap"
	"fmt"
	"slices"
	"strings"
)

// node is a step while the plan is being worked out: what it needs may be
// found later than the step itself.
type node struct {
	step  Step
	of    *node // the create whose container the step is about
	needs []*node
	index int
	mark  int // see waitsFor
}

// graph collects steps in any order.
type graph []*node

func (g *graph) add(s Step, needs ...*node) *node {
	n := &node{step: s, index: len(*g)}
	n.after(needs...)
	*g = append(*g, n)
	return n
}

// after adds what a step needs. A nil need is none, which lets callers speak
// of steps that may not be there.
func (n *node) after(needs ...*node) {
	for _, o := range needs {
		if o != nil && o != n {
			n.needs = append(n.needs, o)
		}
	}
}

// waitsFor reports whether a step can't be done before another one. Each call
// has a mark of its own, above 0, which it leaves on the steps that it has seen.
func (n *node) waitsFor(o *node, mark int) bool {
	if n == o {
		return true
	}
	n.mark = mark
	return slices.ContainsFunc(n.needs, func(m *node) bool { return m.mark != mark && m.waitsFor(o, mark) })
}

// steps puts the graph in an order in which each step comes after what it
// needs, and otherwise as they were added.
func (g graph) steps() ([]Step, error) {
	waiting := make([]int, len(g))
	dependents := make([][]*node, len(g))
	free := &ready{}
	for _, n := range g {
		slices.SortFunc(n.needs, func(a, b *node) int { return a.index - b.index })
		n.needs = slices.Compact(n.needs)
		waiting[n.index] = len(n.needs)
		for _, o := range n.needs {
			dependents[o.index] = append(dependents[o.index], n)
		}
		if len(n.needs) == 0 {
			heap.Push(free, n.index)
		}
	}
	steps := make([]Step, 0, len(g))
	for free.Len() > 0 {
		n := g[heap.Pop(free).(int)]
		n.step.ID = len(steps) + 1
		for _, o := range n.needs {
			n.step.Needs = append(n.step.Needs, o.step.ID)
		}
		slices.Sort(n.step.Needs)
		if n.of != nil {
			n.step.AwaitStep = n.of.step.ID
		}
		steps = append(steps, n.step)
		for _, d := range dependents[n.index] {
			if waiting[d.index]--; waiting[d.index] == 0 {
				heap.Push(free, d.index)
			}
		}
	}
	if len(steps) < len(g) {
		return nil, fmt.Errorf("steps wait for each other, a defect of ww, please report it: %s", g.circle(waiting))
	}
	return steps, nil
}

// circle shows steps that wait for each other. waiting counts what each step
// still needs.
func (g graph) circle(waiting []int) string {
	n := g[slices.IndexFunc(waiting, func(w int) bool { return w > 0 })]
	var way []*node
	for !slices.Contains(way, n) {
		way = append(way, n)
		n = n.needs[slices.IndexFunc(n.needs, func(o *node) bool { return waiting[o.index] > 0 })]
	}
	var b strings.Builder
	for _, o := range append(way[slices.Index(way, n):], n) {
		if b.Len() > 0 {
			b.WriteString(" ← ")
		}
		fmt.Fprintf(&b, "%s %s", o.step.Op, o.step.Name)
	}
	return b.String()
}

// ready is a heap of indices.
type ready []int

func (r ready) Len() int           { return len(r) }
func (r ready) Less(i, j int) bool { return r[i] < r[j] }
func (r ready) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *ready) Push(x any)        { *r = append(*r, x.(int)) }
func (r *ready) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}
