package builtin_test

import (
	"strings"
	"testing"

	"woodwork.dev/ww/runtime/component/builtin"
	"woodwork.dev/ww/runtime/component/componenttest"
)

// TestBuilders builds each kind with the settings that it can't do without.
func TestBuilders(t *testing.T) {
	settings := map[string]string{
		"input api": ``, "input command_line": ``, "output console": ``, "core template": `{"template":""}`,
		"core exec": `{"command":"go"}`, "llm openai": `{"model":"m","api_key":"k"}`,
	}
	builders := builtin.Builders()
	if len(builders) != len(settings) {
		t.Errorf("there are %d kinds, of which %d are tested", len(builders), len(settings))
	}
	for key, s := range settings {
		kind, typ, _ := strings.Cut(key, " ")
		env, logged := componenttest.Env(t, kind, typ, s)
		env.Config.To = []string{"other"}
		in, err := builders[key](t.Context(), env)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if in.Handle == nil && in.Routes == nil && in.Run == nil {
			t.Errorf("%s does nothing", key)
		}
		if logged.String() != "" {
			t.Errorf("%s logs %s", key, logged)
		}
	}
}
