package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/model"
	"woodwork.dev/ww/syntax"
)

func (t *tool) graphCommand() *cli.Command {
	return &cli.Command{
		Name:      "graph",
		Usage:     "show the components and what goes between them; of compose files, the services and what they depend on",
		ArgsUsage: "[FILE…]",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "file", Aliases: []string{"f"}, Usage: "a .ww or compose file (default: main.ww, else compose.yaml)"},
			formatFlag("mermaid", "mermaid, dot or json"),
		},
		Action: func(c *cli.Context) error {
			return t.graph(c.Context, append(c.StringSlice("file"), c.Args().Slice()...), c.String("format"))
		},
	}
}

func (t *tool) graph(ctx context.Context, files []string, format string) error {
	if err := oneOf("format", format, "mermaid", "dot", "json"); err != nil {
		return err
	}
	files, err := orFound(files)
	if err != nil {
		return err
	}
	look := t.systemGraph
	if haveCompose(files) {
		look = t.composeGraph
	}
	g, err := look(ctx, files)
	if err != nil {
		return err
	}
	switch format {
	case "json":
		return t.printJSON(g)
	case "dot":
		_, err = fmt.Fprint(t.out, dot(g))
	default:
		_, err = fmt.Fprint(t.out, mermaid(g))
	}
	return err
}

// graph is what is drawn.
type graph struct {
	Nodes []graphNode  `json:"components"`
	Edges []model.Edge `json:"edges"`
}

type graphNode struct {
	Name  string      `json:"name"`
	Kind  string      `json:"kind"`
	Type  string      `json:"type,omitempty"`
	Phase model.Phase `json:"phase,omitempty"`
}

func (n graphNode) what() string { return strings.TrimSpace(n.Kind + " " + n.Type) }

// systemGraph is that of .ww files.
func (t *tool) systemGraph(_ context.Context, files []string) (graph, error) {
	parsed, sources, diags, err := t.parse(files)
	if err != nil {
		return graph{}, err
	}
	p, more := model.Resolve(parsed...)
	diags = append(diags, more...)
	if diags.HasErrors() {
		if err := syntax.Render(t.err, diags, sources, colourful(t.err)); err != nil {
			return graph{}, err
		}
		return graph{}, errReported{exitConfig}
	}
	g := graph{[]graphNode{}, append([]model.Edge{}, p.Edges()...)}
	for _, c := range p.Components {
		g.Nodes = append(g.Nodes, graphNode{c.Name, c.Kind, c.Type, c.Phase})
	}
	return g, nil
}

// composeGraph is that of files of which at least one is a compose file: all its
// services, whatever their profile, and what they depend on.
func (t *tool) composeGraph(ctx context.Context, files []string) (graph, error) {
	l, err := t.load(ctx, compose.Request{Files: files, Profiles: []string{"*"}, Running: true, Stdin: t.in})
	if err != nil {
		return graph{}, err
	}
	g := graph{[]graphNode{}, []model.Edge{}}
	for _, name := range l.Project.ServiceNames() {
		s := l.Project.Services[name]
		what := s.Image
		if what == "" && s.Build != nil {
			what = "(built here)"
		}
		g.Nodes = append(g.Nodes, graphNode{Name: name, Kind: "service", Type: what})
		for _, on := range slices.Sorted(maps.Keys(s.DependsOn)) {
			g.Edges = append(g.Edges, model.Edge{From: name, To: on, Kind: "uses"})
		}
	}
	return g, nil
}

// mermaid draws ingress as stadiums, what others need as cylinders, topics as
// hexagons. Results flow along solid arrows; dotted ones are references.
func mermaid(g graph) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	id := map[string]string{}
	for i, c := range g.Nodes {
		id[c.Name] = fmt.Sprintf("c%d", i)
		label := c.Name + "<br><small>" + c.what() + "</small>"
		open, end := "[", "]"
		switch c.Phase {
		case model.PhaseIngress:
			open, end = "([", "])"
		case model.PhaseBacking:
			open, end = "[(", ")]"
		}
		fmt.Fprintf(&b, "    c%d%s\"%s\"%s\n", i, open, mermaidText(label), end)
	}
	topics := map[string]string{}
	for _, e := range g.Edges {
		switch e.Kind {
		case "to":
			fmt.Fprintf(&b, "    %s --> %s\n", id[e.From], id[e.To])
		case "uses":
			fmt.Fprintf(&b, "    %s -.-> %s\n", id[e.From], id[e.To])
		case "topic":
			if topics[e.To] == "" {
				topics[e.To] = fmt.Sprintf("t%d", len(topics))
				fmt.Fprintf(&b, "    %s{{\"%s\"}}\n", topics[e.To], mermaidText(e.To))
			}
			fmt.Fprintf(&b, "    %s --> %s\n", id[e.From], topics[e.To])
		}
	}
	return b.String()
}

func mermaidText(s string) string { return strings.ReplaceAll(s, `"`, "#quot;") }

func dot(g graph) string {
	var b strings.Builder
	b.WriteString("digraph ww {\n    rankdir=LR;\n    node [shape=box];\n")
	for _, c := range g.Nodes {
		shape := ""
		switch c.Phase {
		case model.PhaseIngress:
			shape = ", shape=oval"
		case model.PhaseBacking:
			shape = ", shape=cylinder"
		}
		fmt.Fprintf(&b, "    %q [label=%q%s];\n", c.Name, c.Name+"\n"+c.what(), shape)
	}
	for _, e := range g.Edges {
		switch e.Kind {
		case "to":
			fmt.Fprintf(&b, "    %q -> %q;\n", e.From, e.To)
		case "uses":
			fmt.Fprintf(&b, "    %q -> %q [style=dashed];\n", e.From, e.To)
		case "topic":
			fmt.Fprintf(&b, "    %q [label=%q, shape=hexagon];\n    %q -> %q;\n", "topic:"+e.To, e.To, e.From, "topic:"+e.To)
		}
	}
	b.WriteString("}\n")
	return b.String()
}
