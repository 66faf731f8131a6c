package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"woodwork.dev/ww/syntax"
)

// references reports what services refer to and nothing declares, services of
// nothing, and checks of nothing.
func (m *mistakes) references() {
	declared := map[string][]string{}
	for _, s := range m.sources {
		if s.bases != nil {
			continue
		}
		for _, section := range sections {
			declared[section] = append(declared[section], slices.Collect(maps.Keys(mapping(s.value, section)))...)
		}
	}
	if m.partial {
		return
	}
	declared["networks"] = append(declared["networks"], "default")
	whole := map[string]bool{}
	for _, s := range m.sources {
		if s.bases != nil {
			continue
		}
		for name, svc := range mapping(s.value, "services") {
			keys, _ := svc.(map[string]any)
			for _, key := range []string{"image", "build", "provider", "extends"} {
				whole[name] = whole[name] || keys[key] != nil || m.isWrong(s, []string{"services", name, key})
			}
		}
	}
	for _, s := range m.sources {
		services := mapping(s.value, "services")
		for _, name := range slices.Sorted(maps.Keys(services)) {
			svc, ok := services[name].(map[string]any)
			if !ok || !s.counts([]string{"services", name}) {
				continue
			}
			if s.bases == nil && !whole[name] && !s.torn[path("services", name)] && !m.misspelt(name) {
				m.add(s, "missing-key", []string{"services", name}, true, "add `image: …` or `build: …`", "service %q has neither an image nor a build", name)
				whole[name] = true
			}
			if test, _ := mapping(svc, "healthcheck")["test"].([]any); len(test) > 0 && !slices.Contains([]any{"CMD", "CMD-SHELL", "NONE"}, test[0]) {
				m.add(s, "wrong-value", []string{"services", name, "healthcheck", "test", "0"}, false, `put "CMD" before it, or "CMD-SHELL" for a line for the shell`,
					`services.%s.healthcheck.test begins with none of "CMD", "CMD-SHELL" and "NONE"`, name)
			}
			for _, r := range refersTo(svc) {
				if !slices.Contains(declared[r.to], r.name) {
					m.undeclared(s, name, r, declared[r.to])
				}
			}
		}
	}
}

// misspelt tells that a service has a key that was to be its image or build.
func (m *mistakes) misspelt(service string) bool {
	return slices.ContainsFunc(m.found, func(d mistake) bool {
		return strings.HasSuffix(d.Message, " in services."+service) && (d.Remedy == `did you mean "image"?` || d.Remedy == `did you mean "build"?`)
	})
}

func (m *mistakes) undeclared(s *source, service string, r reference, known []string) {
	kind := strings.TrimSuffix(r.to, "s")
	remedy := ""
	switch near := syntax.Suggest(r.name, slices.Sorted(slices.Values(known))); {
	case near != "":
		remedy = fmt.Sprintf("did you mean %q?", near)
	case r.to != "services" && generated(s):
		remedy = fmt.Sprintf("declare it under the top-level `%s` of a compose file beside it: `-f main.ww -f more.yaml`", r.to)
	case r.to != "services":
		remedy = fmt.Sprintf("declare it: add `%s:` to the top-level `%s`", r.name, r.to)
	default:
		remedy = "there are: " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
	}
	verb := "uses"
	if r.at[0] == "depends_on" {
		verb = "depends on"
	}
	m.add(s, "unknown-reference", append([]string{"services", service}, r.at...), false, remedy, "service %q %s undefined %s %q", service, verb, kind, r.name)
}

// reference is a name in a service of something that is declared elsewhere.
type reference struct {
	to   string // section
	name string
	at   []string // from the service on
}

func refersTo(svc map[string]any) []reference {
	var all []reference
	add := func(to, name string, at ...string) {
		if name != "" {
			all = append(all, reference{to, name, at})
		}
	}
	// names lists the items of a list, or the keys of a mapping; of an item that
	// is a mapping, its source.
	names := func(v any, do func(name string, at string)) {
		switch v := v.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				do(key, key)
			}
		case []any:
			for i, item := range v {
				if o, ok := item.(map[string]any); ok {
					item = o["source"]
				}
				name, _ := item.(string)
				do(name, index(i))
			}
		}
	}
	for key, to := range map[string]string{"depends_on": "services", "networks": "networks", "secrets": "secrets", "configs": "configs", "models": "models"} {
		names(svc[key], func(name, at string) { add(to, name, key, at) })
	}
	build, _ := svc["build"].(map[string]any)
	names(build["secrets"], func(name, at string) { add("secrets", name, "build", "secrets", at) })
	names(svc["volumes_from"], func(name, at string) {
		if name, _, _ = strings.Cut(name, ":"); name != "container" {
			add("services", name, "volumes_from", at)
		}
	})
	names(svc["links"], func(name, at string) {
		name, _, _ = strings.Cut(name, ":")
		add("services", name, "links", at)
	})
	for _, key := range []string{"network_mode", "ipc", "pid"} {
		mode, _ := svc[key].(string)
		if name, ok := strings.CutPrefix(mode, "service:"); ok {
			add("services", name, key)
		}
	}
	volumes, _ := svc["volumes"].([]any)
	for i, v := range volumes {
		add("volumes", volumeOf(v), "volumes", index(i))
	}
	return all
}

// volumeOf gives the name of the volume that an item of `volumes` mounts; "" if
// that is no named one.
func volumeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		name, _ := v["source"].(string)
		if v["type"] == "volume" {
			return name
		}
	case string:
		return namedVolume(v)
	}
	return ""
}

func mapping(v map[string]any, key string) map[string]any {
	m, _ := v[key].(map[string]any)
	return m
}

// cycles reports services that depend on each other in a circle, each circle once.
func (m *mistakes) cycles() {
	needs := map[string][]string{}
	from := map[string]*source{}
	for _, s := range m.sources {
		if s.bases != nil {
			continue
		}
		for name, svc := range mapping(s.value, "services") {
			keys, _ := svc.(map[string]any)
			for _, r := range refersTo(keys) {
				if r.at[0] == "depends_on" {
					needs[name] = append(needs[name], r.name)
					from[name] = s
				}
			}
		}
	}
	done := map[string]bool{}
	var chain []string
	var visit func(name string)
	visit = func(name string) {
		if at := slices.Index(chain, name); at >= 0 {
			first := chain[at]
			m.add(from[first], "dependency-cycle", []string{"services", first, "depends_on"}, true, "take one of them out",
				"dependency cycle detected: %s", strings.Join(append(slices.Clone(chain[at:]), name), " -> "))
			for _, n := range chain[at:] {
				done[n] = true
			}
			return
		}
		if done[name] {
			return
		}
		chain = append(chain, name)
		for _, on := range needs[name] {
			visit(on)
		}
		chain = chain[:len(chain)-1]
		done[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		visit(name)
	}
}

// empty reports files that say nothing at all.
func (m *mistakes) empty() {
	for _, s := range m.sources {
		if len(s.value) > 0 || len(s.wrong) > 0 || s.value == nil || generated(s) {
			return
		}
	}
	for _, s := range m.sources {
		m.found = append(m.found, mistake{Diagnostic: syntax.Diagnostic{
			Severity: syntax.Error, Code: "empty-file", Span: s.spanAt(1, 1, ""), Message: "the file is empty", Remedy: "it begins with `services:`, and has their names indented below",
		}})
	}
}
