package compose

import (
	"encoding/json"
	"path/filepath"
	"slices"

	"woodwork.dev/ww/model"
)

// Lookup gives the value of a variable: of the environment, else of .env.
func (l *Loaded) Lookup(name string) (string, bool) {
	v, ok := l.details.Environment[name]
	return v, ok
}

// settingsOf are the settings that the component itself is told.
func settingsOf(c *model.Component) *model.Map {
	settings := &model.Map{}
	for _, f := range c.Settings.Fields {
		if !slices.Contains(containerKeys, f.Key) {
			settings.Fields = append(settings.Fields, f)
		}
	}
	return settings
}

// SettingsHere are those of a component that runs without a container, as JSON:
// its program is this machine's, and works in the folder of the .ww file, or in
// its source.
func (l *Loaded) SettingsHere(c *model.Component) (json.RawMessage, error) {
	settings := settingsOf(c)
	if c.Kind == "core" && c.Type == "exec" {
		g := &generator{opts: Options{Dir: l.Dir}}
		script, source := g.script(c)
		dir := l.Dir
		switch {
		case script != "" && isFile(source):
			dir = filepath.Dir(source)
		case source != "":
			dir = source
		case c.Settings.Text("source") != "":
			dir = g.path(c.Settings.Text("source"))
		}
		if script != "" && settings.Field("command") == nil {
			settings.Fields = append(settings.Fields, model.Field{Key: "command", Value: []model.Value{"python3", script}})
		}
		if f := settings.Field("workdir"); f == nil {
			settings.Fields = append(settings.Fields, model.Field{Key: "workdir", Value: dir})
		}
	}
	return json.Marshal(settings)
}
