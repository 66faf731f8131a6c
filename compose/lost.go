package compose

import (
	"os"
	"path/filepath"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/syntax"
)

// relative is the help where a path leads nowhere.
const relative = "paths are relative to the folder of the .ww file"

// Lost reports the files that programs of components are made of and that aren't
// there; paths are relative to dir, the folder of the .ww file. What only their
// images need counts where these are to be made.
func Lost(p *model.Project, dir string, images bool) syntax.Diagnostics {
	g := &generator{opts: Options{Dir: dir}}
	for _, c := range p.Components {
		g.lost(c, images)
	}
	return g.diags
}

// lost reports one component's, and whether there are any.
func (g *generator) lost(c *model.Component, images bool) bool {
	if c.Kind != "core" || c.Type != "exec" {
		return false
	}
	before := len(g.diags)
	keys := []string{"source"}
	if images {
		keys = append(keys, "dockerfile", "requirements")
	}
	for _, key := range keys {
		if name := c.Settings.Text(key); name != "" && isLost(g.path(name)) {
			g.errorf(c.Settings.Field(key).At, "bad-source", relative, "%s of %s: %s: no such file", key, c.Name, g.path(name))
		}
	}
	script, source := g.script(c)
	if script == "" || len(g.diags) > before {
		return len(g.diags) > before
	}
	at := c.Settings.Field("python").At
	switch info, err := os.Stat(source); {
	case isLost(source):
		g.errorf(at, "bad-source", relative, "python of %s: %s: no such file", c.Name, source)
	case err == nil && info.IsDir() && !isFile(filepath.Join(source, script)):
		g.errorf(at, "bad-source", "name the script relative to `source`", "there is no %s in the source of %q", script, c.Name)
	}
	return len(g.diags) > before
}

// isLost reports whether it is certain that there is nothing of that name.
func isLost(path string) bool {
	_, err := os.Stat(path)
	return os.IsNotExist(err)
}
