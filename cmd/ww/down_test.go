package main

import (
	"strings"
	"testing"
)

// says is what a command that has to succeed prints.
func says(t *testing.T, args ...string) (out, err string) {
	t.Helper()
	code, out, err := ww(args...)
	if code != exitOK {
		t.Fatalf("%v: exit code %d: %s", args, code, err)
	}
	return out, err
}

// TestDownOfSome: of services that are named nothing goes but they, and what
// depends on them; a name that isn't there takes nothing down.
func TestDownOfSome(t *testing.T) {
	f := newFaked(t, apps(nil), map[string]string{"compose.yml": `services:
  web: {image: "app:1", depends_on: [api]}
  api: {image: "app:1", depends_on: [db]}
  db: {image: "app:1", volumes: ["data:/data"]}
  other: {image: "app:1", volumes: ["mine:/data"]}
  off: {image: "app:1", profiles: [p]}
volumes: {data: {}, mine: {}}
`})
	mustWW(t, "compose", "up", "-d", "--quiet")
	names := func() string {
		out, _ := says(t, "compose", "ps", "-a", "--services")
		return strings.Join(strings.Fields(out), " ")
	}
	if code, _, err := ww("compose", "down", "wbe"); code != exitUsage || !strings.Contains(err, `did you mean "web"?`) || names() != "api db other web" {
		t.Errorf("%d %s, left %s", code, err, names())
	}
	if _, err := says(t, "compose", "down", "off"); !strings.Contains(err, "nothing to do") || names() != "api db other web" {
		t.Errorf("%s, left %s", err, names())
	}
	if says(t, "compose", "down", "-v", "api"); names() != "db other" {
		t.Errorf("left %s", names())
	}
	if says(t, "compose", "down", "-v", "db"); names() != "other" {
		t.Errorf("left %s", names())
	}
	if left := f.left(); strings.Contains(left, "p_data") || !strings.Contains(left, "p_mine") || !strings.Contains(left, "p_default") {
		t.Errorf("left %s", left)
	}
}

// TestNameAlone: a name without -f is of a project of its own, as with docker
// compose, whatever file is here.
func TestNameAlone(t *testing.T) {
	for name, file := range map[string]string{"broken": "services: [\n", "another": "services: {a: {image: x}, c: {image: x, profiles: [p]}}\n"} {
		t.Run(name, func(t *testing.T) {
			f := newFaked(t, apps(nil), map[string]string{
				"compose.yml": file, "mine/compose.yml": "services:\n  a: {image: \"app:1\"}\n  b: {image: \"app:1\"}\n  c: {image: \"app:1\"}\n",
			})
			t.Setenv("COMPOSE_PROJECT_NAME", "")
			mustWW(t, "compose", "-p", "p", "-f", "mine/compose.yml", "up", "-d", "--quiet")
			if out, _ := says(t, "compose", "-p", "p", "ps", "--services"); strings.Join(strings.Fields(out), " ") != "a b c" {
				t.Errorf("ps: %s", out)
			}
			for _, verb := range []string{"stop", "start", "restart", "logs", "kill", "start", "down"} {
				if _, err := says(t, "compose", "-p", "p", verb); strings.Contains(err, "stay") {
					t.Errorf("%s: %s", verb, err)
				}
			}
			if left := f.left(); left != "" {
				t.Errorf("left %s", left)
			}
		})
	}
}

// TestDownImages: --rmi local takes along all that was ever built for a project,
// and leaves what others use or what is everybody's; all takes that too, unless a
// container of another project is of it.
func TestDownImages(t *testing.T) {
	f := newFaked(t, apps(nil), map[string]string{
		"compose.yml": "services:\n  a: {build: .}\n  b: {image: \"app:1\"}\n", "Dockerfile": "FROM app:1\n", "other.yml": "services: {c: {image: \"p-a:latest\"}}\n"})
	for range 2 {
		mustWW(t, "compose", "up", "-d", "--build", "--quiet")
	}
	_, err := says(t, "compose", "down", "--rmi", "local")
	if got := strings.Join(f.Images(), " "); got != "app:1 redis:alpine" || !strings.Contains(err, "2 images in") {
		t.Errorf("left %s: %s", got, err)
	}
	mustWW(t, "compose", "up", "-d", "--build", "--quiet")
	mustWW(t, "compose", "-p", "q", "-f", "other.yml", "up", "-d", "--quiet")
	_, err = says(t, "compose", "down", "--rmi", "all")
	if got := strings.Join(f.Images(), " "); got != "p-a:latest redis:alpine" || !strings.Contains(err, "note: p-a:latest stay") || strings.Contains(err, "failed") {
		t.Errorf("left %s: %s", got, err)
	}
}

// TestTooManyContainers: a component that more containers than the queue has
// partitions would share is refused; others aren't.
func TestTooManyContainers(t *testing.T) {
	newFaked(t, apps(nil), map[string]string{"compose.yml": `services:
  greet: {image: "app:1", labels: {dev.woodwork.kind: core}}
  other: {image: "app:1", labels: {dev.woodwork.kind: container}}
`})
	if code, _, err := ww("compose", "up", "-d", "--scale", "greet=17"); code != exitUsage || !strings.Contains(err, "greet can't have 17 containers: 16 share") {
		t.Errorf("%d %s", code, err)
	}
	mustWW(t, "compose", "up", "-d", "--quiet", "--scale", "greet=16", "--scale", "other=17")
	if out, _ := says(t, "compose", "ps", "-q"); len(strings.Fields(out)) != 33 {
		t.Errorf("%d containers", len(strings.Fields(out)))
	}
}
