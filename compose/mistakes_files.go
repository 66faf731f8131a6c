package compose

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/syntax"
)

// read parses the files that the command line names, and those that they include
// and extend, with their variables put in.
func (m *mistakes) read() {
	for _, f := range m.l.details.ConfigFiles {
		if m.ctx.Err() != nil {
			return
		}
		m.parse(f, m.l.Dir, m.l.details.Environment, nil)
	}
	for _, s := range slices.Clone(m.sources) {
		m.include(s, []string{s.file})
	}
	for _, s := range slices.Clone(m.sources) {
		for _, name := range slices.Sorted(maps.Keys(mapping(s.value, "services"))) {
			m.extends(s, name, nil)
		}
	}
}

// parse adds a file. What is no YAML has the loader's words for it: its parser
// tells more.
func (m *mistakes) parse(f types.ConfigFile, dir string, env types.Mapping, bases map[string]bool) *source {
	name := display(f.Filename)
	s, err := readSource(name, f.Content)
	if err != nil {
		s = &source{name: name, content: f.Content}
	}
	s.file, s.dir, s.env, s.bases = f.Filename, dir, env, bases
	m.sources = append(m.sources, s)
	if generated(s) {
		m.interpolate(s)
		return s
	}
	m.l.Sources[name] = f.Content
	if err != nil {
		m.partial = true
		m.found = append(m.found, mistake{Diagnostic: m.notYAML(s, f)})
	}
	for _, d := range s.wrong {
		m.found = append(m.found, mistake{Diagnostic: d})
	}
	m.interpolate(s)
	return s
}

// generated tells that a file is a .ww file: what stands for it is ww's own.
func generated(s *source) bool { return filepath.Ext(s.name) == ".ww" }

// include reads the files that a file includes. chain are the files that have
// led to it, and itself.
func (m *mistakes) include(s *source, chain []string) {
	items, _ := s.value["include"].([]any)
	for i, item := range items {
		at := []string{"include", index(i)}
		dir, env := "", s.env
		if o, ok := item.(map[string]any); ok {
			item, at = o["path"], append(at, "path")
			dir, _ = o["project_directory"].(string)
			env = m.includedEnv(s, o["env_file"], []string{"include", index(i), "env_file"}, env)
		}
		paths, isList := item.([]any)
		if !isList {
			paths = []any{item}
		}
		for j, p := range paths {
			to := at
			if isList {
				to = append(slices.Clone(at), index(j))
			}
			name, ok := p.(string)
			if !ok {
				m.partial = true // what the schema has against it
				continue
			}
			in := m.file(s, name, to, "included")
			if in == "" {
				m.partial = true
				continue
			}
			if j == 0 {
				if from := slices.Index(chain, in); from >= 0 {
					m.add(s, "include-cycle", to, false, "take one of them out", "a file includes itself: %s", arrows(chain[from:], in))
					continue
				}
				if dir == "" {
					dir = filepath.Dir(in)
				} else if !filepath.IsAbs(dir) {
					dir = filepath.Join(s.dir, dir)
				}
				env = withDotEnv(env, items[i], dir)
			}
			if slices.ContainsFunc(m.sources, func(s *source) bool { return s.file == in }) {
				continue
			}
			content, err := os.ReadFile(in)
			if err != nil {
				m.unreadable(s, to, name, in, "included", err)
				m.partial = true
				continue
			}
			m.include(m.parse(types.ConfigFile{Filename: in, Content: content}, dir, env, nil), append(slices.Clone(chain), in))
		}
	}
}

func arrows(chain []string, last string) string {
	var names []string
	for _, f := range append(slices.Clone(chain), last) {
		names = append(names, filepath.Base(f))
	}
	return strings.Join(names, " → ")
}

// includedEnv adds the variables of an include's env_file to those around it,
// which win.
func (m *mistakes) includedEnv(s *source, v any, at []string, env types.Mapping) types.Mapping {
	list, isList := v.([]any)
	if one, ok := v.(string); ok {
		list = []any{one}
	}
	var files []string
	for i, item := range list {
		name, ok := item.(string)
		if !ok || name == os.DevNull {
			continue
		}
		to := at
		if isList {
			to = append(slices.Clone(at), index(i))
		}
		file := s.abs(name)
		if !isFile(file) {
			m.unreadable(s, to, name, file, "named here", os.ErrNotExist)
			continue
		}
		files = append(files, file)
	}
	more, err := dotenv.GetEnvFromFile(env, files)
	if err != nil {
		m.add(s, "wrong-value", at, false, "", "%s", tidy(err))
		return env
	}
	return env.Clone().Merge(more)
}

// withDotEnv adds the .env of an included project, where the include names no
// other file.
func withDotEnv(env types.Mapping, include any, dir string) types.Mapping {
	file := filepath.Join(dir, ".env")
	o, _ := include.(map[string]any)
	if o["env_file"] != nil || !isFile(file) {
		return env
	}
	more, err := dotenv.GetEnvFromFile(env, []string{file})
	if err != nil {
		return env
	}
	return env.Clone().Merge(more)
}

// file gives the path of a file that another one names; "" with a mistake where
// it can't be one.
func (m *mistakes) file(s *source, name string, at []string, what string) string {
	scheme, _, ok := strings.Cut(name, "://")
	remote := ok && !strings.ContainsAny(scheme, "/\\.") || strings.HasPrefix(name, "git@")
	if remote {
		m.add(s, "remote-file", at, false, "download it, and name the copy", "%s is not supported: what is %s has to be a file on this machine", name, what)
		return ""
	}
	return s.abs(name)
}

// abs gives the path of a file that is named in another one.
func (s *source) abs(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(s.dir, name)
}

