package compose

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/diff"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// systems are all .ww files that are exported, by the names of their golden
// files.
func systems(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"testdata/*.ww", "../syntax/testdata/corpus/*/*.ww", "../examples/*/main.ww"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, f := range files {
			dir, name := filepath.Split(f)
			if dir != "testdata/" {
				name = filepath.Base(dir) + "-" + name
			}
			all[strings.TrimSuffix(name, ".ww")] = f
		}
	}
	return all
}

// variables are set while golden files are made, and must not be in them.
var variables = map[string]string{
	"OPENAI_API_KEY": "secret-value-1", "API_KEY": "secret-value-2", "REDIS_URL": "redis://:secret-value-3@r:1", "DB_PASSWORD": "secret-value-4",
	"GITHUB_MCP_TOKEN": "secret-value-5", "GITHUB_PAT": "secret-value-6", "BASE": "http://secret-value-7", "MODEL": "secret-value-8",
	"PROXY_IMAGE": "secret-value-9:latest", "DEBUG": "secret-value-10", "AGENT_GIT_NAME": "secret-value-11", "AGENT_GIT_EMAIL": "secret-value-12",
	"BUS_PORT": "65432", "NO_PROXY": "secret-value-13", "NOTHING": "secret-value-14", "CHAT_MODEL": "secret-value-15",
}

func TestGolden(t *testing.T) {
	clearEnvironment(t, variables)
	binary := fakeBinary(t)
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(systems(t))) {
		t.Run(name, func(t *testing.T) {
			req := Request{Files: []string{systems(t)[name]}, Name: "golden", Binary: binary}
			keepPort(t, filepath.Dir(systems(t)[name]))
			l := mustLoad(t, req)
			doc := mustExport(t, l, ExportOptions{})
			if again := mustExport(t, mustLoad(t, req), ExportOptions{}); again != doc {
				t.Errorf("exporting twice differs:\n%s", diff.Diff("first", []byte(doc), "second", []byte(again)))
			}
			golden := filepath.Join("testdata", "golden", name+".yml")
			seen[golden] = true
			if *update {
				write(t, golden, doc)
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v: -update writes it", err)
			}
			if doc != string(want) {
				t.Errorf("-update rewrites the golden file:\n%s", diff.Diff(golden, want, "exported", []byte(doc)))
			}
			checkNoValues(t, l)
			checkRunsTheSame(t, l, req, doc)
		})
	}
	have, err := filepath.Glob("testdata/golden/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range have {
		if !seen[f] {
			t.Errorf("%s belongs to no system", f)
		}
	}
}

// keepPort has the bus of a system of which not all is in containers published on
// the same port whatever is in use.
func keepPort(t *testing.T, dir string) {
	t.Helper()
	name := BusPortFile(dir, "golden")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, name, "23456\n")
	t.Cleanup(func() {
		_ = os.Remove(name)
		_ = os.Remove(filepath.Dir(name)) // others may have something there
	})
}

// checkNoValues exports in every form.
func checkNoValues(t *testing.T, l *Loaded) {
	t.Helper()
	for _, opts := range []ExportOptions{{}, {JSON: true}, {NoInterpolate: true}, {JSON: true, NoInterpolate: true}} {
		doc := mustExport(t, l, opts)
		for name, v := range variables {
			if strings.Contains(doc, v) {
				t.Errorf("%+v: the value of %s is in the file", opts, name)
			}
		}
	}
}

// checkRunsTheSame holds that what export prints is what up runs.
func checkRunsTheSame(t *testing.T, l *Loaded, req Request, doc string) {
	t.Helper()
	want := hashes(t, l)
	for _, form := range []ExportOptions{{}, {JSON: true}} {
		name := filepath.Join(t.TempDir(), "docker-compose.yml")
		write(t, name, mustExport(t, l, form))
		for _, project := range []string{"", req.Name} {
			file := mustLoad(t, Request{Files: []string{name}, Dir: l.Dir, Name: project})
			if got := hashes(t, file); !maps.Equal(got, want) {
				t.Errorf("%+v: hashes of the exported file: %v, want %v", form, got, want)
			}
			if file.Project.Name != l.Project.Name {
				t.Errorf("%+v: it is called %q, want %q", form, file.Project.Name, l.Project.Name)
			}
		}
	}
	if !Sealed([]byte(doc)) {
		t.Error("it isn't sealed")
	}
}
