package compose

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/templates"
)

// awkward are strings that YAML, Compose or a shell would like to understand.
var awkward = []string{
	"", " ", "  leading", "trailing  ", "\n", "\n\n", "\nleading", "trailing\n", "trailing\n\n", " \n x", "a\n  \nb", "a\n \n", "\tx", "x\t\ny\t",
	"$", "$$", "$$$", "$5", "costs $5 ${x} $$", "${x", "$x", "${x:-y}", "${COMPOSE_PROJECT_NAME}", "a$", "$(id)", "`id`", "$[x]", "${}", "$-",
	"yes", "no", "y", "N", "on", "Off", "true", "FALSE", "null", "~", "Null", "0x1", "0o7", "007", "1e3", ".5", "1_000", "-.inf", ".nan", "12:30:45", "190:20:30",
	"2001-01-01", "2001-12-14t21:59:43.10-05:00", "=", "<<", "!tag", "&anchor", "*alias", "?", "? x", "-", "- x", "---", "...", "--- x", "%YAML", "@x", "`", "|", ">", "|-",
	"a: b", "a:", ":a", "a #b", "#", "# x", "a#b", "{", "}", "[", "]", "{a: b}", "[a, b]", ",", "\"", "'", "\"a\"", "'a'", "it's", "\\", "\\n", "\\u0041", "a\\",
	"é", "日本語", "🙂", "e\u0301", "\u00a0", "\u200b", "\u2028", "\u2029", "\u0085", "a\u0085b", "\ufeff", "a\ufeffb", "\ufffd", "\ufffe", "\u007f", "\u0080", "\u001b[31m", "\r", "a\r\nb", "\v\f", "\u0001",
	"# Content sha256:", "EOF", "x\nEOF\ny", "]\n[", "{\n\"a\": [\n\"b\"\n]\n}", strings.Repeat("long ", 100), strings.Repeat("x", 5000),
}

// system puts a string wherever a .ww file can have one that a container sees.
func system(s string) string {
	q := quoted(s)
	return fmt.Sprintf(`in = core template { template: %[1]s  extra: { %[2]s: [%[1]s, { deep: %[1]s }] }  to: [out, %[3]s] }
run = core exec { image: "busybox:stable"  command: ["echo", %[1]s]  environment: { V: %[1]s }  to: out }
out = output console {}
d = docker { components = { box = {
    image = "busybox:stable", command = ["echo", %[1]s], environment = { V = %[1]s }, labels = { l = %[1]s }
} } }
`, q, quoted("k"+s), quoted(topicOf(s)))
}

// topicOf is as much of a string as a topic can have in it.
func topicOf(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == ':' || r == '.' || unicode.IsSpace(r) || unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	return "topic-" + strings.ToValidUTF8(s[:min(len(s), 500)], "")
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return plainJSON(string(b))
}

// checkString loads a system with the string, exports it, loads that, and
// compares what the containers see with what the author wrote.
func checkString(t *testing.T, s string, binary templates.Binary) {
	t.Helper()
	dir := t.TempDir()
	main := filepath.Join(dir, "main.ww")
	write(t, main, system(s))
	l, err := Load(t.Context(), Request{Files: []string{main}, Name: "strings", Binary: binary})
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	if l.Diagnostics.HasErrors() {
		t.Fatalf("%q: %s", s, messages(l.Diagnostics))
	}
	checkSeen(t, l, s)
	for _, form := range []ExportOptions{{}, {JSON: true}} {
		out := filepath.Join(dir, "out.yml")
		write(t, out, mustExport(t, l, form))
		file, err := Load(t.Context(), Request{Files: []string{out}, Dir: dir})
		if err != nil {
			t.Fatalf("%q: the exported file: %v\n%s", s, err, mustExport(t, l, form))
		}
		checkSeen(t, file, s)
	}
}

func checkSeen(t *testing.T, l *Loaded, s string) {
	t.Helper()
	box := l.Project.Services["box"]
	if got := *box.Environment["V"]; got != s {
		t.Errorf("environment: %q became %q", s, got)
	}
	if got := box.Labels["l"]; got != s {
		t.Errorf("label: %q became %q", s, got)
	}
	if got := box.Command; len(got) != 2 || got[1] != s {
		t.Errorf("command: %q became %q", s, got)
	}
	var in, run struct {
		Topics   []string       `json:"topics"`
		Settings map[string]any `json:"settings"`
	}
	for name, into := range map[string]any{"in": &in, "run": &run} {
		if err := json.Unmarshal([]byte(*l.Project.Services[name].Environment["COMPONENT_CONFIG"]), into); err != nil {
			t.Fatalf("%q: configuration of %s: %v", s, name, err)
		}
	}
	want := map[string]any{"template": s, "extra": map[string]any{"k" + s: []any{s, map[string]any{"deep": s}}}}
	if !reflect.DeepEqual(in.Settings, want) || !reflect.DeepEqual(in.Topics, []string{topicOf(s)}) {
		t.Errorf("settings: %q became %#v, %q", s, in.Settings, in.Topics)
	}
	want = map[string]any{"command": []any{"echo", s}, "environment": map[string]any{"V": s}}
	if !reflect.DeepEqual(run.Settings, want) {
		t.Errorf("settings: %q became %#v", s, run.Settings)
	}
}

// TestStrings has them in the middle of others; FuzzExport begins with them as
// they are.
func TestStrings(t *testing.T) {
	clearEnvironment(t, map[string]string{"x": "INTERPOLATED", "HOME": "INTERPOLATED"})
	binary := fakeBinary(t)
	for _, s := range awkward {
		checkString(t, "a"+s+"z", binary)
	}
}

func FuzzExport(f *testing.F) {
	for _, s := range awkward {
		f.Add(s)
	}
	binary := fakeBinary(f)
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || len(s) > 1<<16 {
			t.Skip()
		}
		checkString(t, s, binary)
	})
}

// TestNeedsQuotes: older parsers than the one that is used here read them, too.
func TestNeedsQuotes(t *testing.T) {
	for _, s := range []string{"y", "Y", "yes", "No", "on", "OFF", "true", "null", "~", "1", "0x1", "1e3", "12:30", "1:2:3", "2001-01-01", "", " a", "a: b"} {
		if !needsQuotes(s) {
			t.Errorf("%q needs quotes", s)
		}
	}
	for _, s := range []string{"a", "redis:alpine", "redis://message-bus:6379", "./x", "15s", "256m", "core exec", "${A}:b"} {
		if needsQuotes(s) {
			t.Errorf("%q needs no quotes", s)
		}
	}
}

func TestShortLists(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"[]", "[]"},
		{`{"a":["b"]}`, "{\n  \"a\": [\"b\"]\n}"},
		{`[["a",1,null],"]","[",["{"]]`, "[\n  [\"a\", 1, null],\n  \"]\",\n  \"[\",\n  [\"{\"]\n]"},
		{`[{"a":[1]},2]`, "[\n  {\n    \"a\": [1]\n  },\n  2\n]"},
	} {
		var v any
		if err := json.Unmarshal([]byte(tt.in), &v); err != nil {
			t.Fatal(err)
		}
		indented, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if got := shortLists(string(indented)); got != tt.want {
			t.Errorf("%s became\n%s\nwant\n%s", tt.in, got, tt.want)
		}
	}
}

func TestInterpolation(t *testing.T) {
	if got := interpolation(model.Env{Name: "A", Op: ":-", Arg: "$5 ${B}"}); got != "${A:-$$5 $${B}}" {
		t.Errorf("%s", got)
	}
}
