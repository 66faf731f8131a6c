package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/compose-spec/compose-go/v2/types"
	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/syntax"
)

// source is a compose file as it is written, for telling where something is.
type source struct {
	name    string // as it is called in messages
	content []byte
	roots   []*yaml.Node        // of its documents
	nodes   map[string]written  // by path
	value   map[string]any      // what the loader makes of it, of all its documents
	wrong   []syntax.Diagnostic // what of its form the loader doesn't take
	torn    map[string]bool     // paths to what lacks what it should have from another mapping
	left    int                 // values that may still be read: aliases of aliases are many

	file string        // the file, absolute; "-" is standard input
	dir  string        // what relative paths in it are relative to
	env  types.Mapping // the variables in it
	// bases are the services that others extend, where a file counts for nothing
	// but these; nil where all of it does.
	bases map[string]bool
}

// written is where a value stands, and the key before it; nil in a list.
type written struct{ key, value *yaml.Node }

const mostValues = 200_000

// path joins the steps to a value: keys, and the numbers of items.
func path(steps ...string) string { return strings.Join(steps, "\x00") }

// readSource parses a compose file. It fails where that is no YAML.
func readSource(name string, content []byte) (*source, error) {
	s := &source{name: name, content: content, nodes: map[string]written{}, torn: map[string]bool{}, value: map[string]any{}, left: mostValues}
	for dec := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return s, nil
		} else if err != nil {
			return nil, err
		}
		for _, n := range doc.Content {
			s.roots = append(s.roots, n)
			switch v := s.read(n, nil).(type) {
			case map[string]any:
				maps.Copy(s.value, v)
			case nil:
			case []any:
				s.notMapping(n, "is a list")
			default:
				s.notMapping(n, "is a word")
			}
		}
	}
}

func (s *source) notMapping(n *yaml.Node, is string) {
	s.wrong = append(s.wrong, syntax.Diagnostic{
		Severity: syntax.Error, Code: "wrong-type", Span: s.span(n), Message: "the file must be a mapping with `services`, and " + is,
		Remedy: "it begins with `services:`, and has their names indented below",
	})
}

// read notes where everything is, and gives a value as the loader has it.
func (s *source) read(n *yaml.Node, at []string) any {
	if s.left--; s.left < 0 || len(at) > 100 {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		return s.read(n.Alias, at)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			to := append(at[:len(at):len(at)], index(i))
			s.nodes[path(to...)] = written{value: item}
			list[i] = s.read(item, to)
		}
		return list
	case yaml.MappingNode:
		return s.mapping(n, at)
	}
	var v any
	if n.Tag == "!!timestamp" || n.Decode(&v) != nil {
		return n.Value
	}
	return v
}

func (s *source) mapping(n *yaml.Node, at []string) any {
	out := map[string]any{}
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag == "!!merge" {
			s.merge(out, n.Content[i+1], at)
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" || value.Tag == "!reset" {
			continue
		}
		if before := first[key.Value]; before != nil {
			s.wrong = append(s.wrong, syntax.Diagnostic{
				Severity: syntax.Error, Code: "duplicate-key", Span: s.span(key), Message: "duplicate key " + strconv.Quote(key.Value),
				Remedy:  "remove one of them",
				Related: []syntax.Related{{Span: s.span(before), Message: "first given here"}},
			})
			continue
		}
		first[key.Value] = key
		if what, ok := notText[key.ShortTag()]; ok && key.Kind == yaml.ScalarNode {
			s.wrong = append(s.wrong, syntax.Diagnostic{
				Severity: syntax.Error, Code: "invalid-key", Span: s.span(key), Message: fmt.Sprintf("the key %s is %s, and must be a string", orEmpty(key.Value), what),
				Remedy: fmt.Sprintf("put it in quotes: %q", key.Value),
			})
			continue
		}
		to := append(at[:len(at):len(at)], key.Value)
		s.nodes[path(to...)] = written{key, value}
		out[key.Value] = s.read(value, to)
	}
	return out
}

// notText are the kinds of keys that YAML has and Compose doesn't.
var notText = map[string]string{
	"!!bool": "a boolean", "!!int": "a number", "!!float": "a number", "!!null": "empty", "!!timestamp": "a date",
}

func orEmpty(key string) string {
	if key == "" {
		return `""`
	}
	return key
}

// merge lays what `<<` names under a mapping; the first that has a key counts.
func (s *source) merge(out map[string]any, n *yaml.Node, at []string) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.SequenceNode {
		for i := len(n.Content) - 1; i >= 0; i-- {
			s.merge(out, n.Content[i], at)
		}
		return
	}
	v, ok := s.read(n, at).(map[string]any)
	switch {
	case !ok && s.left >= 0 && n.Kind == yaml.ScalarNode:
		s.torn[path(at...)] = true
		s.wrong = append(s.wrong, syntax.Diagnostic{
			Severity: syntax.Error, Code: "wrong-type", Span: s.span(n), Message: "`<<` takes a mapping, or a list of them", Remedy: "name one with an alias: `<<: *name`",
		})
	case ok:
		for key, val := range v {
			out[key] = val
		}
	}
}

// at gives the place of what a path leads to: of a key where the value is more
// than a word, and of the nearest thing around what isn't written. That it has
// nothing of the path is told by false.
func (s *source) at(steps []string, key bool) (syntax.Span, bool) {
	for n := len(steps); n > 0; n-- {
		w, ok := s.nodes[path(steps[:n]...)]
		if !ok {
			continue
		}
		if w.key != nil && (key || n < len(steps) || w.value.Kind != yaml.ScalarNode || w.value.Value == "") {
			return s.span(w.key), true
		}
		return s.span(w.value), true
	}
	return syntax.Span{File: s.name}, false
}

// span is the place of a node; of a value over several lines, its first one.
func (s *source) span(n *yaml.Node) syntax.Span {
	return s.spanAt(n.Line, n.Column, n.Value)
}

// spanAt is the place of a text at a line and column, from 1.
func (s *source) spanAt(line, column int, text string) syntax.Span {
	off := 0
	for i := 1; i < line; i++ {
		next := bytes.IndexByte(s.content[off:], '\n')
		if next < 0 {
			line, column = i, 1 // a mistake may be that there is no more
			break
		}
		off += next + 1
	}
	for i := 1; i < column && off < len(s.content) && s.content[off] != '\n'; i++ {
		_, size := utf8.DecodeRune(s.content[off:])
		off += size
	}
	width := 1
	rest, _, _ := bytes.Cut(s.content[off:], []byte("\n"))
	switch {
	case text != "" && bytes.HasPrefix(rest, []byte(text)):
		width = len(text)
	case len(rest) > 0 && (rest[0] == '"' || rest[0] == '\''):
		if end := bytes.IndexByte(rest[1:], rest[0]); end >= 0 {
			width = end + 2
		}
	}
	start := syntax.Pos{Offset: off, Line: line, Column: column}
	return syntax.Span{File: s.name, Start: start, End: syntax.Pos{Offset: off + width, Line: line, Column: column + width}}
}
