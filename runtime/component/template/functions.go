package template

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode"
)

const tick = "_tick"

// functions are those that templates can call; the tick of a run fails once
// its ctx is done.
func functions(ctx context.Context) template.FuncMap {
	return template.FuncMap{
		tick:       func() (string, error) { return "", stopped(ctx) },
		"upper":    func(v any) string { return strings.ToUpper(text(v)) },
		"lower":    func(v any) string { return strings.ToLower(text(v)) },
		"trim":     func(v any) string { return strings.TrimSpace(text(v)) },
		"title":    func(v any) string { return title(text(v)) },
		"json":     toJSON,
		"join":     join,
		"split":    func(sep string, v any) []string { return strings.Split(text(v), sep) },
		"replace":  replace,
		"contains": contains,
		"default":  withDefault,
	}
}

// watch puts a tick at the start of a list and of every loop below it.
func watch(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.IfNode:
			inside(&n.BranchNode)
		case *parse.WithNode:
			inside(&n.BranchNode)
		case *parse.RangeNode:
			inside(&n.BranchNode)
		}
	}
	list.Nodes = append([]parse.Node{tickNode(list.Pos)}, list.Nodes...)
}

func inside(b *parse.BranchNode) {
	watch(b.List)
	watch(b.ElseList)
}

func tickNode(pos parse.Pos) parse.Node {
	call := &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos,
		Args: []parse.Node{parse.NewIdentifier(tick).SetPos(pos)}}
	return &parse.ActionNode{NodeType: parse.NodeAction, Pos: pos,
		Pipe: &parse.PipeNode{NodeType: parse.NodePipe, Pos: pos, Cmds: []*parse.CommandNode{call}}}
}

// decode decodes a payload with whole numbers as such: a template would print
// a large float64 with an exponent.
func decode(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return numbers(v), nil
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// text is a value as it is printed in a line of text.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case map[string]any, []any:
		if s, err := toJSON(v); err == nil {
			return s
		}
	}
	return fmt.Sprint(v)
}

func toJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func title(s string) string {
	start := true
	return strings.Map(func(r rune) rune {
		was := start
		start = unicode.IsSpace(r)
		if was {
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}

func join(sep string, list any) (string, error) {
	v := reflect.ValueOf(list)
	if !v.IsValid() {
		return "", nil
	}
	if v.Kind() != reflect.Slice {
		return "", errors.New("join: want a list")
	}
	parts := make([]string, v.Len())
	for i := range parts {
		parts[i] = text(v.Index(i).Interface())
	}
	return strings.Join(parts, sep), nil
}

// replace refuses what would grow beyond any use before it makes it.
func replace(old, new string, v any) (string, error) {
	s := text(v)
	if grown := len(s) + strings.Count(s, old)*(len(new)-len(old)); grown > maxOutput {
		return "", fmt.Errorf("replace: the text becomes larger than %d bytes", maxOutput)
	}
	return strings.ReplaceAll(s, old, new), nil
}

func contains(part, whole any) bool {
	if list, ok := whole.([]any); ok {
		for _, v := range list {
			if reflect.DeepEqual(numberOf(v), numberOf(part)) {
				return true
			}
		}
		return false
	}
	return strings.Contains(text(whole), text(part))
}

// numberOf makes the number types of payloads and of templates comparable.
func numberOf(v any) any {
	switch n := v.(type) {
	case int:
		return float64(n)
	case int64:
		return float64(n)
	}
	return v
}

func withDefault(value any, x ...any) any {
	if len(x) == 0 {
		return value
	}
	if full, _ := template.IsTrue(x[0]); !full {
		return value
	}
	return x[0]
}
