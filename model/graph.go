package model

import (
	"container/heap"
	"fmt"
	"slices"
	"strings"

	"woodwork.dev/ww/syntax"
)

// order checks that references make no cycle, and settles what waits for what.
// References are kept, all of them, and so are the routes that are part of no
// circle. Where routes and references make one, the component that waits for
// the fewest receivers goes first, the one declared first among equals, and the
// routes that don't fit that order are cut.
func (r *resolver) order() {
	if cycle := r.cycle(); cycle != nil {
		r.reportCycle(cycle)
		return
	}
	p := r.project
	n := len(p.Components)
	index := make(map[string]int, n)
	for i, c := range p.Components {
		index[c.Name] = i
	}
	s := &sorter{hard: make([]int, n), soft: make([]int, n)}
	hardOf, softOf := make([][]int, n), make([][]int, n) // who waits for i
	circle := r.circles(index)
	for i, c := range p.Components {
		needs := make(map[string]bool, len(c.Needs))
		for _, name := range c.Needs {
			needs[name] = true
			s.hard[i]++
			hardOf[index[name]] = append(hardOf[index[name]], i)
		}
		for _, name := range c.To {
			switch j := index[name]; {
			case j == i || needs[name]:
			case circle[i] != circle[j]:
				s.hard[i]++
				hardOf[j] = append(hardOf[j], i)
			default:
				s.soft[i]++
				softOf[j] = append(softOf[j], i)
			}
		}
	}
	s.at = make([]int, n)
	for i := range n {
		s.at[i] = -1
		if s.hard[i] == 0 {
			heap.Push(s, i)
		}
	}
	rank := make([]int, n)
	for s.Len() > 0 {
		i := heap.Pop(s).(int)
		rank[i] = len(p.order)
		p.order = append(p.order, p.Components[i].Name)
		for _, w := range softOf[i] {
			s.soft[w]--
			if s.at[w] >= 0 {
				heap.Fix(s, s.at[w])
			}
		}
		for _, w := range hardOf[i] {
			if s.hard[w]--; s.hard[w] == 0 {
				heap.Push(s, w)
			}
		}
	}
	p.deps = make(map[string][]string, n)
	for i, c := range p.Components {
		deps := slices.Clone(c.Needs)
		for _, name := range c.To {
			if rank[index[name]] < rank[i] {
				deps = append(deps, name)
			}
		}
		slices.Sort(deps)
		p.deps[c.Name] = slices.Compact(deps)
	}
}

// circles numbers the components so that two have the same number when each
// can be reached from the other over routes and references (Tarjan's strongly
// connected components, without recursion).
func (r *resolver) circles(index map[string]int) []int {
	cs := r.project.Components
	out := make([][]int, len(cs))
	for i, c := range cs {
		for _, names := range [][]string{c.Needs, c.To} {
			for _, name := range names {
				out[i] = append(out[i], index[name])
			}
		}
	}
	var (
		number  = make([]int, len(cs)) // result, from 1; 0: not known yet
		seen    = make([]int, len(cs)) // order of visits, from 1
		low     = make([]int, len(cs))
		open    []int // visited, not numbered
		path    []int
		next    = make([]int, len(cs))
		visits  int
		numbers int
	)
	visit := func(i int) {
		visits++
		seen[i], low[i] = visits, visits
		open, path = append(open, i), append(path, i)
	}
	for root := range cs {
		if seen[root] == 0 {
			visit(root)
		}
		for len(path) > 0 {
			i := path[len(path)-1]
			if next[i] < len(out[i]) {
				j := out[i][next[i]]
				next[i]++
				if seen[j] == 0 {
					visit(j)
				} else if number[j] == 0 {
					low[i] = min(low[i], seen[j])
				}
				continue
			}
			path = path[:len(path)-1]
			if len(path) > 0 {
				up := path[len(path)-1]
				low[up] = min(low[up], low[i])
			}
			if low[i] == seen[i] {
				numbers++
				for number[i] == 0 {
					number[open[len(open)-1]] = numbers
					open = open[:len(open)-1]
				}
			}
		}
	}
	return number
}

// sorter is a heap of components whose references are all placed, by the
// number of receivers that aren't, then by declaration.
type sorter struct {
	queue      []int
	at         []int // component → place in queue, -1: not in it
	hard, soft []int
}

func (s *sorter) Len() int { return len(s.queue) }
func (s *sorter) Less(a, b int) bool {
	i, j := s.queue[a], s.queue[b]
	if s.soft[i] != s.soft[j] {
		return s.soft[i] < s.soft[j]
	}
	return i < j
}
func (s *sorter) Swap(a, b int) {
	s.queue[a], s.queue[b] = s.queue[b], s.queue[a]
	s.at[s.queue[a]], s.at[s.queue[b]] = a, b
}
func (s *sorter) Push(x any) {
	s.at[x.(int)] = len(s.queue)
	s.queue = append(s.queue, x.(int))
}
func (s *sorter) Pop() any {
	i := s.queue[len(s.queue)-1]
	s.queue = s.queue[:len(s.queue)-1]
	s.at[i] = -1
	return i
}

// cycle returns the components of one cycle of references, or nil. It doesn't
// recurse: a chain may be as long as the file.
func (r *resolver) cycle() []*Component {
	const (
		unseen = iota
		open
		done
	)
	state := map[*Component]int{}
	type frame struct {
		c    *Component
		next int
	}
	for _, root := range r.project.Components {
		if state[root] != unseen {
			continue
		}
		stack := []frame{{c: root}}
		state[root] = open
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(top.c.Needs) {
				state[top.c] = done
				stack = stack[:len(stack)-1]
				continue
			}
			next := r.project.byName[top.c.Needs[top.next]]
			top.next++
			switch state[next] {
			case open:
				var cycle []*Component
				for i := slices.IndexFunc(stack, func(f frame) bool { return f.c == next }); i < len(stack); i++ {
					cycle = append(cycle, stack[i].c)
				}
				return cycle
			case unseen:
				state[next] = open
				stack = append(stack, frame{c: next})
			}
		}
	}
	return nil
}

func (r *resolver) reportCycle(cycle []*Component) {
	var names []string
	for _, c := range cycle {
		names = append(names, c.Name)
	}
	names = append(names, cycle[0].Name)
	d := r.errorf(cycle[0].Span, "reference-cycle",
		"take one of the references out; results may go in circles through `to`, configurations may not",
		"components refer to each other in a circle: %s", strings.Join(names, " → "))
	for _, c := range cycle[1:] {
		d.Related = append(d.Related, syntax.Related{Span: c.Span, Message: fmt.Sprintf("%q is part of the circle", c.Name)})
	}
}

// Edge is a line of the graph.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
	Kind string `json:"kind"` // "to": results flow; "uses": a reference; "topic": To is a topic
}

// Edges lists all edges, in order of declaration.
func (p *Project) Edges() []Edge {
	var edges []Edge
	for _, c := range p.Components {
		for _, to := range c.To {
			edges = append(edges, Edge{From: c.Name, To: to, Kind: "to"})
		}
		for _, t := range c.Topics {
			edges = append(edges, Edge{From: c.Name, To: t, Kind: "topic"})
		}
		for _, n := range c.Needs {
			edges = append(edges, Edge{From: c.Name, To: n, Kind: "uses"})
		}
	}
	return edges
}
