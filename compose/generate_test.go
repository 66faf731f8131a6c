package compose

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestMistakes: what only matters to containers is a diagnostic, and each
// mistake is one.
func TestMistakes(t *testing.T) {
	clearEnvironment(t, nil)
	const end = "\nout = output console {}\n"
	for src, want := range map[string]string{
		`a = core exec { command: ["x"] }`:                                                                    `missing-key: core exec "a" needs "image"`,
		`a = core exec { image: "i" }`:                                                                        `missing-key: core exec "a" needs "command"`,
		`a = core exec { image: $I  command: ["x"] }`:                                                         `wrong-value: "image" of "a" can't be a variable`,
		`a = core exec { image: "i"  source: "none"  command: ["x"] }`:                                        `bad-source: source of a: DIR/none: no such file`,
		`a = core exec { dockerfile: "none/Dockerfile"  command: ["x"] }`:                                     `bad-source: dockerfile of a: DIR/none/Dockerfile: no such file`,
		`a = core exec { image: "Bad Image:x"  command: ["x"] }`:                                              `bad-image: "Bad Image:x" can't be the name of an image: invalid reference format: repository name (library/Bad Image) must be lowercase`,
		`a = core exec { python: "none.py" }`:                                                                 `bad-source: python of a: DIR/none.py: no such file`,
		`a = core exec { python: "x.py"  source: "src" }`:                                                     `bad-source: there is no x.py in the source of "a"`,
		`a = core exec { python: "src/m.py"  requirements: "r.txt" }`:                                         `bad-source: requirements of a: DIR/r.txt: no such file`,
		`a = core template { template: ""  restart: "sometimes" }`:                                            `wrong-value: "restart" of core template can't be "sometimes"`,
		`a = core template { template: ""  restart: "on-failure:x" }`:                                         `wrong-value: there is no restart policy`,
		`a = core template { template: ""  grace: $G }`:                                                       `wrong-value: "grace" can't be a variable`,
		`a = core template { template: ""  resources: { cpus: "many" } }`:                                     `wrong-type: "cpus" has to be a number`,
		`a = core template { template: ""  resources: { memory: "much" } }`:                                   `wrong-type: "memory" has to be a size`,
		`a = core template { template: ""  resources: { pids: 1.5 } }`:                                        `wrong-type: "pids" has to be a number`,
		`a = core template { template: ""  resources: { memory: $M } }`:                                       `wrong-type: "memory" can't be this`,
		`a = input api { replicas: 2  to: out }`:                                                              `port-clash: replicas of "a" can't all publish one port`,
		`a = input api { replicas: $N  to: out }`:                                                             `port-clash: replicas of "a" can't all publish one port`,
		`a = llm openai { model: $bus_password }`:                                                             `reserved-name: "bus_password" is the name of the bus's password`,
		`a = llm openai { model: ${M:-x}  system: ${M:-y} }`:                                                  `two-defaults: "a" gives the variable M two defaults`,
		`message_bus = memory {}`:                                                                             `wrong-bus: a bus in memory lives in one process`,
		`message_bus = redis { appendfsync: "often" }`:                                                        `wrong-value: "appendfsync" of a redis bus can't be "often"`,
		`message_bus = redis { appendfsync: $F }`:                                                             `wrong-value: "appendfsync" can't be a variable`,
		`message_bus = redis { maxmemory: $F }`:                                                               `wrong-value: "maxmemory" can't be a variable`,
		`message_bus = redis { ports: "6379" }`:                                                               "wrong-type: `ports` has to be a block or a list",
		`d = docker { components = { x = { image = "i", ports = "80" } } }`:                                   "wrong-type: `ports` has to be a block or a list",
		`d = docker { components = { out = { ports = "80" } } }`:                                              "wrong-type: `ports` has to be a block or a list",
		`a = core exec { image: "i"  source: "linked"  command: ["x"] }`:                                      "bad-source: source of a: the link DIR/linked/l leads out of the folder, to ../secret",
		"a = core exec { command: [\"x\"] }\nb = core template { template: \"\"  restart: \"on-failure:x\" }": "missing-key: core exec \"a\" needs \"image\" AND wrong-value: there is no restart policy",
	} {
		dir := folder(t, map[string]string{"main.ww": src + end, "src/m.py": "", "linked/f": "", "secret": ""})
		symlink(t, "../secret", filepath.Join(dir, "linked", "l"))
		l, err := Load(t.Context(), Request{Files: []string{filepath.Join(dir, "main.ww")}, Binary: fakeBinary(t)})
		if err != nil {
			t.Errorf("%s: error %v", src, err)
			continue
		}
		wants := strings.Split(strings.ReplaceAll(want, "DIR", dir), " AND ")
		var got []string
		for _, d := range l.Diagnostics {
			got = append(got, d.Code+": "+d.Message)
			if d.Span.File == "" {
				t.Errorf("%s: %q has no place", src, d.Message)
			}
		}
		slices.Sort(got)
		slices.Sort(wants)
		if !slices.EqualFunc(got, wants, strings.HasPrefix) || l.Project != nil {
			t.Errorf("%s: diagnostics %q, want %q", src, got, wants)
		}
	}
}

