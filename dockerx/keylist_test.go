package dockerx

import (
	"cmp"
	"encoding/json"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/types"
)

// keysOf lists the keys of a type as a compose file writes them: `*` stands for
// the names of a mapping, `[]` for the places of a list.
func keysOf(t reflect.Type, at string) []string {
	switch t.Kind() {
	case reflect.Pointer:
		return keysOf(t.Elem(), at)
	case reflect.Map, reflect.Slice:
		elem := t.Elem()
		for elem.Kind() == reflect.Pointer {
			elem = elem.Elem()
		}
		if elem.Kind() != reflect.Struct {
			return []string{at}
		}
		if t.Kind() == reflect.Map {
			return keysOf(elem, at+".*")
		}
		return keysOf(elem, at+"[]")
	case reflect.Struct:
	default:
		return []string{at}
	}
	var keys []string
	for f := range fields(t) {
		keys = append(keys, keysOf(f.Type, strings.TrimPrefix(at+"."+keyOf(f), "."))...)
	}
	return keys
}

// fields are those of a struct that a file can set.
func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(t) {
			if !f.IsExported() || f.Type == reflect.TypeFor[types.Extensions]() || strings.HasPrefix(f.Tag.Get("yaml"), "-") {
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "" {
		name = strings.ToLower(f.Name)
	}
	return name
}

// schemaKeys lists the keys that the specification's schema has: some are not
// in the types, so that the loader drops them.
func schemaKeys(t *testing.T) []string {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal([]byte(schema.Schema), &root); err != nil {
		t.Fatal(err)
	}
	defs, _ := cmp.Or(root["$defs"], root["definitions"]).(map[string]any)
	found := map[string]bool{}
	var walk func(node any, at string, open []string)
	walk = func(node any, at string, open []string) {
		n, _ := node.(map[string]any)
		if ref, ok := n["$ref"].(string); ok && !slices.Contains(open, ref) {
			walk(defs[path.Base(ref)], at, append(slices.Clone(open), ref))
		}
		for _, of := range []string{"oneOf", "anyOf", "allOf"} {
			forms, _ := n[of].([]any)
			for _, form := range forms {
				walk(form, at, open)
			}
		}
		names := func(in string, name func(string) string) {
			props, _ := n[in].(map[string]any)
			for k, v := range props {
				if !strings.HasPrefix(k, "^x-") {
					walk(v, strings.TrimPrefix(at+"."+name(k), "."), open)
				}
			}
		}
		names("properties", func(k string) string {
			found[strings.TrimPrefix(at+"."+k, ".")] = true
			return k
		})
		names("patternProperties", func(string) string { return "*" })
		if n["additionalProperties"] != nil {
			walk(n["additionalProperties"], at+".*", open)
		}
		if n["items"] != nil {
			walk(n["items"], at+"[]", open)
		}
	}
	walk(root, "", nil)
	return slices.Sorted(maps.Keys(found))
}

// allKeys are the keys of the types, and those that the schema alone has.
func allKeys(t *testing.T) []string {
	keys := keysOf(reflect.TypeFor[types.Project](), "")
	inside := func(a, b string) bool { // a is part of b
		return a == b || strings.HasPrefix(a, b+".") || strings.HasPrefix(a, b+"[")
	}
	for _, k := range schemaKeys(t) {
		if !slices.ContainsFunc(keys, func(known string) bool {
			return inside(known, k) || inside(k, known) && k != "include" && !strings.HasPrefix(k, "include")
		}) {
			keys = append(keys, k)
		}
	}
	return keys
}
