package compose

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

func TestDependencies(t *testing.T) {
	clearEnvironment(t, nil)
	for yaml, want := range map[string]string{
		"a: {image: i, depends_on: [b]}\n  b: {image: i}":                                  "",
		"a: {image: i, depends_on: [none]}":                                                `service "a" depends on undefined service "none"`,
		"a: {image: i, depends_on: {none: {condition: service_started, required: false}}}": `service "a" depends on undefined service "none"`,
		"a: {image: i, depends_on: [b]}\n  b: {image: i, profiles: [p, q]}":                `service "b" is required by "a" but is disabled: it is enabled by the profiles p, q`,
		"a: {image: i, depends_on: [a]}":                                                   "dependency cycle detected: a -> a",
		"x: {image: i, depends_on: [a]}\n  a: {image: i, depends_on: [b]}\n  b: {image: i, depends_on: [c]}\n  c: {image: i, links: [a]}": "dependency cycle detected: a -> b -> c -> a",
		"a: {image: i, depends_on: [b]}\n  b: {image: i, network_mode: \"service:a\"}":                                                    "dependency cycle detected: a -> b -> a",
	} {
		dir := folder(t, map[string]string{"x.yml": "services:\n  " + yaml + "\n"})
		got := loadMistakes(t, Request{Files: []string{dir + "/x.yml"}})
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", yaml, got, want)
		}
	}
}

func TestDependenciesAreKept(t *testing.T) {
	clearEnvironment(t, nil)
	dir := folder(t, map[string]string{"x.yml": `services:
  a:
    image: i
    depends_on: {b: {condition: service_healthy, restart: true}, off: {condition: service_started, required: false}}
  b: {image: i}
  off: {image: i, profiles: [p], depends_on: [b]}
`})
	p := mustLoad(t, Request{Files: []string{dir + "/x.yml"}}).Project
	want := types.ServiceDependency{Condition: "service_healthy", Restart: true, Required: true}
	if got := p.Services["a"].DependsOn; len(got) != 1 || got["b"].Condition != want.Condition || !got["b"].Restart || !got["b"].Required {
		t.Errorf("%+v", got)
	}
	if got := p.DisabledServices["off"].DependsOn; got["b"].Condition != "service_started" {
		t.Errorf("of a disabled service: %+v", got)
	}
}

// TestManyPaths: two components a layer, and both depend on both below, which
// makes 2⁶⁰ paths.
func TestManyPaths(t *testing.T) {
	clearEnvironment(t, nil)
	var b strings.Builder
	for i := range 60 {
		for _, side := range "ab" {
			fmt.Fprintf(&b, "%c%d = core template { template: \"\"  to: [a%d, b%d] }\n", side, i, i+1, i+1)
		}
	}
	b.WriteString("a60 = output console {}\nb60 = output console {}\n")
	dir := folder(t, map[string]string{"main.ww": b.String()})
	req := Request{Files: []string{dir + "/main.ww"}, Binary: fakeBinary(t)}
	done := make(chan *Loaded, 1)
	go func() {
		l, _ := Load(t.Context(), req)
		done <- l
	}()
	select {
	case l := <-done:
		if l == nil || l.Project == nil || len(l.Project.Services) != 123 {
			t.Errorf("loaded %+v", l)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it takes forever")
	}
}