// TestLeftBehind: a command that names a file beside the .ww file is warned of,
// unless something brings it into the container.
func TestLeftBehind(t *testing.T) {
	clearEnvironment(t, nil)
	for src, want := range map[string]string{
		`image: "i"  command: ["sh", "src/m.py"]`:                         `main.ww:1:60: "a" runs src/m.py, which is beside the file and not in the image i`,
		`image: "i"  command: ["sh", "/src/m.py", "m.py", "src", "../x"]`: ``,
		`image: "i"  source: "src"  command: ["sh", "m.py"]`:              ``,
		`image: "i"  volumes: [".:/w"]  command: ["sh", "src/m.py"]`:      ``,
		`python: "src/m.py"`: ``,
	} {
		dir := folder(t, map[string]string{"main.ww": "a = core exec { mode: \"lines\"  " + src + " }\n", "src/m.py": ""})
		l, err := Load(t.Context(), Request{Files: []string{filepath.Join(dir, "main.ww")}, Binary: fakeBinary(t)})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, d := range l.Diagnostics {
			got += fmt.Sprintf("%s:%d:%d: %s", filepath.Base(d.Span.File), d.Span.Start.Line, d.Span.Start.Column, d.Message)
		}
		if got != want || l.Diagnostics.HasErrors() {
			t.Errorf("%s: %q, want %q", src, got, want)
		}
	}
}

// TestVariablesAreKnown: `up` can say what isn't set before it starts anything.
func TestVariablesAreKnown(t *testing.T) {
	clearEnvironment(t, nil)
	dir := folder(t, map[string]string{"main.ww": `in = input api { port: $A  host: $B  to: out }
out = output console { restart: $C  replicas: $D  volumes: [$E] }
m = llm openai { model: $F  api_key: ${G:?why} }
message_bus = redis { image = $H  ports = { "1": $I } }
d = docker { components = { box = { image = $J, ports = { "2": $K } } } }
`})
	for k, v := range map[string]string{"A": "1", "B": "127.0.0.1", "C": "no", "D": "2", "E": "v:/v", "F": "f", "G": "g", "H": "h", "I": "1", "J": "j", "K": "2"} {
		t.Setenv(k, v)
	}
	l := mustLoad(t, Request{Files: []string{dir + "/main.ww"}, Binary: fakeBinary(t)})
	got := map[string]bool{}
	for _, v := range l.Generated.Variables {
		got[v.Component+" "+v.Name] = true
	}
	for _, want := range []string{"in A", "in B", "out C", "out D", "out E", "m F", "m G", "message-bus H", "message-bus I", "box J", "box K"} {
		if !got[want] {
			t.Errorf("%s isn't noted: %v", want, got)
		}
	}
	if s := l.Project.Services["out"]; s.Restart != "no" || *s.Deploy.Replicas != 2 {
		t.Errorf("%+v", s)
	}
}

func TestNamesOfImages(t *testing.T) {
	for name, want := range map[string]string{
		"a": "a", "Shout": "shout", "a.b": "a.b", "a_b": "a_b", "a__b": "a__b", "a___b": "a-b", "a..b": "a-b", "a-._b": "a-b", "a--b": "a--b", "a.": "a", "a-": "a", "9": "9",
	} {
		if got := repository(name); got != want {
			t.Errorf("%s became %s, want %s", name, got, want)
		}
	}
}

