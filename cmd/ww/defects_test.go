package main

import (
	"os"
	"strings"
	"testing"

	"woodwork.dev/ww/dockerx/enginetest"
)

// What people run into with other tools must not be here.

// planned is what an up would do now.
func planned(t *testing.T, args ...string) string {
	t.Helper()
	code, out, err := ww(append([]string{"compose", "plan"}, args...)...)
	if code != exitOK {
		t.Fatalf("plan: exit code %d: %s", code, err)
	}
	return out
}

func mustWW(t *testing.T, args ...string) {
	t.Helper()
	if code, _, err := ww(args...); code != exitOK {
		t.Fatalf("%v: exit code %d: %s", args, code, err)
	}
}

func rewrite(t *testing.T, name, old, now string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(b), old) {
		t.Fatalf("%s: %v, it has no %q", name, err, old)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(b), old, now, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestContentsAreCompared: a config or secret whose content changes replaces
// what uses it, and nothing else.
func TestContentsAreCompared(t *testing.T) {
	newFaked(t, apps(nil), map[string]string{"s.txt": "one", "compose.yml": `
services:
  a: {image: "app:1", configs: [c]}
  b: {image: "app:1", secrets: [s]}
  d: {image: "app:1"}
configs: {c: {content: "old"}}
secrets: {s: {file: ./s.txt}}
`})
	mustWW(t, "compose", "up", "-d", "--quiet")
	if out := planned(t); !strings.Contains(out, "nothing to do") {
		t.Errorf("at once:\n%s", out)
	}
	rewrite(t, "compose.yml", `"old"`, `"new"`)
	out := planned(t)
	if !strings.Contains(out, "p-a-1  (the content of a config or secret changed)") || strings.Contains(out, "p-b-1") || strings.Contains(out, "p-d-1") {
		t.Errorf("a config changed:\n%s", out)
	}
	mustWW(t, "compose", "up", "-d", "--quiet")
	rewrite(t, "s.txt", "one", "two")
	if out := planned(t); !strings.Contains(out, "p-b-1") || strings.Contains(out, "p-a-1") || strings.Contains(out, "two") {
		t.Errorf("a secret's file changed:\n%s", out)
	}
}

// TestToolKeysTouchNothing: keys that say nothing about a container make none
// anew.
func TestToolKeysTouchNothing(t *testing.T) {
	newFaked(t, apps(nil), map[string]string{"compose.yml": "services:\n  a:\n    image: app:1\n"})
	mustWW(t, "compose", "up", "-d", "--quiet")
	rewrite(t, "compose.yml", "image: app:1\n", "image: app:1\n    attach: false\n    develop: {watch: [{path: ., action: rebuild}]}\n    depends_on: []\n    profiles: []\n")
	if out := planned(t); !strings.Contains(out, "nothing to do") {
		t.Errorf("%s", out)
	}
}

// TestExitCodeFrom: what fails isn't hidden behind the service that was asked
// about, and what ends well ends nothing.
func TestExitCodeFrom(t *testing.T) {
	for name, tt := range map[string]struct {
		tests, other enginetest.Behaviour
		code         int
	}{
		"fails":              {enginetest.Behaviour{Exits: true, ExitCode: 3}, enginetest.Behaviour{}, 3},
		"ends well":          {enginetest.Behaviour{Exits: true}, enginetest.Behaviour{}, 0},
		"another one failed": {enginetest.Behaviour{}, enginetest.Behaviour{Exits: true, ExitCode: 5}, 5},
		"another ends well":  {enginetest.Behaviour{Exits: true, ExitCode: 4}, enginetest.Behaviour{Exits: true}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFaked(t, apps(map[string]enginetest.Behaviour{"tests": tt.tests, "other": tt.other}), map[string]string{
				"compose.yml": "services:\n  tests: {image: \"app:1\"}\n  other: {image: \"app:1\"}\n",
			})
			if code, _, err := ww("compose", "up", "--exit-code-from", "tests"); code != tt.code || f.left() != "" {
				t.Errorf("exit code %d, want %d, left %s\n%s", code, tt.code, f.left(), err)
			}
		})
	}
	newFaked(t, apps(nil), map[string]string{"compose.yml": "services:\n  tests: {image: \"app:1\"}\n"})
	wantFailure(t, exitUsage, []string{`no service "test"`, "tests"}, "compose", "up", "--exit-code-from", "test")
}

// TestAbortOnFailure: only a failure ends what may end well.
func TestAbortOnFailure(t *testing.T) {
	newFaked(t, apps(map[string]enginetest.Behaviour{"a": {Exits: true}, "b": {Exits: true, ExitCode: 9}}), map[string]string{
		"compose.yml": "services:\n  a: {image: \"app:1\"}\n  b: {image: \"app:1\"}\n",
	})
	if code, _, err := ww("compose", "up", "--abort-on-container-failure"); code != 9 {
		t.Errorf("exit code %d\n%s", code, err)
	}
}

