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
		return p.declared(key)
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

// declared looks for a key of a service in the words that its component in a .ww
// file has for its container.
func (p *Places) declared(key string) (syntax.Span, int) {
	if p.m.l.Model == nil {
		return syntax.Span{}, 0
	}
	for _, c := range p.m.l.Model.Components {
		rest, ok := strings.CutPrefix(key, "services."+c.Name+".")
		if !ok || c.Override == nil {
			continue
		}
		var at syntax.Span
		depth := 2
		var v model.Value = c.Override
		for step := range strings.SplitSeq(rest, ".") {
			m, ok := v.(*model.Map)
			if !ok {
				break
			}
			f := m.Field(step)
			if f == nil {
				break
			}
			at, v, depth = f.Span, f.Value, depth+1
		}
		return at, depth
	}
	return syntax.Span{}, 0
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
