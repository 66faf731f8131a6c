package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
	"time"

	"github.com/docker/go-units"

	"woodwork.dev/ww/syntax"
)

// checkKeys reports unknown keys and values of the wrong shape.
func (r *resolver) checkKeys(m *Map, keys []key, warnUnknown bool, what string) {
	if m == nil {
		return
	}
	for i := range m.Fields {
		f := &m.Fields[i]
		at := slices.IndexFunc(keys, func(k key) bool { return k.name == f.Key })
		if at < 0 {
			if warnUnknown {
				r.unknownKey(f, keys, what)
			}
			continue
		}
		if ref, ok := f.Value.(Ref); ok && r.decls[ref.Name] == nil {
			if !keys[at].is.literal() || r.told[ref.Span] {
				continue // whoever looks at references says so
			}
			r.told[ref.Span] = true
		}
		r.checkValue(f, keys[at], what)
	}
}

// checkValue reports a value of the wrong shape, or one that isn't among those
// that there are.
func (r *resolver) checkValue(f *Field, k key, what string) {
	if k.is == gotemplate {
		r.checkTemplate(f)
		return
	}
	if !fits(f.Value, k.is) {
		r.errorf(f.At, "wrong-type", fmt.Sprintf("write %s", shapeNames[k.is]), "%q of %s has to be %s", f.Key, what, shapeNames[k.is])
		return
	}
	s, ok := f.Value.(string)
	if base, _, _ := strings.Cut(s, ":"); ok && k.values != nil && !slices.Contains(k.values, base) {
		r.errorf(f.At, "wrong-value", didYouMean(s, k.values, "write one of: "+strings.Join(k.values, ", ")), "%q of %s can't be %q", f.Key, what, s)
	}
}

// TemplateFunctions are what templates can call beside the functions of
// text/template.
var TemplateFunctions = []string{"contains", "default", "join", "json", "lower", "replace", "split", "title", "trim", "upper"}

// builtinFunctions are those of text/template.
var builtinFunctions = []string{"and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
	"println", "slice", "urlquery"}

// checkTemplate looks at a template's form, and at the functions in it.
func (r *resolver) checkTemplate(f *Field) {
	s, ok := f.Value.(string)
	if !ok {
		if !fits(f.Value, text) {
			r.errorf(f.At, "wrong-type", "write it in quotes", "%q has to be a Go template", f.Key)
		}
		return
	}
	functions := map[string]any{}
	for _, name := range slices.Concat(TemplateFunctions, builtinFunctions) {
		functions[name] = true
	}
	_, err := parse.New("template").Parse(s, "", "", map[string]*parse.Tree{}, functions)
	if err == nil {
		return
	}
	msg := strings.TrimPrefix(err.Error(), "template: template:")
	remedy := "see Go's text/template; the line counts from the beginning of the text"
	if _, after, ok := strings.Cut(msg, `function "`); ok {
		name, _, _ := strings.Cut(after, `"`)
		remedy = didYouMean(name, slices.Sorted(maps.Keys(functions)), "beside those of Go's text/template there are "+strings.Join(TemplateFunctions, ", "))
	}
	r.errorf(f.At, "bad-template", remedy, "the template can't be read: line %s", msg)
}

func (r *resolver) unknownKey(f *Field, keys []key, what string) {
	if r.misspelt[f] {
		return
	}
	var names []string
	for _, k := range keys {
		names = append(names, k.name)
	}
	slices.Sort(names)
	r.warnf(f.Span, "unknown-key", didYouMean(f.Key, names, "it is passed on as it is; known are "+strings.Join(names, ", ")),
		"%s has no setting %q", what, f.Key)
}

