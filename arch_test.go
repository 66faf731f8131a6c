package ww_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "woodwork.dev/ww"

// allowed says, for each package of the project, which others of the project
// it may import: arrows go one way. A package that isn't listed breaks the
// test, so that every new one gets a place. A name that ends in /... stands
// for everything below.
var allowed = map[string][]string{
	"":                                {},
	"syntax":                          {},
	"model":                           {"syntax", "runtime/scale"},
	"templates":                       {""},
	"compose":                         {"syntax", "model", "templates", "runtime/scale"},
	"runtime/scale":                   {},
	"runtime/plan":                    {"runtime/scale"},
	"runtime/deploy":                  {"runtime/plan"},
	"runtime/deploy/inproc":           {"runtime/plan", "runtime/scale", "runtime/deploy", "runtime/bus", "runtime/registry", "runtime/component", "runtime/component/api", "runtime/host", "runtime/host/isolated", "runtime/process"},
	"progress":                        {"runtime/plan", "runtime/deploy"},
	"runtime/bus":                     {},
	"runtime/bus/...":                 {"runtime/bus", "runtime/registry", "runtime/bus/bustest"},
	"runtime/bus/connect":             {"runtime/bus", "runtime/bus/memory", "runtime/bus/nats", "runtime/bus/redis", "runtime/registry"},
	"runtime/registry":                {},
	"runtime/watch":                   {},
	"runtime/process":                 {},
	"runtime/component":               {"runtime/bus", "runtime/process"},
	"runtime/component/...":           {"runtime/bus", "runtime/component", "runtime/component/...", "runtime/process"},
	"runtime/component/componenttest": {"runtime/bus", "runtime/bus/memory", "runtime/component"},
	"runtime/host":                    {"runtime/bus", "runtime/bus/connect", "runtime/component", "runtime/host/...", "runtime/process", "runtime/registry"},
	"runtime/host/downstream":         {"runtime/bus"},
	"runtime/host/isolated":           {"runtime/bus", "runtime/component", "runtime/host/downstream", "runtime/host/tracing", "runtime/process"},
	"runtime/host/tracing":            {"runtime/bus"},
	"dockerx":                         {"runtime/plan", "runtime/deploy"},
	"dockerx/enginetest":              {},
	"chaos":                           {"runtime/bus", "runtime/component"},
	"chaos/peer":                      {"chaos", "runtime/bus", "runtime/component", "runtime/host", "runtime/registry"},
	"cmd/ww":                          {"..."},
}

// outside says which package alone may import a module of others.
var outside = map[string][]string{
	"github.com/docker/docker":            {"dockerx"},
	"github.com/compose-spec/compose-go":  {"compose", "runtime/plan", "runtime/deploy", "runtime/watch", "dockerx", "cmd/ww"},
	"github.com/fsnotify/fsnotify":        {"runtime/watch"},
	"github.com/redis/go-redis":           {"runtime/bus/redis", "runtime/bus/bustest"},
	"github.com/nats-io/nats.go":          {"runtime/bus/nats", "runtime/bus/nats/embedded"},
	"github.com/nats-io/nats-server":      {"runtime/bus/nats/embedded"},
	"github.com/urfave/cli":               {"cmd/ww"},
	"github.com/sony/gobreaker":           {"runtime/host/downstream"},
	"github.com/charmbracelet/x/ansi":     {"progress", "cmd/ww"},
	"go.opentelemetry.io":                 {"runtime/host", "runtime/host/downstream", "runtime/host/tracing"},
	"github.com/prometheus/client_golang": {"runtime/host"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = local(p.ImportPath)
		all = append(all, p)
	}
}

func local(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

// matches reports whether a package is one of those that patterns name.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		base, below := strings.CutSuffix(p, "...")
		return p == name || below && strings.HasPrefix(name, base)
	})
}

func rules(name string) ([]string, bool) {
	if r, ok := allowed[name]; ok {
		return r, true
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if r, ok := allowed[dir+"/..."]; ok {
			return r, true
		}
	}
	return nil, false
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		may, ok := rules(p.ImportPath)
		if !ok {
			t.Errorf("package %s has no place in the house: add it here", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if imp == module || strings.HasPrefix(imp, module+"/") {
				if !matches(may, local(imp)) {
					t.Errorf("%s imports %s: that arrow points the wrong way", p.ImportPath, imp)
				}
				continue
			}
			if p.ImportPath == "syntax" && strings.Contains(imp, ".") {
				t.Errorf("syntax imports %s: it uses the standard library alone", imp)
			}
			for prefix, who := range outside {
				if (imp == prefix || strings.HasPrefix(imp, prefix+"/")) && !slices.Contains(who, p.ImportPath) {
					t.Errorf("%s imports %s, which only %v may", p.ImportPath, imp, who)
				}
			}
		}
	}
}

// TestNames: some names say nothing, and one is the standard library's.
func TestNames(t *testing.T) {
	for _, p := range packages(t) {
		for _, part := range strings.Split(p.ImportPath, "/") {
			if slices.Contains([]string{"internal", "pkg", "util", "utils", "common", "helpers", "misc"}, part) {
				t.Errorf("%s: %q says nothing about what is in it", p.ImportPath, part)
			}
		}
		if p.ImportPath == "runtime" {
			t.Error("runtime/ holds no Go files itself: its name is the standard library's")
		}
	}
}