// TestUpOfSome: what is named is what is touched.
func TestUpOfSome(t *testing.T) {
	newFaked(t, apps(nil), map[string]string{"compose.yml": "services:\n  db: {image: \"app:1\"}\n  web: {image: \"app:1\", depends_on: [db]}\n"})
	mustWW(t, "compose", "up", "-d", "--quiet", "--scale", "web=2")
	for name, tt := range map[string]struct {
		args  []string
		web   bool
		db    bool
		again string
	}{
		"force":         {[]string{"--force-recreate", "--scale", "web=2", "web"}, true, false, ""},
		"force deps":    {[]string{"--always-recreate-deps", "--force-recreate", "--scale", "web=2", "web"}, true, true, ""},
		"no deps":       {[]string{"--no-deps", "--force-recreate", "--scale", "web=2", "web"}, true, false, ""},
		"scaled down":   {[]string{"web"}, true, false, "scaled 2 → 1"},
		"nothing named": {[]string{"--force-recreate", "--scale", "web=2"}, true, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, err := ww(append([]string{"compose", "up", "--dry-run"}, tt.args...)...)
			out := planOf(t, tt.args)
			if code != exitOK || strings.Contains(out, "p-web-") != tt.web || strings.Contains(out, "p-db-1") != tt.db || !strings.Contains(out, tt.again) {
				t.Errorf("%d %s\n%s", code, err, out)
			}
		})
	}
	wantFailure(t, exitUsage, []string{"SERVICE=N"}, "compose", "up", "-d", "--scale", "web")
	wantFailure(t, exitUsage, []string{`no service "wep"`, "web"}, "compose", "up", "-d", "--scale", "wep=1")
}

func planOf(t *testing.T, args []string) string {
	t.Helper()
	_, out, _ := ww(append([]string{"compose", "up", "--dry-run"}, args...)...)
	return out
}

// TestVolumeChanged: what a volume holds isn't lost without a word.
func TestVolumeChanged(t *testing.T) {
	newFaked(t, apps(nil), map[string]string{"compose.yml": "services:\n  a: {image: \"app:1\", volumes: [\"data:/v\"]}\nvolumes:\n  data: {}\n"})
	mustWW(t, "compose", "up", "-d", "--quiet")
	rewrite(t, "compose.yml", "data: {}", "data: {labels: {x: y}}")
	code, _, err := ww("compose", "up", "-d")
	if code != exitOK || !strings.Contains(err, "the configuration of p_data changed") || !strings.Contains(err, "--yes") || !strings.Contains(err, "nothing to do") {
		t.Errorf("exit code %d\n%s", code, err)
	}
	code, _, err = ww("compose", "up", "-d", "--yes")
	if code != exitOK || !strings.Contains(err, "volume p_data is made anew") {
		t.Errorf("with --yes: exit code %d\n%s", code, err)
	}
	if out := planned(t); !strings.Contains(out, "nothing to do") {
		t.Errorf("after that:\n%s", out)
	}
}

// TestSwarmKeys: a file with keys that docker compose does nothing with comes up,
// and each of them is told once.
func TestSwarmKeys(t *testing.T) {
	newFaked(t, apps(nil), map[string]string{"compose.yml": `services:
  a: &a
    image: app:1
    deploy:
      mode: global
      labels: {a: b}
      placement: {constraints: [node.role==manager]}
      restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3}
  b: *a
  c: *a
`})
	code, _, err := ww("compose", "up", "-d", "--quiet")
	for _, want := range []string{"deploy.labels", "deploy.placement.constraints", "deploy.restart_policy.delay"} {
		if strings.Count(err, "compose.yml:") != 3 || !strings.Contains(err, "warning: services.a."+want+" has no effect") || !strings.Contains(err, "(and so in 2 other services)") {
			t.Errorf("%s: %s", want, err)
		}
	}
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if out := planned(t); !strings.Contains(out, "nothing to do") {
		t.Errorf("%s", out)
	}
}

// TestScaleFails: a scale that fails takes back what it has made, and one that the
// engine can't do changes nothing.
func TestScaleFails(t *testing.T) {
	f := newFaked(t, apps(nil), map[string]string{"compose.yml": "services:\n  a: {image: \"app:1\"}\n"})
	mustWW(t, "compose", "up", "-d", "--quiet")
	f.Inject(enginetest.Fault{Op: "container.start", Kind: enginetest.Fail, Status: 500, Message: "broken"})
	if code, _, err := ww("compose", "scale", "a=2"); code != exitEngine || !strings.Contains(err, "broken") {
		t.Errorf("exit code %d: %s", code, err)
	}
	if out := planned(t); !strings.Contains(out, "nothing to do") {
		t.Errorf("something is left of it:\n%s", out)
	}
	rewrite(t, "compose.yml", "{image: \"app:1\"}", "{image: \"app:1\", restart: sometimes}")
	for _, args := range [][]string{{"compose", "scale", "a=2"}, {"compose", "run", "a", "true"}} {
		if code, _, err := ww(args...); code != exitConfig || !strings.Contains(err, `compose.yml:2:23: error: services.a.restart: restart policy "sometimes"`) {
			t.Errorf("%v: exit code %d: %s", args, code, err)
		}
	}
}

// TestOrphansAreTold: what the file has no more is told by a plan as by an up.
func TestOrphansAreTold(t *testing.T) {
	newFaked(t, apps(nil), map[string]string{"compose.yml": "services:\n  a: {image: 'app:1'}\n  b: {image: 'app:1'}\n"})
	mustWW(t, "compose", "up", "-d", "--quiet")
	rewrite(t, "compose.yml", "  b: {image: 'app:1'}\n", "")
	const note = "note: left over from services that the file has no more: p-b-1; --remove-orphans removes that"
	for _, args := range [][]string{{"plan"}, {"up", "-d"}} {
		if _, _, stderr := ww(append([]string{"compose"}, args...)...); !strings.Contains(stderr, note) {
			t.Errorf("%s: %s", args, stderr)
		}
	}
	if _, out, stderr := ww("compose", "plan", "--remove-orphans"); strings.Contains(stderr, note) || !strings.Contains(out, "p-b-1") {
		t.Errorf("%s%s", out, stderr)
	}
}
