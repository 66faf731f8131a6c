package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/syntax"
)

// checkKeys refuses what the engine can't do, before anything is changed, and
// warns of what has no effect; it shows where each of it stands. Without an engine
// it is what no engine can do.
func (t *tool) checkKeys(ctx context.Context, l *compose.Loaded, d *dockerx.Engine) error {
	ds, err := keys(ctx, l, d)
	if err != nil {
		return err
	}
	if err := syntax.Render(t.err, ds, l.Sources, colourful(t.err)); err != nil {
		return err
	}
	if ds.HasErrors() {
		return errReported{exitConfig}
	}
	return nil
}

// ignoredKey is the code of a key that has no effect.
const ignoredKey = "ignored-key"

// keys gives what is wrong with the keys of a project that could be read.
func keys(ctx context.Context, l *compose.Loaded, d *dockerx.Engine) (syntax.Diagnostics, error) {
	places := sync.OnceValue(func() *compose.Places { return l.Places(ctx) }) // most projects need none
	p, ds := standIns(l.Project, places, placeless(l))
	check := func() error { return dockerx.Check(p) }
	if d != nil {
		check = func() error { return d.Check(ctx, p) }
	}
	err := check()
	var refused dockerx.Refusals
	if err != nil && !errors.As(err, &refused) {
		var engine *deploy.EngineError
		if d == nil && errors.As(err, &engine) {
			return append(ds, syntax.Diagnostic{Severity: syntax.Error, Code: "wrong-value", Span: placeless(l), Message: err.Error(), Remedy: engine.Remedy}), nil
		}
		return nil, err
	}
	ignored := dockerx.Ignored(l.Project)
	if len(refused) == 0 && len(ignored) == 0 {
		return ds, nil
	}
	_, remedy := classify(err)
	add := func(r dockerx.Refusal, severity syntax.Severity, code, message, remedy string) {
		at, ok := places().Of(r.Key)
		if !ok {
			at = placeless(l)
		}
		ds = append(ds, syntax.Diagnostic{Severity: severity, Code: code, Span: at, Message: message, Remedy: remedy})
	}
	for _, r := range refused {
		add(r, syntax.Error, "unsupported-key", r.String(), remedy)
	}
	for _, r := range once(ignored) {
		add(r, syntax.Warning, ignoredKey, r.String(), "")
	}
	slices.SortStableFunc(ds, byPlace)
	return ds, nil
}

func byPlace(a, b syntax.Diagnostic) int {
	return cmp.Or(cmp.Compare(a.Span.File, b.Span.File), cmp.Compare(a.Span.Start.Offset, b.Span.Start.Offset))
}

// unsetVariable is the code of a secret or config whose variable isn't set.
const unsetVariable = "unset-variable"

// standIns reports the secrets and configs that services use and whose variables
// aren't set, and gives the project with something in their place, so that what
// else is wrong is found as well.
func standIns(p *types.Project, places func() *compose.Places, nowhere syntax.Span) (*types.Project, syntax.Diagnostics) {
	used := map[string]types.FileObjectConfig{}
	for _, s := range p.Services {
		for _, r := range s.Secrets {
			used["secrets."+r.Source] = types.FileObjectConfig(p.Secrets[r.Source])
		}
		for _, r := range s.Configs {
			used["configs."+r.Source] = types.FileObjectConfig(p.Configs[r.Source])
		}
	}
	var ds syntax.Diagnostics
	env := maps.Clone(p.Environment)
	for _, key := range slices.Sorted(maps.Keys(used)) {
		name := used[key].Environment
		if _, set := env[name]; name == "" || used[key].Content != "" || set {
			continue
		}
		at, ok := places().Of(key + ".environment")
		if !ok {
			at = nowhere
		}
		ds = append(ds, syntax.Diagnostic{
			Severity: syntax.Error, Code: unsetVariable, Span: at, Message: fmt.Sprintf("%s needs the variable $%s, and it isn't set", key, name),
			Remedy: fmt.Sprintf("export %s=…, or write it into .env beside the file", name),
		})
	}
	if len(ds) == 0 {
		return p, nil
	}
	for _, o := range used {
		if _, set := env[o.Environment]; o.Environment != "" && !set {
			env[o.Environment] = ""
		}
	}
	other := *p
	other.Environment = env
	return &other, ds
}

// once gives what several services have in common one warning, at the first.
func once(ignored dockerx.Refusals) dockerx.Refusals {
	var out dockerx.Refusals
	others := map[string][]string{}
	kind := func(r dockerx.Refusal) (section, name, key string) {
		parts := strings.SplitN(r.Key, ".", 3)
		return parts[0], parts[1], parts[0] + "." + parts[2] + r.Why
	}
	for _, r := range ignored {
		_, name, key := kind(r)
		if _, ok := others[key]; !ok {
			out = append(out, r)
			others[key] = []string{}
		} else if !slices.Contains(others[key], name) {
			others[key] = append(others[key], name)
		}
	}
	for i, r := range out {
		section, _, key := kind(r)
		if n := len(others[key]); n == 1 {
			out[i].Why += fmt.Sprintf(" (and so in %s.%s)", section, others[key][0])
		} else if n > 1 {
			out[i].Why += fmt.Sprintf(" (and so in %d other %s)", n, section)
		}
	}
	return out
}

// placeless is the place of what has none of its own: the first file.
func placeless(l *compose.Loaded) syntax.Span {
	return syntax.Span{File: l.First()}
}
