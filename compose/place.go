package compose

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/syntax"
)

// Places tells where the keys of a project are written.
type Places struct{ m *mistakes }

// Places reads the project's files, and those that they include and extend. The
// contents of them all are among the Sources then.
func (l *Loaded) Places(ctx context.Context) *Places {
	m := l.mistakes(ctx)
	m.read()
	return &Places{m}
}

// Of gives the place of a key such as services.web.volumes.0.bind: in the last of
// the files that the command line names, or in one that these include or extend;
// of what it is part of where it isn't written out. Nothing is found where no file
// has that either: a service alone is no place of a key of it.
func (p *Places) Of(key string) (syntax.Span, bool) {
	named, others := p.m.sources, []*source(nil)
	if n := len(p.m.l.details.ConfigFiles); n < len(named) {
		named, others = named[:n], named[n:]
	}
	named = slices.Clone(named)
	slices.Reverse(named)
	var best syntax.Span
	enough := 2
	if !strings.HasPrefix(key, "services.") {
		enough = 1
	}
	depth := enough
	for _, s := range append(named, others...) {
		if at, n := p.in(s, key, depth); n > depth {
			best, depth = at, n
		}
	}
	return best, depth > enough
}

// First is how the first of the files is called in messages.
func (l *Loaded) First() string {
	if len(l.Files) == 0 {
		return ""
	}
	return display(l.Files[0])
}

// in looks for a key in one file, and in what the service there extends, until it
// is found more than some steps deep.
func (p *Places) in(s *source, key string, enough int) (best syntax.Span, depth int) {
	if generated(s) {
		best, depth = p.m.l.written(strings.Split(key, "."), true)
		if depth <= 2 {
			depth = 0
		}
		return best, depth
	}
	if s.bases != nil {
		return best, 0
	}
	section, rest, _ := strings.Cut(key, ".")
	name := ""
	for service := range mapping(s.value, section) {
		if strings.HasPrefix(rest+".", service+".") && len(service) > len(name) {
			name = service
		}
	}
	rest = strings.TrimPrefix(rest, name)
	for ok := name != ""; ok && len(name) > 0; {
		for _, root := range s.roots {
			if n, steps := follow(root, section+"."+name+rest); steps > depth {
				best, depth = s.span(n), steps
			}
		}
		if depth > enough || section != "services" {
			break
		}
		var next extended
		next, ok = p.m.from[extended{s, name}]
		s, name = next.source, next.name
	}
	return best, depth
}

// declared gives the place of a part of a service in the words that its component
// in a .ww file has for its container; of the nearest thing around what isn't
// written there, which is the component at the least. A key has the place of its
// name, and a value its own where key isn't set. That the words don't have it is
// told by false.
func (l *Loaded) declared(steps []string, key bool) (syntax.Span, bool) {
	at, depth := l.written(steps, key)
	return at, depth > 2
}

// written is declared with the number of steps that are written.
func (l *Loaded) written(steps []string, key bool) (at syntax.Span, depth int) {
	if l.Model == nil || len(steps) < 2 || steps[0] != "services" {
		return syntax.Span{File: l.First()}, 0
	}
	for _, c := range l.Model.Components {
		if c.Name != steps[1] {
			continue
		}
		at, depth = c.Span, 1
		if c.Override != nil {
			at, depth = c.Override.Span, 2
		}
		var v model.Value = c.Override
		for i, step := range steps[2:] {
			m, ok := v.(*model.Map)
			if !ok || m == nil {
				break
			}
			f := m.Field(step)
			if f == nil {
				break
			}
			at, v, depth = f.Span, f.Value, depth+1
			switch rest := steps[i+3:]; {
			case len(rest) == 0:
				if _, inner := f.Value.(*model.Map); !key && !inner {
					at = f.At
				}
			case f.Items != nil:
				if n, err := strconv.Atoi(rest[0]); err == nil && n >= 0 && n < len(f.Items) {
					return f.Items[n], depth + 1
				}
			}
		}
		return at, depth
	}
	return syntax.Span{File: l.First()}, 0
}

// follow goes down a path as far as it is there: it returns the key, or the item,
// where it ends, and how many steps that is. A name may have dots in it.
func follow(n *yaml.Node, path string) (at *yaml.Node, steps int) {
	for path != "" {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		step, next := "", (*yaml.Node)(nil)
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				name := n.Content[i].Value
				if (path == name || strings.HasPrefix(path, name+".")) && len(name) >= len(step) {
					step, next, at = name, n.Content[i+1], n.Content[i]
				}
			}
		case yaml.SequenceNode:
			step, _, _ = strings.Cut(path, ".")
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
				next, at = n.Content[i], n.Content[i]
			}
		}
		if next == nil {
			break
		}
		n, path = next, strings.TrimPrefix(strings.TrimPrefix(path, step), ".")
		steps++
	}
	return at, steps
}
