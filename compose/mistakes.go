package compose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	interp "github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/syntax"
)

// mistakes finds what is wrong with compose files, in order of place, once they
// couldn't be loaded: the loader's error tells of one mistake, of any, and not
// where it is.
type mistakes struct {
	l       *Loaded
	ctx     context.Context
	sources []*source
	partial bool            // there is more that wasn't read: what isn't declared may be declared there
	wrong   map[string]bool // files and paths to what something is wrong with already, and all around it
	whole   map[string]bool // those of wrong where it is the whole value
	found   []mistake
	from    map[extended]extended // what services extend
}

func (l *Loaded) mistakes(ctx context.Context) *mistakes {
	return &mistakes{l: l, ctx: ctx, wrong: map[string]bool{}, whole: map[string]bool{}, from: map[extended]extended{}}
}

// explain gives the mistakes of the compose files that failed to load with err.
// Where it finds none of its own, it is err with the place that its words name. An
// err of nil says that .ww files have mistakes of their own, and nothing is known of
// what they declare.
func (l *Loaded) explain(ctx context.Context, err error) syntax.Diagnostics {
	m := l.mistakes(ctx)
	m.partial = err == nil
	m.read()
	for _, s := range m.sources {
		if s.value == nil {
			continue
		}
		m.schema(s)
		m.files(s)
		m.each(s)
	}
	m.references()
	m.cycles()
	m.empty()
	if err != nil && len(m.found) == 0 {
		return m.placed(err)
	}
	return m.sorted()
}

func (m *mistakes) add(s *source, code string, steps []string, key bool, remedy, format string, args ...any) {
	at, _ := m.at(s, steps, key)
	own, _ := m.at(s, steps[:min(2, len(steps))], true)
	m.found = append(m.found, mistake{
		Diagnostic: syntax.Diagnostic{Severity: syntax.Error, Code: code, Span: at, Message: fmt.Sprintf(format, args...), Remedy: remedy},
		borrowed:   own.Start.Offset > at.Start.Offset,
	})
	m.whole[m.key(s, steps)] = true
	for n := range steps {
		m.wrong[m.key(s, steps[:n+1])] = true
	}
}

// at is where a path of a file is written. What is generated is as it should be,
// but for what the .ww file itself says of a container: its place is there.
func (m *mistakes) at(s *source, steps []string, key bool) (syntax.Span, bool) {
	if generated(s) {
		return m.l.declared(steps, key)
	}
	return s.at(steps, key)
}

// key is what a path is noted under in wrong.
func (m *mistakes) key(s *source, steps []string) string {
	return path(append([]string{s.file}, steps...)...)
}

// isWrong tells whether something is wrong with a path already, or with a part of
// what it leads to.
func (m *mistakes) isWrong(s *source, steps []string) bool { return m.wrong[m.key(s, steps)] }

// mistake is one of a service and the like, which may have it from another one
// by an alias.
type mistake struct {
	syntax.Diagnostic
	borrowed bool
}

// sorted gives the mistakes in the order of their places. What several have by
// an alias is one mistake, of the one that it is written in.
func (m *mistakes) sorted() syntax.Diagnostics {
	order := map[string]int{}
	for i, s := range m.sources {
		order[s.name] = i
	}
	slices.SortFunc(m.found, func(a, b mistake) int {
		borrowed := 0
		switch {
		case a.borrowed && !b.borrowed:
			borrowed = 1
		case b.borrowed && !a.borrowed:
			borrowed = -1
		}
		return cmp.Or(cmp.Compare(order[a.Span.File], order[b.Span.File]), cmp.Compare(a.Span.Start.Offset, b.Span.Start.Offset),
			cmp.Compare(a.Code, b.Code), borrowed, cmp.Compare(a.Message, b.Message))
	})
	var ds syntax.Diagnostics
	for i, f := range m.found {
		if i == 0 || f.Span != m.found[i-1].Span || f.Code != m.found[i-1].Code {
			ds = append(ds, f.Diagnostic)
		}
	}
	return ds
}

