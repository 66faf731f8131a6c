package compose

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const small = "in = input api { to: out }\nout = output console {}\n"

func TestSeal(t *testing.T) {
	for _, doc := range []string{
		"name: x\n", "# one\n# two\nname: x\n", "# one\n\nname: x\n", "", "# only a comment\n",
		"name: x\n# Content sha256:0\n", "a: |\n  # Content sha256:1\n",
	} {
		sealed := seal([]byte(doc))
		if !Sealed(sealed) {
			t.Errorf("%q isn't sealed:\n%s", doc, sealed)
		}
		if Sealed([]byte(doc)) {
			t.Errorf("%q counts as sealed", doc)
		}
		for i := range sealed {
			edited := append(append(append([]byte{}, sealed[:i]...), 'x'), sealed[i:]...)
			if Sealed(edited) {
				t.Errorf("an edit at %d isn't seen:\n%s", i, edited)
			}
		}
		if Sealed(append(sealed, "# mine\n"...)) {
			t.Error("what was added isn't seen")
		}
	}
}

func TestWriteExport(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "docker-compose.yml")
	one, two := seal([]byte("name: one\n")), seal([]byte("name: two\n"))
	ok := func(doc []byte, force bool) {
		t.Helper()
		if err := WriteExport(name, doc, force); err != nil {
			t.Fatal(err)
		}
		if read(t, name) != string(doc) {
			t.Fatalf("wrote %q", read(t, name))
		}
	}
	ok(one, false)
	wantMode(t, name, 0o644)
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(name, past, past); err != nil {
		t.Fatal(err)
	}
	ok(one, false)
	if info, err := os.Stat(name); err != nil || !info.ModTime().Equal(past) {
		t.Errorf("the same content was written again: %v, %v", info, err)
	}
	ok(two, false)
	edited := string(two) + "# mine\n"
	write(t, name, edited)
	if err := WriteExport(name, one, false); !errors.Is(err, ErrEdited) || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v", err)
	}
	if read(t, name) != edited {
		t.Error("an edited file was changed")
	}
	ok(one, true)
	wantNames(t, dir, "docker-compose.yml")

	link := filepath.Join(t.TempDir(), "link.yml")
	symlink(t, name, link)
	if err := WriteExport(link, two, false); err != nil || read(t, name) != string(two) {
		t.Errorf("through a link: %v", err)
	}
	for _, bad := range []string{dir, filepath.Join(dir, "none", "x.yml")} {
		if err := WriteExport(bad, one, true); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	wantNames(t, dir, "docker-compose.yml")
}

func TestDiff(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.yml")
	if _, err := Diff(name, nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error %v", err)
	}
	write(t, name, "a\n")
	if d, err := Diff(name, []byte("a\n")); d != nil || err != nil {
		t.Errorf("the same: %q, %v", d, err)
	}
	if d, err := Diff(name, []byte("b\n")); !strings.Contains(string(d), "-a\n+b\n") || err != nil {
		t.Errorf("%q, %v", d, err)
	}
}

func TestPrepare(t *testing.T) {
	clearEnvironment(t, nil)
	dir := folder(t, map[string]string{"main.ww": small, "compose.yml": "services: {a: {image: b}}\n"})
	l := mustLoad(t, Request{Files: []string{dir + "/compose.yml"}})
	if err := l.Prepare(); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir, "compose.yml", "main.ww")
	l = mustLoad(t, Request{Files: []string{dir + "/main.ww"}, Binary: fakeBinary(t)})
	wantNames(t, dir, "compose.yml", "main.ww") // loading writes nothing
	for range 2 {
		if err := l.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	wantNames(t, filepath.Join(dir, ".ww"), ".gitignore", "build", "secrets")
	wantNames(t, filepath.Join(dir, ".ww", "build"), "component")
	wantNames(t, filepath.Join(dir, ".ww", "build", "component"), ".ww-digest", "Dockerfile", "data", "ww")
	for _, s := range l.Project.Services {
		if s.Build != nil && s.Build.Context != filepath.Join(dir, ".ww", "build", "component") {
			t.Errorf("context %s", s.Build.Context)
		}
	}
	if file := l.Project.Secrets[busPassword].File; read(t, file) == "" {
		t.Errorf("%s is empty", file)
	}
}

