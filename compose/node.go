package compose

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/model"
)

// object builds a YAML mapping with its keys in the order they are set.
type object struct{ node yaml.Node }

func newObject() *object {
	return &object{yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}}
}

// set adds a key, or gives the one that is there a new value. A nil value is
// left out.
func (o *object) set(key string, value *yaml.Node) *object {
	if value == nil {
		return o
	}
	if n := o.get(key); n != nil {
		*n = *value
		return o
	}
	o.node.Content = append(o.node.Content, text(key), value)
	return o
}

// comment puts a comment above the key that was set last. Names that the
// author chose go through oneLine first.
func (o *object) comment(s string) *object {
	o.node.Content[len(o.node.Content)-2].HeadComment = "# " + strings.ReplaceAll(s, "\n", "\n# ")
	return o
}

func (o *object) get(key string) *yaml.Node {
	for i := 0; i < len(o.node.Content); i += 2 {
		if o.node.Content[i].Value == key {
			return o.node.Content[i+1]
		}
	}
	return nil
}

func (o *object) remove(key string) {
	for i := 0; i < len(o.node.Content); i += 2 {
		if o.node.Content[i].Value == key {
			o.node.Content = slices.Delete(o.node.Content, i, i+2)
			return
		}
	}
}

func (o *object) empty() bool { return len(o.node.Content) == 0 }

// orNil gives the mapping, or nil when nothing was set.
func (o *object) orNil() *yaml.Node {
	if o.empty() {
		return nil
	}
	return &o.node
}

// text is a string that Compose takes as it is: nothing in it is interpolated.
func text(s string) *yaml.Node { return raw(strings.ReplaceAll(s, "$", "$$")) }

// raw is a string in which Compose interpolates.
func raw(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	switch {
	case onLines(s):
		n.Style = yaml.LiteralStyle
	case needsQuotes(s):
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// onLines reports whether a string has several lines and reads the same from
// lines of its own: parsers disagree on leading and trailing space, and not
// every character may stand there.
func onLines(s string) bool {
	return strings.Contains(s, "\n") && strings.TrimSpace(s[:1]) != "" && !strings.HasSuffix(s, "\n\n") && !strings.Contains(s, " \n") &&
		strings.IndexFunc(s, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) < 0
}

// needsQuotes tells strings that would read as something else without quotes.
func needsQuotes(s string) bool {
	if plainWord(s) {
		return false
	}
	var v any
	if err := yaml.Unmarshal([]byte(s), &v); err != nil {
		return true
	}
	got, ok := v.(string)
	// YAML 1.1, which older tools speak, has more words for true and false, and
	// numbers with colons in them.
	return !ok || got != s || reserved(s) || digitsAndColons(s)
}

// plainWord recognises most strings that need no quotes without a parser: a
// letter, a path or a variable first, and nothing that has a meaning after it.
func plainWord(s string) bool {
	letter := func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
	if s == "" || !letter(s[0]) && s[0] != '/' && !strings.HasPrefix(s, "./") && !strings.HasPrefix(s, "${") || reserved(s) {
		return false
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case letter(c), c >= '0' && c <= '9', strings.IndexByte("._/-${}", c) >= 0:
		case c == ' ', c == ':':
			if i+1 == len(s) || s[i+1] == ' ' {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func reserved(s string) bool {
	return len(s) <= len("false") && strings.Contains("|y|n|yes|no|on|off|true|false|null|", "|"+strings.ToLower(s)+"|")
}

func digitsAndColons(s string) bool {
	return strings.Contains(s, ":") && strings.Trim(s, "0123456789:.") == ""
}

func boolean(b bool) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(b)}
}

func number(s string) *yaml.Node {
	tag := "!!int"
	if strings.ContainsAny(s, ".eE") {
		tag = "!!float"
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: s}
}

func list(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: items}
}

// flow puts a list on one line.
func flow(items ...*yaml.Node) *yaml.Node {
	n := list(items...)
	n.Style = yaml.FlowStyle
	for _, it := range items {
		if strings.ContainsAny(it.Value, ":,") && !strings.Contains(it.Value, `"`) {
			it.Style = yaml.DoubleQuotedStyle // which it needs there, and is the style elsewhere
		}
	}
	return n
}

func texts(items ...string) []*yaml.Node {
	nodes := make([]*yaml.Node, 0, len(items))
	for _, s := range items {
		nodes = append(nodes, text(s))
	}
	return nodes
}

// value gives what the author wrote in the compose service's own vocabulary.
// Variables stay variables.
func value(v model.Value) *yaml.Node {
	switch v := v.(type) {
	case string:
		return text(v)
	case json.Number:
		return number(v.String())
	case bool:
		return boolean(v)
	case model.Ref:
		return text(v.Name)
	case model.Env:
		return raw(interpolation(v))
	case []model.Value:
		n := list()
		for _, it := range v {
			n.Content = append(n.Content, value(it))
		}
		return n
	case *model.Map:
		o := newObject()
		for _, f := range v.Fields {
			o.set(f.Key, value(f.Value))
		}
		return &o.node
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
}

// oneLine gives what the author chose a form that can't end a comment.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// literal is a string on lines of its own.
func literal(s string) *yaml.Node {
	n := text(s)
	n.Style = yaml.LiteralStyle
	return n
}

// plainJSON escapes what YAML can't hold on lines of its own: line breaks of
// its own making, and what isn't printable. In JSON that is part of a string.
func plainJSON(s string) string {
	special := func(r rune) bool {
		return r >= 0x7f && r < 0xa0 || r == 0xfeff || r == 0xfffe || r == 0xffff || r == 0x2028 || r == 0x2029
	}
	if strings.IndexFunc(s, special) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if special(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// shortLists puts the lists in indented JSON that hold nothing but short
// scalars on one line each.
func shortLists(doc string) string {
	const width = 80
	var out []string
	open := -1 // of the innermost list, as long as it holds scalars alone
	for line := range strings.SplitSeq(doc, "\n") {
		out = append(out, line)
		switch item := strings.TrimSpace(line); {
		case strings.HasSuffix(item, "["):
			open = len(out) - 1
		case strings.HasSuffix(item, "{"):
			open = -1
		case (item == "]" || item == "],") && open >= 0:
			joined := strings.TrimRight(out[open], " ")
			for i, it := range out[open+1 : len(out)-1] {
				if i > 0 {
					joined += " "
				}
				joined += strings.TrimSpace(it)
			}
			if joined += item; len(joined) <= width {
				out = append(out[:open], joined)
			}
			open = -1
		}
	}
	return strings.Join(out, "\n")
}

// interpolation writes a variable as Compose reads it.
func interpolation(e model.Env) string {
	e.Arg = strings.ReplaceAll(e.Arg, "$", "$$")
	return e.String()
}