// TestCommentsStayComments: no line break of any sort gets into a comment, by
// topics or otherwise.
func TestCommentsStayComments(t *testing.T) {
	clearEnvironment(t, nil)
	for _, topic := range []string{`a\rservices: x`, `b\u0085x: y`, `c\u2028x: y`, `d\nx: y`} {
		dir := folder(t, map[string]string{"main.ww": `out = core template { template: ""  to: ["` + topic + `"] }`})
		if l, err := Load(t.Context(), Request{Files: []string{dir + "/main.ww"}, Binary: fakeBinary(t)}); err != nil || !l.Diagnostics.HasErrors() {
			t.Errorf("%s: %v, %v", topic, err, l.Diagnostics)
		}
	}
	if got := oneLine("a\rb\u0085c\u2028d\ne"); strings.ContainsAny(got, "\r\u0085\u2028\n") {
		t.Errorf("%q", got)
	}
}

func large(n int) string {
	var b strings.Builder
	b.WriteString("in = input api { to: c0 }\n")
	for i := range n - 2 {
		fmt.Fprintf(&b, "c%d = core template { template: \"step %d: {{ .payload }}\"  to: c%d }\n", i, i, i+1)
	}
	fmt.Fprintf(&b, "c%d = output console {}\n", n-2)
	return b.String()
}

// TestParts: a file that is loaded in parts is the one that is exported, also
// where it is plain and spared some of the loading.
func TestParts(t *testing.T) {
	settings := "s1 = llm openai { model: $SET }\ns2 = llm openai { model: ${UNSET:-y}  volumes: [\"v:/v\"] }\n" +
		"s3 = core exec { command: [\"x\"] image: \"i\" replicas: 3 restart: \"on-failure:2\" resources: { memory: 64m cpus: 0.5 } volumes: [\"./a:/a:ro\", \"/b:/b\"] }\n" +
		"s4 = input api { port: 9090 grace: 3s }\n"
	override := "d = docker { components = { box = { image = \"i\", environment = { U = $UNSET2 }, network_mode = \"service:in\" } } }\n"
	for name, more := range map[string]string{"plain": settings, "with overrides": settings + override} {
		t.Run(name, func(t *testing.T) {
			clearEnvironment(t, map[string]string{"SET": "x"})
			src := large(3*partSize) + more
			dir := folder(t, map[string]string{"main.ww": src})
			req := Request{Files: []string{dir + "/main.ww"}, Name: "parts", Binary: fakeBinary(t)}
			l := mustLoad(t, req)
			if n := len(l.parts()); n != 4 || l.plain() != (name == "plain") {
				t.Errorf("%d parts, plain: %v", n, l.plain())
			}
			doc := mustExport(t, l, ExportOptions{})
			checkRunsTheSame(t, l, req, doc)
			if got := strings.Count(doc, "\n\n  # "); got != len(l.Project.Services)-1 {
				t.Errorf("%d empty lines between %d services", got, len(l.Project.Services))
			}
			write(t, dir+"/out.yml", doc)
			whole := mustLoad(t, Request{Files: []string{dir + "/out.yml"}})
			if !reflect.DeepEqual(whole.Project.Services, l.Project.Services) || !reflect.DeepEqual(whole.Project.Volumes, l.Project.Volumes) ||
				!reflect.DeepEqual(whole.Project.Networks, l.Project.Networks) || !reflect.DeepEqual(whole.Project.Secrets, l.Project.Secrets) ||
				!reflect.DeepEqual(whole.Project.Configs, l.Project.Configs) || !reflect.DeepEqual(whole.Unset, l.Unset) ||
				whole.Project.Environment["COMPOSE_PROJECT_NAME"] != l.Project.Environment["COMPOSE_PROJECT_NAME"] {
				t.Error("the parts make another project than the whole")
			}
			if name == "plain" {
				return
			}
			write(t, dir+"/main.ww", strings.Replace(src, "box = {", "box = { extends = \"in\",", 1))
			if again := mustLoad(t, req); again.parts() != nil || again.Project.Services["box"].Command == nil {
				t.Errorf("a service that takes up another one: %+v", again.Project.Services["box"])
			}
		})
	}
}

// BenchmarkExport loads, generates and exports a system of 1,000 components.
func BenchmarkExport(b *testing.B) {
	dir := folder(b, map[string]string{"main.ww": large(1000)})
	req := Request{Files: []string{filepath.Join(dir, "main.ww")}, Name: "large", Binary: fakeBinary(b)}
	for b.Loop() {
		l := mustLoad(b, req)
		if len(l.Project.Services) != 1001 {
			b.Fatalf("%d services", len(l.Project.Services))
		}
		mustExport(b, l, ExportOptions{})
	}
}
