package compose

import (
	"maps"
	"strings"
	"testing"
)

func TestRawEnv(t *testing.T) {
	lookup := func(name string) (string, bool) { return "from outside", name == "OUTSIDE" }
	for name, tt := range map[string]struct {
		file string
		want map[string]string
		says string // of the error
	}{
		"as it stands":   {"A=\"quoted\" $B # no comment\n", map[string]string{"A": `"quoted" $B # no comment`}, ""},
		"blank lines":    {"\ufeff\n  # comment\n\t\n  A=\n", map[string]string{"A": ""}, ""},
		"from outside":   {"OUTSIDE\nNOWHERE\n", map[string]string{"OUTSIDE": "from outside"}, ""},
		"no name":        {"A=1\n=2\n", nil, "f:2: there is no name"},
		"white space":    {"A B=1\n", nil, `f:1: "A B" has white space`},
		"another coding": {"A=\xff\n", nil, "UTF-8"},
	} {
		got := map[string]string{}
		err := rawEnv(strings.NewReader(tt.file), "f", got, lookup)
		switch {
		case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%s: error %v, want %q", name, err, tt.says)
		case tt.says == "" && (err != nil || !maps.Equal(got, tt.want)):
			t.Errorf("%s: %v, %v, want %v", name, got, err, tt.want)
		}
	}
}

// TestEnvFileFormats: without a format quotes are taken away, and variables put in.
func TestEnvFileFormats(t *testing.T) {
	clearEnvironment(t, nil)
	dir := folder(t, map[string]string{
		"vars": "A=\"x y\"\nB=${A}\n",
		"x.yml": "name: x\nservices:\n  plain: {image: i, env_file: vars}\n" +
			"  raw: {image: i, env_file: [{path: vars, format: raw}]}\n  none: {image: i, env_file: [{path: none, required: false}]}\n",
		"bad.yml":     "services: {s: {image: i, env_file: [{path: vars, format: odd}]}}\n",
		"missing.yml": "services: {s: {image: i, env_file: none}}\n",
	})
	p := mustLoad(t, Request{Files: []string{dir + "/x.yml"}}).Project
	for service, want := range map[string]string{"plain": "x y|x y", "raw": `"x y"|${A}`} {
		env := p.Services[service].Environment
		if got := *env["A"] + "|" + *env["B"]; got != want {
			t.Errorf("%s: %s, want %s", service, got, want)
		}
	}
	if env := p.Services["none"].Environment; len(env) > 0 {
		t.Errorf("none: %v", env)
	}
	for file, says := range map[string]string{"bad.yml": `"odd"`, "missing.yml": "none"} {
		if got := loadMistakes(t, Request{Files: []string{dir + "/" + file}}); !strings.Contains(got, says) {
			t.Errorf("%s: %s", file, got)
		}
	}
}

// TestForgottenKeys: what the specification has and the loader doesn't know is
// no secret of ours.
func TestForgottenKeys(t *testing.T) {
	clearEnvironment(t, nil)
	dir := folder(t, map[string]string{"x.yml": "services: {s: {image: i, pull_policy: refresh, pull_refresh_after: 5h}}\n"})
	got := loadMistakes(t, Request{Files: []string{dir + "/x.yml"}})
	if !strings.Contains(got, "services.s.pull_refresh_after") || !strings.Contains(got, "every_5h") {
		t.Errorf("%s", got)
	}
}