// load reads one file by itself as far as it goes with nothing else.
func (m *mistakes) load(s *source, f types.ConfigFile) (*types.Project, error) {
	details := m.l.details
	details.ConfigFiles = []types.ConfigFile{f}
	details.WorkingDir, details.Environment = s.dir, maps.Clone(s.env)
	options := append(slices.Clone(m.l.options), func(o *loader.Options) {
		o.SetProjectName("x", true)
		o.SkipInclude, o.SkipExtends, o.SkipConsistencyCheck = true, true, true
		o.Profiles = []string{"*"}
	})
	dict, err := loader.LoadModelWithContext(m.ctx, details, options...)
	if err != nil {
		return nil, err
	}
	return loader.ModelToProject(dict, loader.ToOptions(&details, options), details)
}

// interpolate puts variables in, and reports what can't be.
func (m *mistakes) interpolate(s *source) {
	details := m.l.details
	details.Environment = s.env
	opts := loader.ToOptions(&details, m.l.options).Interpolate
	if opts == nil || s.value == nil {
		return
	}
	var walk func(v any, at []string, pattern string) (out any, ok bool)
	walk = func(v any, at []string, pattern string) (any, bool) {
		switch v := v.(type) {
		case string:
			// The loader's own interpolation knows a value by its path.
			out, err := interp.Interpolate(map[string]any{pattern: v}, *opts)
			if err != nil {
				m.uninterpolated(s, at, err)
				return v, false
			}
			return out[pattern], true
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				to := append(at[:len(at):len(at)], key)
				if out, ok := walk(v[key], to, strings.TrimPrefix(pattern+"."+key, ".")); ok {
					v[key] = out
				} else {
					delete(v, key)
				}
			}
		case []any:
			for i := range v {
				v[i], _ = walk(v[i], append(at[:len(at):len(at)], index(i)), pattern+".[]")
			}
		}
		return v, true
	}
	walk(s.value, nil, "")
}

func (m *mistakes) uninterpolated(s *source, at []string, err error) {
	var invalid *template.InvalidTemplateError
	var missing *template.MissingRequiredError
	name := strings.Join(at, ".")
	switch {
	case errors.As(err, &invalid):
		m.add(s, "invalid-env", at, false, "write $$ for a $, and ${NAME} or ${NAME:-default} for a variable", "%s has a `$` that begins no variable", name)
	case errors.As(err, &missing):
		msg := fmt.Sprintf("%s needs the variable $%s, and it isn't set", name, missing.Variable)
		if missing.Reason != "" {
			msg += ": " + missing.Reason
		}
		m.add(s, "unset-variable", at, false, fmt.Sprintf("export %s=…, or write it into .env beside the file", missing.Variable), "%s", msg)
	default:
		_, why, _ := strings.Cut(err.Error(), ": ")
		why = strings.TrimPrefix(why, "failed to cast to expected type: ")
		if number := new(strconv.NumError); errors.As(err, &number) {
			why = fmt.Sprintf("%q is no number that it can be", number.Num)
		}
		m.add(s, "wrong-value", at, false, "", "%s: %s", name, why)
	}
}

// each tries every key of every service, network and the like by itself, but for
// those that something is wrong with already, and every item of its list: the
// loader finds what the schema can't, and stops at the first.
func (m *mistakes) each(s *source) {
	for _, section := range sections {
		all, _ := s.value[section].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			keys, ok := all[name].(map[string]any)
			if !ok {
				continue
			}
			for _, key := range slices.Sorted(maps.Keys(keys)) {
				at := []string{section, name, key}
				if s.counts(at) && (section != "services" || key != "extends") {
					m.try(s, at, keys[key])
				}
			}
		}
	}
}

var sections = []string{"services", "networks", "volumes", "secrets", "configs", "models"}