// fits reports whether a value has the shape; a variable's value isn't known,
// and fits wherever a scalar does.
func fits(v Value, is shape) bool {
	if v == nil || is == anything {
		return true
	}
	if _, env := v.(Env); env {
		return is != list && is != block && is != reference && is != references
	}
	switch is {
	case list:
		_, ok := v.([]Value)
		return ok
	case block:
		_, ok := v.(*Map)
		return ok
	case boolean:
		_, ok := v.(bool)
		return ok
	case reference:
		_, ok := v.(Ref)
		return ok
	case references:
		return isReferences(v)
	case integer:
		n, ok := v.(json.Number)
		if !ok {
			return false
		}
		_, err := strconv.ParseInt(n.String(), 10, 64)
		return err == nil
	case count, natural:
		n, ok := v.(json.Number)
		if !ok {
			return false
		}
		i, err := strconv.ParseInt(n.String(), 10, 32)
		return err == nil && (i > 0 || i == 0 && is == natural)
	case decimal:
		_, ok := v.(json.Number)
		return ok
	case port:
		n, err := strconv.Atoi(fmt.Sprint(v))
		_, number := v.(json.Number)
		return err == nil && number && n >= 1 && n <= 65535
	case address:
		s, _ := v.(string)
		_, err := netip.ParseAddr(strings.Trim(s, "[]"))
		return err == nil
	case duration, period:
		d, err := Duration(v)
		return err == nil && (d > 0 || is == duration)
	case size:
		_, err := Size(v)
		return err == nil
	case textOrList:
		if _, ok := v.([]Value); ok {
			return true
		}
	}
	return isText(v)
}

func isText(v Value) bool {
	switch v.(type) {
	case string, json.Number:
		return true
	}
	return false
}

func isReferences(v Value) bool {
	items, ok := v.([]Value)
	if !ok {
		items = []Value{v}
	}
	return !slices.ContainsFunc(items, func(it Value) bool {
		_, ok := it.(Ref)
		return !ok
	})
}

// Duration reads a value such as 30s or 1m30s; a bare number is seconds.
func Duration(v Value) (time.Duration, error) {
	s, ok := Scalar(v)
	if !ok {
		return 0, fmt.Errorf("no duration")
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 && n < 1e9 {
		return time.Duration(n * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		err = fmt.Errorf("a duration can't be negative")
	}
	return d, err
}

// Size reads a value such as 256m or 1.5g in bytes; a bare number is bytes.
func Size(v Value) (int64, error) {
	s, ok := Scalar(v)
	if !ok {
		return 0, fmt.Errorf("no size")
	}
	return units.RAMInBytes(s)
}

// checkRefKinds reports references to components of a kind that the setting
// can't use.
func (r *resolver) checkRefKinds(c *Component, k key, f *Field) {
	if k.refs == nil {
		return
	}
	walk(f.Value, func(v Value) {
		ref, ok := v.(Ref)
		if !ok {
			return
		}
		if to := r.project.byName[ref.Name]; to != nil && to.Known && !slices.Contains(k.refs, to.Kind) {
			r.errorf(ref.Span, "wrong-kind", fmt.Sprintf("refer to a component of kind %s", strings.Join(k.refs, " or ")),
				"%q of %q has to be of kind %s, and %q is of kind %s", k.name, c.Name, strings.Join(k.refs, " or "), to.Name, to.Kind).
				Related = []syntax.Related{{Span: to.Span, Message: "declared here"}}
		}
	})
}

// Strict turns the warnings about kinds, types and keys that aren't known into
// errors.
func Strict(ds syntax.Diagnostics) syntax.Diagnostics {
	out := slices.Clone(ds)
	for i := range out {
		if slices.Contains([]string{"unknown-kind", "unknown-type", "unknown-key"}, out[i].Code) {
			out[i].Severity = syntax.Error
		}
	}
	return out
}

// BuiltKinds lists the heads of components that this version can run.
func BuiltKinds() []string {
	var heads []string
	for name, k := range kinds {
		for typ, s := range k.types {
			if s.built {
				heads = append(heads, name+" "+typ)
			}
		}
	}
	slices.Sort(heads)
	return heads
}
