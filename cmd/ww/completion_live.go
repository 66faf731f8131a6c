package main

import (
	"context"
	"slices"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/templates"
)

// live gives the names of what a kind of argument stands for: from the file
// where there is one, else from what runs. It has none where anything goes
// wrong.
func (t *tool) live(ctx context.Context, kind string, l *line) []string {
	switch kind {
	case "SHELL":
		return []string{"bash", "zsh", "fish", "powershell"}
	case "TOPIC":
		if l.command.Name == "help" {
			return topics()
		}
	case "FILE":
		return []string{":files"}
	case "DIR":
		return []string{":folders"}
	case "PROJECT":
		return t.projects(ctx, l)
	case "SERVICE", "COMPONENT", "DEPLOYMENT", "PROFILE":
		return t.names(ctx, kind, l)
	}
	return nil
}

func (t *tool) projects(ctx context.Context, l *line) []string {
	e, err := l.engine(ctx)
	if err != nil {
		return nil
	}
	defer e.Close()
	names, err := e.ProjectNames(ctx)
	if err != nil {
		return nil
	}
	return names
}

func (l *line) engine(ctx context.Context) (*dockerx.Engine, error) {
	var o dockerx.Options
	if v := l.flags["host"]; len(v) > 0 {
		o.Host = v[len(v)-1]
	}
	if v := l.flags["context"]; len(v) > 0 {
		o.Context = v[len(v)-1]
	}
	return dockerx.Open(ctx, o)
}

// names lists services, components, deployments or profiles.
func (t *tool) names(ctx context.Context, kind string, l *line) []string {
	req := l.request()
	if req.Name == "" || len(req.Files) > 0 {
		req := req
		if req.Here = kind == "COMPONENT" || kind == "DEPLOYMENT"; !req.Here {
			req.Binary, _ = templates.FindBinary("") // only images need it
		}
		if loaded, err := compose.Load(ctx, req); err == nil && (loaded.Project != nil || req.Here && loaded.Model != nil) {
			return declared(kind, loaded)
		}
	}
	name, err := compose.Name(ctx, req)
	if err != nil {
		return nil
	}
	e, err := l.engine(ctx)
	if err != nil {
		return nil
	}
	defer e.Close()
	have, err := e.Observe(ctx, name, nil)
	if err != nil {
		return nil
	}
	return observed(kind, have.Containers)
}

func declared(kind string, l *compose.Loaded) []string {
	var names []string
	switch kind {
	case "SERVICE":
		names = append(l.Project.ServiceNames(), l.Project.DisabledServiceNames()...)
	case "PROFILE":
		for _, s := range l.Project.AllServices() {
			names = append(names, s.Profiles...)
		}
	case "COMPONENT":
		if l.Model != nil {
			for _, c := range l.Model.Components {
				if c.Kind != "container" {
					names = append(names, c.Name)
				}
			}
		}
	case "DEPLOYMENT":
		if l.Model != nil {
			for _, d := range l.Model.Deployments {
				names = append(names, d.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func observed(kind string, cs []plan.Container) []string {
	label := map[string]string{"COMPONENT": deploy.LabelComponent, "DEPLOYMENT": labelDeployment}[kind]
	var names []string
	for _, c := range cs {
		name := c.Labels[label]
		if kind == "SERVICE" {
			name = c.Service
		}
		if kind == "COMPONENT" && c.Labels[deploy.LabelKind] == "container" {
			continue
		}
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
