package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"woodwork.dev/ww/syntax"
)

// Value is a resolved value: a string, a json.Number, a bool, nil, an Env, a
// Ref, a []Value or a *Map.
type Value any

// Env is a variable of the environment that the author named: a secret. Its
// value is never looked up here.
type Env struct {
	Name string
	Op   string // "", ":-", "-", ":?" or "?"
	Arg  string
	Span syntax.Span
}

// Default returns what stands in for a variable that isn't set, and whether
// there is anything.
func (e Env) Default() (string, bool) { return e.Arg, e.Op == ":-" || e.Op == "-" }

// String gives the variable as Compose's interpolation writes it.
func (e Env) String() string { return "${" + e.Name + e.Op + e.Arg + "}" }

// Ref names a component.
type Ref struct {
	Name string
	Span syntax.Span
}

// Map is a block: keys in order of appearance.
type Map struct {
	Head   []string // of a typed block
	Fields []Field
	Span   syntax.Span
}

// Field is one entry of a Map.
type Field struct {
	Key   string
	Value Value
	Span  syntax.Span   // of the key
	At    syntax.Span   // of the value
	Items []syntax.Span // of its items, where it is a list
}

// Get returns the value of a key, and whether it is there. A nil map is empty.
func (m *Map) Get(key string) (Value, bool) {
	if f := m.Field(key); f != nil {
		return f.Value, true
	}
	return nil, false
}

// Field returns the entry of a key, or nil.
func (m *Map) Field(key string) *Field {
	if m == nil {
		return nil
	}
	for i := range m.Fields {
		if m.Fields[i].Key == key {
			return &m.Fields[i]
		}
	}
	return nil
}

// Text returns a key's value where it is a string or a number; "" otherwise.
func (m *Map) Text(key string) string {
	v, _ := m.Get(key)
	s, _ := Scalar(v)
	return s
}

// Bool returns a key's value where it is a bool, and def otherwise.
func (m *Map) Bool(key string, def bool) bool {
	v, _ := m.Get(key)
	if b, ok := v.(bool); ok {
		return b
	}
	return def
}

// Strings returns a key's value as a list of strings; one string is a list of
// one. Items that are no scalars are left out.
func (m *Map) Strings(key string) []string {
	v, _ := m.Get(key)
	items, ok := v.([]Value)
	if !ok {
		items = []Value{v}
	}
	var out []string
	for _, it := range items {
		if s, ok := Scalar(it); ok {
			out = append(out, s)
		}
	}
	return out
}

// Map returns a key's value where it is a block, and nil otherwise.
func (m *Map) Map(key string) *Map {
	v, _ := m.Get(key)
	b, _ := v.(*Map)
	return b
}

// Scalar gives a string, number, bool or reference as text.
func Scalar(v Value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	case Ref:
		return v.Name, true
	}
	return "", false
}

// MarshalJSON gives the variable as the reference that a component resolves
// when it starts; see the component package.
func (e Env) MarshalJSON() ([]byte, error) {
	ref := struct {
		Secret  string  `json:"$secret"`
		Default *string `json:"default,omitempty"`
	}{Secret: e.Name}
	if def, ok := e.Default(); ok {
		ref.Default = &def
	}
	return json.Marshal(ref)
}

// MarshalJSON gives the name of the component.
func (r Ref) MarshalJSON() ([]byte, error) { return json.Marshal(r.Name) }

// MarshalJSON gives an object with its keys in order of appearance.
func (m *Map) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range m.Fields {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := appendJSON(&b, f.Key); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := appendJSON(&b, f.Value); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Key, err)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// appendJSON leaves <, > and & as they are: people read it.
func appendJSON(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the newline
	return nil
}

// Envs calls fn for every variable in v.
func Envs(v Value, fn func(Env)) {
	walk(v, func(v Value) {
		if e, ok := v.(Env); ok {
			fn(e)
		}
	})
}

func walk(v Value, fn func(Value)) {
	fn(v)
	switch v := v.(type) {
	case []Value:
		for _, it := range v {
			walk(it, fn)
		}
	case *Map:
		if v == nil {
			return
		}
		for _, f := range v.Fields {
			walk(f.Value, fn)
		}
	}
}

// convert gives the resolved form of a parsed value. References stay names:
// whoever knows the declarations checks them.
func convert(v syntax.Value) Value {
	switch v := v.(type) {
	case *syntax.String:
		return v.Text
	case *syntax.Bare:
		return v.Text
	case *syntax.Number:
		return json.Number(v.Text)
	case *syntax.Bool:
		return v.Value
	case *syntax.Env:
		return Env{Name: v.Name, Op: v.Op, Arg: v.Arg, Span: v.Span}
	case *syntax.Ref:
		return Ref{Name: v.Name, Span: v.Span}
	case *syntax.Array:
		items := make([]Value, 0, len(v.Items))
		for _, it := range v.Items {
			items = append(items, convert(it))
		}
		return items
	case *syntax.Block:
		return convertBlock(v)
	}
	return nil
}

func convertBlock(b *syntax.Block) *Map {
	m := &Map{}
	if b == nil {
		return m
	}
	m.Span = b.Span
	for _, w := range b.Head {
		m.Head = append(m.Head, w.Text)
	}
	for _, e := range b.Entries {
		f := Field{Key: e.Key.Text, Value: convert(e.Value), Span: e.Key.Span, At: spanOf(e)}
		if a, ok := e.Value.(*syntax.Array); ok {
			for _, it := range a.Items {
				f.Items = append(f.Items, it.Pos())
			}
		}
		m.Fields = append(m.Fields, f)
	}
	return m
}

func spanOf(e *syntax.Entry) syntax.Span {
	if e.Value == nil {
		return e.Span
	}
	return e.Value.Pos()
}
