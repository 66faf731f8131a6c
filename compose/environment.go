package compose

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/model"
)

// environment gives the component its configuration, and its secrets as files.
// It reports whether the root can be read-only.
func (g *generator) environment(s *object, c *model.Component, grace time.Duration) bool {
	settings := settingsOf(c)
	if script, _ := g.script(c); script != "" && c.Settings.Field("command") == nil {
		settings.Fields = append(settings.Fields, model.Field{Key: "command", Value: []model.Value{"python", script}})
	}
	env := newObject()
	env.set("COMPONENT_NAME", text(c.Name))
	env.set("COMPONENT_TYPE", text(c.Kind+" "+c.Type))
	env.set("COMPONENT_CONFIG", literal(g.config(c, settings)))
	files := &secretFiles{g: g, component: c, seen: map[string]model.Env{}}
	if g.hasBus {
		files.secrets = append(files.secrets, text(busPassword))
	}
	model.Envs(settings, files.add)
	env.set("WOODWORK_MESSAGE_BUS", text(g.busEnv))
	if e, ok := g.busURL(); ok {
		files.add(e)
		env.set("WOODWORK_MESSAGE_BUS", text("file:///run/secrets/"+e.Name))
	}
	env.set("WW_PROJECT", raw("${COMPOSE_PROJECT_NAME}"))
	env.set("WW_GRACE", text(grace.String()))
	s.set("environment", &env.node)
	if len(files.secrets) > 0 {
		s.set("secrets", list(files.secrets...))
	}
	if len(files.configs) > 0 {
		s.set("configs", list(files.configs...))
	}
	return len(files.seen) == 0
}

// secretFiles collects what a component finds below /run/secrets.
type secretFiles struct {
	g                *generator
	component        *model.Component
	seen             map[string]model.Env
	secrets, configs []*yaml.Node
}

func (s *secretFiles) add(e model.Env) {
	g := s.g
	g.variable(s.component, e)
	if e.Name == busPassword {
		g.errorf(e.Span, "reserved-name", "give the variable another name", "%q is the name of the bus's password", e.Name)
	}
	_, def := e.Default()
	if have, ok := s.seen[e.Name]; ok {
		// There is one file for both.
		if _, had := have.Default(); def && had && interpolation(have) != interpolation(e) {
			g.errorf(e.Span, "two-defaults", "write the same default in both places, or use two variables",
				"%q gives the variable %s two defaults", s.component.Name, e.Name)
		}
		return
	}
	s.seen[e.Name] = e
	if !def {
		g.secrets.set(e.Name, &newObject().set("environment", raw(e.Name)).node)
		s.secrets = append(s.secrets, text(e.Name))
		return
	}
	// A secret's source has no default, a config's content has.
	source := e.Name
	content := &newObject().set("content", raw(interpolation(e))).node
	if have := g.configs.get(source); have != nil && have.Content[1].Value != content.Content[1].Value {
		source = s.component.Name + "." + e.Name
	}
	g.configs.set(source, content)
	s.configs = append(s.configs, &newObject().set("source", text(source)).set("target", text("/run/secrets/"+e.Name)).node)
}

// config is what the component is told about itself, as JSON that a person can
// edit.
func (g *generator) config(c *model.Component, settings *model.Map) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if len(settings.Fields) == 0 {
		settings = nil
	}
	err := enc.Encode(struct {
		Name     string     `json:"name"`
		Kind     string     `json:"kind"`
		Type     string     `json:"type"`
		To       []string   `json:"to,omitempty"`
		Topics   []string   `json:"topics,omitempty"`
		Settings *model.Map `json:"settings,omitempty"`
	}{c.Name, c.Kind, c.Type, c.To, c.Topics, settings})
	if err != nil {
		g.errorf(c.Span, "bad-setting", "", "the settings of %q can't be written as JSON: %v", c.Name, err)
	}
	return shortLists(plainJSON(strings.TrimSpace(b.String())))
}

// busURL is the variable that holds the bus's URL, when it is one.
func (g *generator) busURL() (model.Env, bool) {
	if g.project.Bus == nil {
		return model.Env{}, false
	}
	e, ok := g.project.Bus.URL.(model.Env)
	return e, ok
}
