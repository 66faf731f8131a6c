package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"woodwork.dev/ww/syntax"
)

// schema reports all that the Compose specification's schema has against a file.
// compose-go tells of one of it.
func (m *mistakes) schema(s *source) {
	var raw, value any
	if json.Unmarshal([]byte(schema.Schema), &raw) != nil {
		return
	}
	c := jsonschema.NewCompiler()
	c.RegisterFormat(&jsonschema.Format{Name: "duration", Validate: func(v any) error {
		text, _ := v.(string)
		_, err := time.ParseDuration(text)
		return err
	}})
	if c.AddResource("compose-spec.json", raw) != nil {
		return
	}
	compiled, err := c.Compile("compose-spec.json")
	if err != nil {
		return
	}
	// The validator knows the types of JSON alone.
	text, err := json.Marshal(s.value)
	if err != nil || json.Unmarshal(text, &value) != nil {
		return
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(compiled.Validate(value), &invalid) {
		return
	}
	for _, e := range leaves(invalid) {
		at := e.InstanceLocation
		if _, incomplete := e.ErrorKind.(*kind.Required); s.counts(at) && !(incomplete && s.bases != nil) {
			m.against(s, e, raw)
		}
	}
}

// leaves gives the errors that say what is wrong. Of alternatives that is what
// the one for this kind of value has against it.
func leaves(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	var all []*jsonschema.ValidationError
	switch e.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf:
	default:
		for _, c := range e.Causes {
			all = append(all, leaves(c)...)
		}
		return all
	}
	types := &kind.Type{}
	for _, c := range e.Causes {
		ls := leaves(c)
		t, ok := ls[0].ErrorKind.(*kind.Type)
		switch {
		case ok && len(ls[0].InstanceLocation) == len(e.InstanceLocation):
			types.Got = t.Got
			types.Want = append(types.Want, t.Want...)
		case all == nil || len(ls[0].InstanceLocation) > len(all[0].InstanceLocation):
			all = ls
		}
	}
	if all == nil {
		all = []*jsonschema.ValidationError{{SchemaURL: e.SchemaURL, InstanceLocation: e.InstanceLocation, ErrorKind: types}}
	}
	return all
}

func (m *mistakes) against(s *source, e *jsonschema.ValidationError, spec any) {
	name := strings.Join(e.InstanceLocation, ".")
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, key := range k.Properties {
			m.unknownKey(s, e, key, spec)
		}
	case *kind.Type:
		got := article(k.Got)
		if k.Got == "number" && slices.Contains(k.Want, "integer") {
			got = "a fraction"
		}
		m.add(s, "wrong-type", e.InstanceLocation, false, "", "%s must be %s, and is %s", orFile(name), oneOfTypes(k.Want), got)
	case *kind.Required:
		m.add(s, "missing-key", e.InstanceLocation, true, fmt.Sprintf("add `%s: …`", k.Missing[0]), "%s needs %s", orFile(name), strings.Join(k.Missing, " and "))
	case *kind.Enum:
		m.add(s, "wrong-value", e.InstanceLocation, false, suggested(fmt.Sprint(k.Got), k.Want), "%s can't be %q", name, fmt.Sprint(k.Got))
	default:
		words := k.LocalizedString(message.NewPrinter(language.English))
		m.add(s, "wrong-value", e.InstanceLocation, false, "", "%s: %s", orFile(name), words)
	}
}

func suggested(got string, want []any) string {
	var words []string
	for _, w := range want {
		words = append(words, fmt.Sprint(w))
	}
	if near := syntax.Suggest(got, words); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "it is one of " + strings.Join(words, ", ")
}

// unknownKey reports a key that has no place where it is.
func (m *mistakes) unknownKey(s *source, e *jsonschema.ValidationError, key string, spec any) {
	at := append(slices.Clone(e.InstanceLocation), key)
	if len(e.InstanceLocation) == 1 {
		m.add(s, "invalid-name", at, true, "use letters, digits, '.', '_' and '-'", "%q can't be a name in %s", key, e.InstanceLocation[0])
		return
	}
	known := propertiesAt(spec, e.SchemaURL)
	remedy := ""
	if near := syntax.Suggest(key, known); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	} else if top := propertiesAt(spec, "#"); len(at) == 3 && slices.Contains(top, key) {
		remedy = fmt.Sprintf("%q stands beside `services`, not in one", key)
	} else if n := len(known); n > 0 && n <= 12 {
		remedy = "there are: " + strings.Join(known, ", ")
	} else if len(at) == 1 && slices.Contains(propertiesAt(spec, "#/$defs/service"), key) {
		remedy = fmt.Sprintf("%q belongs to a service: indent it below one", key)
	} else {
		remedy = "what is for other tools begins with x-"
	}
	where := "in the file"
	if len(e.InstanceLocation) > 0 {
		where = "in " + strings.Join(e.InstanceLocation, ".")
	}
	m.add(s, "unknown-key", at, true, remedy, "unknown key %q %s", key, where)
}

// propertiesAt lists the keys that a part of the schema has, sorted.
func propertiesAt(spec any, at string) []string {
	_, fragment, _ := strings.Cut(at, "#")
	for _, step := range strings.Split(strings.Trim(fragment, "/"), "/") {
		if step == "" {
			continue
		}
		if plain, err := url.PathUnescape(step); err == nil {
			step = plain
		}
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		switch v := spec.(type) {
		case map[string]any:
			spec = v[step]
		case []any:
			spec = nil
			for i := range v {
				if index(i) == step {
					spec = v[i]
				}
			}
		}
	}
	node, _ := spec.(map[string]any)
	props, _ := node["properties"].(map[string]any)
	return slices.Sorted(maps.Keys(props))
}

// typeNames are the words for JSON's types that people use for YAML's.
var typeNames = map[string]string{
	"object": "a mapping", "array": "a list", "string": "a string", "number": "a number", "integer": "a whole number",
	"boolean": "true or false", "null": "empty",
}

func article(t string) string {
	if w := typeNames[t]; w != "" {
		return w
	}
	return t
}

func oneOfTypes(want []string) string {
	var words []string
	for _, t := range want {
		if w := article(t); !slices.Contains(words, w) && t != "null" {
			words = append(words, w)
		}
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func orFile(name string) string {
	if name == "" {
		return "the file"
	}
	return name
}
