package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/sync/errgroup"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
)

// imageNeed is an image that has to be there, and what for.
type imageNeed struct {
	ref, service string
	base         bool // a build begins with it
	never        bool // it may not be pulled
}

func checkImages(ctx context.Context, p *patient) []finding {
	l := p.project()
	if _, err := p.details(); l == nil || err != nil {
		return nil
	}
	e, _ := p.engine()
	needs := imageNeeds(l)
	want := &types.Project{Name: l.Project.Name, Services: types.Services{}}
	for _, n := range needs {
		want.Services[n.ref] = types.ServiceConfig{Name: n.ref, Image: n.ref}
	}
	have, err := e.Observe(ctx, l.Project.Name, want)
	if err != nil {
		return []finding{fromError(err)}
	}
	found := make([]*finding, len(needs))
	var g errgroup.Group
	g.SetLimit(4)
	asked := 0
	for i, n := range needs {
		if _, there := have.Images[n.ref]; there {
			continue
		}
		asked++
		g.Go(func() error {
			found[i] = missingImage(ctx, e, n)
			return nil
		})
	}
	_ = g.Wait() // the findings tell
	var all []finding
	for _, f := range found {
		if f != nil {
			all = append(all, *f)
		}
	}
	if len(all) == 0 {
		all = append(all, ok("%s: %d there, %d can be pulled", plural(len(needs), "image"), len(needs)-asked, asked))
	}
	return all
}

func missingImage(ctx context.Context, e *dockerx.Engine, n imageNeed) *finding {
	what := fmt.Sprintf("image %s of %s", n.ref, n.service)
	if n.base {
		what = fmt.Sprintf("base image %s of %s", n.ref, n.service)
	}
	if n.never {
		f := wrong("`docker load` or `docker pull` brings it, or allow it with another pull_policy", "%s isn't here, and may not be pulled", what)
		return &f
	}
	err := e.Available(ctx, n.ref)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		f := warn("check that the engine reaches the registry: network, DNS and proxy are the engine's own", "%s isn't here, and its registry doesn't answer", what)
		return &f
	}
	_, remedy := classify(err)
	var engine *deploy.EngineError
	if errors.As(err, &engine) {
		err = engine.Err
	}
	f := wrong(remedy, "%s isn't here, and can't be pulled: %v", what, err)
	return &f
}

// imageNeeds lists the images that a project pulls, and those that its builds
// begin with, once each.
func imageNeeds(l *compose.Loaded) []imageNeed {
	all := map[string]imageNeed{}
	for _, name := range l.Project.ServiceNames() {
		s := l.Project.Services[name]
		switch {
		case s.Provider != nil:
		case s.Build == nil:
			all[s.Image] = imageNeed{ref: s.Image, service: name, never: s.PullPolicy == types.PullPolicyNever}
		default:
			for _, base := range baseImages(l, s) {
				if _, twice := all[base]; !twice {
					all[base] = imageNeed{ref: base, service: name, base: true}
				}
			}
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b imageNeed) int { return strings.Compare(a.ref, b.ref) })
}

// baseImages reads what a service's Dockerfile begins with. The context of a
// component may not be written yet: then the file is the author's own, or its
// arguments tell.
func baseImages(l *compose.Loaded, s types.ServiceConfig) []string {
	if base := s.Build.Args["BASE_IMAGE"]; base != nil && l.Generated != nil {
		return []string{*base}
	}
	text := []byte(s.Build.DockerfileInline)
	if len(text) == 0 {
		name := s.Build.Dockerfile
		if name == "" {
			name = "Dockerfile"
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(s.Build.Context, name)
		}
		if l.Model != nil {
			if c := l.Model.Component(s.Name); c != nil && c.Settings.Text("dockerfile") != "" {
				if name = c.Settings.Text("dockerfile"); !filepath.IsAbs(name) {
					name = filepath.Join(l.Dir, filepath.FromSlash(name))
				}
			}
		}
		var err error
		if text, err = os.ReadFile(name); err != nil {
			return nil // whoever builds it is told
		}
	}
	return fromLines(string(text), s.Build.Args)
}

// fromLines gives the images that a Dockerfile's stages begin with.
func fromLines(text string, args types.MappingWithEquals) []string {
	values, stages := map[string]string{}, map[string]bool{"scratch": true}
	var bases []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch strings.ToUpper(words[0]) {
		case "ARG":
			name, value, _ := strings.Cut(words[1], "=")
			if v := args[name]; v != nil {
				value = *v
			}
			if len(bases) == 0 {
				values[name] = strings.Trim(value, `"'`)
			}
		case "FROM":
			words = slices.DeleteFunc(words[1:], func(w string) bool { return strings.HasPrefix(w, "--") })
			if len(words) == 0 {
				continue
			}
			image := os.Expand(words[0], func(name string) string {
				name, def, _ := strings.Cut(name, ":-")
				if v := values[name]; v != "" {
					return v
				}
				return def
			})
			if !stages[image] && image != "" {
				bases = append(bases, image)
			}
			if len(words) == 3 && strings.EqualFold(words[1], "AS") {
				stages[words[2]] = true
			}
		}
	}
	return bases
}