// TestMixesKeepSecrets: whatever a .ww file is merged with, and in whatever
// form, values stay out.
func TestMixesKeepSecrets(t *testing.T) {
	const value = "val-7f3a"
	clearEnvironment(t, map[string]string{"A": value, "B": value, "C": value, "P": "45671"})
	dir := folder(t, map[string]string{
		"main.ww": `in = input api { port: $P  host: ${HOST:-127.0.0.1}  to: [m, e] }
m = llm openai { model: ${B:-small}  api_key: $A  to: out }
e = core exec { image: "busybox:stable"  command: ["env"]  environment: { X: $C } }
out = output console {}
d = docker { components = { box = { image = $A  environment = { Y = $A  Z = "$B" }  ports = { "80": $P } } }  message_bus = redis { ports = { "1": $P } } }
`,
		"more.yml": `services:
  m: {cpu_shares: 512, environment: {FROM_FILE: "${C}", PASSED: }}
  extra:
    image: "x:${C}"
    env_file: vars
    ports: ["${P}:80", "${HOST:-127.0.0.1}:${P}:81"]
    volumes: ["${C}:/data", "./${C}:/here"]
    secrets: [s]
    configs: [c]
secrets: {s: {environment: C}}
configs: {c: {environment: C}}
volumes: {val: {}}
include: [included.yml]
`,
		"included.yml": "services: {inc: {image: i, environment: {I: \"${C}\"}, env_file: vars}}\n",
		"vars":         "FILE_VALUE=" + value + "\n",
	})
	write(t, dir+"/more.yml", strings.Replace(read(t, dir+"/more.yml"), `"${C}:/data", `, "", 1))
	main, more := dir+"/main.ww", dir+"/more.yml"
	for name, files := range map[string][]string{"alone": {main}, "mixed": {main, more}, "other order": {more, main}} {
		for _, opts := range []ExportOptions{{}, {JSON: true}, {NoInterpolate: true}, {JSON: true, NoInterpolate: true}} {
			l := mustLoad(t, Request{Files: files, Name: "mix", Binary: fakeBinary(t)})
			doc := mustExport(t, l, opts)
			if strings.Contains(doc, value) || strings.Contains(doc, "45671") {
				t.Errorf("%s, %+v: a value is in it:\n%s", name, opts, doc)
			}
			if opts.JSON && !json.Valid([]byte(doc)) {
				t.Errorf("%s, %+v: no JSON", name, opts)
			}
			if !opts.JSON && !Sealed([]byte(doc)) {
				t.Errorf("%s, %+v: not sealed", name, opts)
			}
			out := filepath.Join(t.TempDir(), "out.yml")
			write(t, out, doc)
			again := mustLoad(t, Request{Files: []string{out}, Dir: dir, Name: "mix"})
			if got, want := hashes(t, again), hashes(t, l); len(got) != len(want) {
				t.Errorf("%s, %+v: services %v, want %v", name, opts, got, want)
			} else {
				for s := range want {
					if got[s] != want[s] {
						t.Errorf("%s, %+v: %s isn't what up runs", name, opts, s)
					}
				}
			}
		}
	}
}

func TestExportOfComposeFiles(t *testing.T) {
	clearEnvironment(t, map[string]string{"GREETING": "costs $5"})
	dir := folder(t, map[string]string{"a.yml": "name: a\nservices: {s: {image: i, environment: {G: \"${GREETING}\", D: \"$$HOME\"}}}\n"})
	l := mustLoad(t, Request{Files: []string{dir + "/a.yml"}})
	for _, opts := range []ExportOptions{{}, {JSON: true}} {
		out := filepath.Join(t.TempDir(), "out.yml")
		doc := mustExport(t, l, opts)
		write(t, out, doc)
		env := mustLoad(t, Request{Files: []string{out}}).Project.Services["s"].Environment
		if *env["G"] != "costs $5" || *env["D"] != "$HOME" {
			t.Errorf("%+v: %s", opts, doc)
		}
	}
	doc := mustExport(t, l, ExportOptions{NoInterpolate: true})
	if !strings.Contains(doc, "${GREETING}") || !strings.HasPrefix(doc, "# Merged by ww from a.yml.\n") {
		t.Errorf("not interpolated:\n%s", doc)
	}
}