// files reports the files of variables and labels that services name and that
// aren't there.
func (m *mistakes) files(s *source) {
	details := m.l.details
	if loader.ToOptions(&details, m.l.options).SkipResolveEnvironment {
		return // they aren't needed
	}
	services := mapping(s.value, "services")
	for _, name := range slices.Sorted(maps.Keys(services)) {
		service, _ := services[name].(map[string]any)
		for _, key := range []string{"env_file", "label_file"} {
			at := []string{"services", name, key}
			list, isList := service[key].([]any)
			if one, ok := service[key].(string); ok {
				list = []any{one}
			}
			for i, item := range list {
				to := at
				if isList {
					to = append(slices.Clone(at), index(i))
				}
				if o, ok := item.(map[string]any); ok && o["required"] != false {
					item, to = o["path"], append(to, "path")
				}
				file, ok := item.(string)
				if ok && s.counts(at) && !isFile(s.abs(file)) {
					m.unreadable(s, to, file, s.abs(file), "read", os.ErrNotExist)
				}
			}
		}
	}
}

// unreadable reports a file that is named and can't be read, with one beside it
// that may be meant.
func (m *mistakes) unreadable(s *source, at []string, name, file, what string, err error) {
	switch {
	case errors.Is(err, os.ErrNotExist):
		var there []string
		entries, _ := os.ReadDir(filepath.Dir(file))
		for _, e := range entries {
			there = append(there, e.Name())
		}
		remedy := "paths are relative to " + m.shownDir(s)
		if near := syntax.Suggest(filepath.Base(name), there); near != "" {
			remedy = fmt.Sprintf("did you mean %q?", filepath.ToSlash(filepath.Join(filepath.Dir(name), near)))
		}
		m.add(s, "no-such-file", at, false, remedy, "%s: no such file", name)
	case errors.Is(err, os.ErrPermission):
		m.add(s, "no-such-file", at, false, "let it be read by who runs ww", "%s: no permission to read it", name)
	default:
		m.add(s, "no-such-file", at, false, "name a compose file", "%s can't be %s: %s", name, what, reason(err))
	}
}

func (m *mistakes) shownDir(s *source) string {
	if shown := display(s.dir); shown != "." && shown != "" {
		return shown
	}
	return "the folder of " + s.name
}

func reason(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// extends follows what a service extends, through files that are read for it.
// chain are the services that have led to it.
func (m *mistakes) extends(s *source, name string, chain []extended) {
	service, ok := mapping(s.value, "services")[name].(map[string]any)
	if !ok || generated(s) {
		return
	}
	self := extended{s, name}
	at := []string{"services", name, "extends"}
	if from := slices.Index(chain, self); from >= 0 {
		var names []string
		for _, e := range append(slices.Clone(chain[from:]), self) {
			names = append(names, e.name)
			if e.name != name || e.source != s {
				m.wrong[m.key(e.source, []string{"services", e.name, "extends"})] = true
			}
		}
		if !m.isWrong(s, at) {
			m.add(s, "extends-cycle", at, true, "take one of them out", "service %q extends itself: %s", name, strings.Join(names, " → "))
		}
		return
	}
	chain = append(chain[:len(chain):len(chain)], self)
	ref, file := "", ""
	switch v := service["extends"].(type) {
	case string:
		ref = v
	case map[string]any:
		ref, _ = v["service"].(string)
		file, _ = v["file"].(string)
		at = append(at, "service")
	}
	if ref == "" {
		return // there is none, or the schema has something against it
	}
	base := s
	if file != "" {
		if base = m.extendedFile(s, file, []string{"services", name, "extends", "file"}); base == nil {
			return
		}
	}
	have := m.extendable(base)
	if !slices.Contains(have, ref) {
		if base.value == nil || file == "" && m.partial {
			return
		}
		where := ""
		if base != s {
			where = " in " + base.name
		}
		remedy := "there are: " + strings.Join(have, ", ")
		if near := syntax.Suggest(ref, have); near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near)
		} else if len(have) == 0 {
			remedy = "there are no services" + where
		}
		m.add(s, "unknown-reference", at, false, remedy, "service %q extends %q, and there is no such service%s", name, ref, where)
		return
	}
	if base.bases != nil {
		base.bases[ref] = true
	}
	m.from[self] = extended{base, ref}
	m.extends(base, ref, chain)
}

// extended is a service of a file.
type extended struct {
	source *source
	name   string
}

// extendable lists the services that one of a file can extend by name: its own,
// and those that it includes.
func (m *mistakes) extendable(s *source) []string {
	names := slices.Collect(maps.Keys(mapping(s.value, "services")))
	if s.bases == nil && s.value["include"] != nil {
		for _, in := range m.sources {
			if in.bases == nil && in != s {
				names = append(names, slices.Collect(maps.Keys(mapping(in.value, "services")))...)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// extendedFile gives a file that a service is extended from; nil where it can't be
// read, which is reported.
func (m *mistakes) extendedFile(s *source, name string, at []string) *source {
	file := m.file(s, name, at, "extended")
	if file == "" {
		return nil
	}
	if i := slices.IndexFunc(m.sources, func(s *source) bool { return s.file == file }); i >= 0 {
		return m.sources[i]
	}
	content, err := os.ReadFile(file)
	if err != nil {
		if !m.isWrong(s, at) {
			m.unreadable(s, at, name, file, "extended", err)
		}
		return nil
	}
	return m.parse(types.ConfigFile{Filename: file, Content: content}, filepath.Dir(file), s.env, map[string]bool{})
}

// counts tells whether what is wrong at a path is wrong with the project: of a
// file that is only extended, nothing but the services that are.
func (s *source) counts(steps []string) bool {
	return s.bases == nil || len(steps) > 1 && steps[0] == "services" && s.bases[steps[1]]
}
