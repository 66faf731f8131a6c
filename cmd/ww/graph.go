package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/syntax"
)

func (t *tool) graphCommand() *cli.Command {
	return &cli.Command{
		Name:      "graph",
		Usage:     "show the components and what goes between them",
		ArgsUsage: "[FILE…]",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "file", Aliases: []string{"f"}, Usage: "a .ww file (default: main.ww)"},
			formatFlag("mermaid", "mermaid, dot or json"),
		},
		Action: func(c *cli.Context) error {
			return t.graph(append(c.StringSlice("file"), c.Args().Slice()...), c.String("format"))
		},
	}
}

func (t *tool) graph(files []string, format string) error {
	if err := oneOf("format", format, "mermaid", "dot", "json"); err != nil {
		return err
	}
	parsed, sources, diags, err := t.parse(files)
	if err != nil {
		return err
	}
	p, more := model.Resolve(parsed...)
	diags = append(diags, more...)
	if diags.HasErrors() {
		if err := syntax.Render(t.err, diags, sources, colourful(t.err)); err != nil {
			return err
		}
		return errReported{exitConfig}
	}
	switch format {
	case "json":
		return t.printJSON(graphJSON(p))
	case "dot":
		_, err = fmt.Fprint(t.out, dot(p))
	default:
		_, err = fmt.Fprint(t.out, mermaid(p))
	}
	return err
}

type graphNode struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Type  string `json:"type,omitempty"`
	Phase string `json:"phase"`
}

func graphJSON(p *model.Project) any {
	nodes := []graphNode{}
	for _, c := range p.Components {
		nodes = append(nodes, graphNode{c.Name, c.Kind, c.Type, string(c.Phase)})
	}
	edges := p.Edges()
	if edges == nil {
		edges = []model.Edge{}
	}
	return map[string]any{"components": nodes, "edges": edges}
}

// mermaid draws ingress as stadiums, what others need as cylinders, topics as
// hexagons. Results flow along solid arrows; dotted ones are references.
func mermaid(p *model.Project) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	id := map[string]string{}
	for i, c := range p.Components {
		id[c.Name] = fmt.Sprintf("c%d", i)
		label := strings.TrimSpace(c.Name + "<br><small>" + strings.TrimSpace(c.Kind+" "+c.Type) + "</small>")
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
	for _, e := range p.Edges() {
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

func dot(p *model.Project) string {
	var b strings.Builder
	b.WriteString("digraph ww {\n    rankdir=LR;\n    node [shape=box];\n")
	for _, c := range p.Components {
		shape := ""
		switch c.Phase {
		case model.PhaseIngress:
			shape = ", shape=oval"
		case model.PhaseBacking:
			shape = ", shape=cylinder"
		}
		fmt.Fprintf(&b, "    %q [label=%q%s];\n", c.Name, c.Name+"\n"+strings.TrimSpace(c.Kind+" "+c.Type), shape)
	}
	for _, e := range p.Edges() {
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
