package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"woodwork.dev/ww/syntax"
	"woodwork.dev/ww/templates"
)

// fakeBinary stands in for ww in images, so that their digests don't change
// with the program.
func fakeBinary(t testing.TB) templates.Binary {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ww")
	write(t, name, "the program\n")
	return templates.Binary{Path: name, Arch: "amd64"}
}

func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// folder makes a folder with files in it.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

// mustLoad loads what has no mistakes.
func mustLoad(t testing.TB, req Request) *Loaded {
	t.Helper()
	l, err := Load(t.Context(), req)
	if err != nil {
		t.Fatalf("load %v: %v", req.Files, err)
	}
	if l.Diagnostics.HasErrors() {
		t.Fatalf("load %v: %s", req.Files, messages(l.Diagnostics))
	}
	return l
}

// loadMistakes gives what is wrong with what doesn't load; empty: it does.
func loadMistakes(t testing.TB, req Request) string {
	t.Helper()
	l, err := Load(t.Context(), req)
	if err != nil {
		return err.Error()
	}
	return messages(l.Diagnostics)
}

func mustExport(t testing.TB, l *Loaded, opts ExportOptions) string {
	t.Helper()
	doc, err := l.Export(t.Context(), opts)
	if err != nil {
		t.Fatalf("export: %v", err)
	}
	return string(doc)
}

func messages(ds syntax.Diagnostics) string {
	var lines []string
	for _, d := range ds {
		lines = append(lines, d.Code+": "+d.Message+" ("+d.Remedy+")")
	}
	return strings.Join(lines, "\n")
}

func hashes(t testing.TB, l *Loaded) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, s := range l.Project.Services {
		h, err := Hash(s)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = h
	}
	return all
}

// clearEnvironment takes out the variables that docker compose heeds, and sets
// others.
func clearEnvironment(t *testing.T, set map[string]string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "COMPOSE_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	for name, value := range set {
		t.Setenv(name, value)
	}
}