func (m *mistakes) try(s *source, at []string, v any) {
	list, isList := v.([]any)
	known := m.isWrong(s, at)
	if m.whole[m.key(s, at)] || !known && m.alone(s, at, v) == nil {
		return
	}
	if known && !isList {
		// What is left without what is known may have a mistake of its own.
		if err := m.alone(s, at, m.without(s, at, v)); err != nil && !strings.Contains(err.Error(), "missing propert") {
			m.add(s, "wrong-value", at, true, "", "%s: %s", strings.Join(at, "."), why(err))
		}
		return
	}
	for i, item := range list {
		to := append(at[:len(at):len(at)], index(i))
		if m.isWrong(s, to) {
			continue
		}
		if err := m.alone(s, at, []any{item}); err != nil {
			m.add(s, "wrong-value", to, false, "", "%s: %s", strings.Join(at, "."), why(err))
		}
	}
	if !m.isWrong(s, at) {
		m.add(s, "wrong-value", at, false, "", "%s: %s", strings.Join(at, "."), why(m.alone(s, at, v)))
	}
}

// without is a value without what is wrong in it.
func (m *mistakes) without(s *source, at []string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, val := range v {
			if to := append(at[:len(at):len(at)], key); !m.whole[m.key(s, to)] {
				out[key] = m.without(s, to, val)
			}
		}
		return out
	case []any:
		var out []any
		for i, val := range v {
			if to := append(at[:len(at):len(at)], index(i)); !m.whole[m.key(s, to)] {
				out = append(out, m.without(s, to, val))
			}
		}
		return out
	}
	return v
}

// where is how the loader begins an error of a value: with words that say
// nothing, and the value's path.
var where = regexp.MustCompile(`^(decoding failed due to the following error\(s\):\s*)?('\S+'|services\.\S+)?:?\s*`)

func why(err error) string {
	text := tidy(err).Error()
	if short := where.ReplaceAllString(text, ""); short != "" {
		return short
	}
	return text
}

// alone loads a project of one key. Its service has a name of its own: that in
// the file may be part of what is wrong.
func (m *mistakes) alone(s *source, at []string, v any) error {
	dict := map[string]any{at[0]: map[string]any{"x": map[string]any{at[2]: verbatim(v)}}}
	_, err := m.load(s, types.ConfigFile{Filename: s.file, Config: dict})
	return err
}

// verbatim is a copy of an interpolated value that stays as it is when the loader
// interpolates it.
func verbatim(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, val := range v {
			out[key] = verbatim(val)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = verbatim(v[i])
		}
		return out
	case string:
		return strings.ReplaceAll(v, "$", "$$")
	}
	return v
}

var (
	pathInWords    = regexp.MustCompile(`\b(?:services|networks|volumes|secrets|configs|models)\.[^\s:'"]+`)
	cycleInWords   = regexp.MustCompile(`^dependency cycle detected: (\S+)`)
	serviceInWords = regexp.MustCompile(`\b[Ss]ervice "?([a-zA-Z0-9._-]+)`)
)

// placed is an error with the place of the first path or service in its words
// that a file has.
func (m *mistakes) placed(err error) syntax.Diagnostics {
	text := tidy(err).Error()
	steps := strings.Split(pathInWords.FindString(text), ".")
	if match := serviceInWords.FindStringSubmatch(text); len(steps) < 2 && match != nil {
		steps = []string{"services", match[1]}
	}
	if match := cycleInWords.FindStringSubmatch(text); match != nil {
		steps = []string{"services", match[1], "depends_on"}
	}
	for _, s := range slices.Backward(m.sources) {
		if at, ok := m.at(s, steps, true); ok && len(steps) > 1 {
			return syntax.Diagnostics{{Severity: syntax.Error, Code: "invalid", Span: at, Message: text}}
		}
	}
	return nil
}

func index(i int) string { return strconv.Itoa(i) }
