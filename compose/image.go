package compose

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	imageref "github.com/distribution/reference"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/templates"
)

// image is the image of one or more components.
type image struct {
	ref     string
	context string // folder, relative to the project's
	args    map[string]string
}

// image sets `image` and `build`. The tag is the digest of what goes in: a
// change of it is a change of the service, and an image that is there under
// its tag needs no build.
func (g *generator) image(s *object, c *model.Component) {
	img, ok := g.imageOf(c)
	if !ok {
		return
	}
	s.set("image", raw(img.ref))
	b := newObject()
	b.set("context", text("./"+img.context))
	if len(img.args) > 0 {
		args := newObject()
		for _, k := range []string{"BASE_IMAGE", "WW_VERSION"} {
			if v, ok := img.args[k]; ok {
				args.set(k, text(v))
			}
		}
		b.set("args", &args.node)
	}
	s.set("build", &b.node)
}

func (g *generator) imageOf(c *model.Component) (image, bool) {
	base := c.Settings.Text("image")
	dockerfile := c.Settings.Text("dockerfile")
	python := c.Settings.Text("python")
	isExec := c.Kind == "core" && c.Type == "exec"
	if isExec && python == "" && c.Settings.Field("command") == nil {
		g.errorf(c.Span, "missing-key", "add `command: [\"program\", \"argument\"]`, or `python: \"script.py\"`",
			"core exec %q needs %q", c.Name, "command")
		return image{}, false
	}
	for _, key := range []string{"image", "dockerfile", "python", "source", "requirements"} {
		if f := c.Settings.Field(key); f != nil {
			if _, env := f.Value.(model.Env); env {
				g.errorf(f.At, "wrong-value", "write it out: the image's tag is the digest of what goes in", "%q of %q can't be a variable", key, c.Name)
				return image{}, false
			}
		}
	}
	if g.lost(c, true) {
		return image{}, false
	}
	if base != "" {
		if _, err := imageref.ParseNormalizedNamed(base); err != nil {
			g.errorf(c.Settings.Field("image").At, "bad-image", "an image is a name such as python:3.12-slim, in lower case", "%q can't be the name of an image: %v", base, err)
			return image{}, false
		}
	}
	name := c.Name
	if name == builtinContext {
		name = "_" + name // which no component can be called
	}
	var ctx templates.Context
	var err error
	switch {
	case dockerfile != "":
		ctx, err = templates.Own(name, g.path(dockerfile), g.opts.Binary)
	case python != "":
		_, source := g.script(c)
		ctx, err = templates.Python(name, base, source, g.path(c.Settings.Text("requirements")), g.opts.Binary)
	case base != "":
		g.leftBehind(c)
		ctx, err = templates.Exec(name, base, g.path(c.Settings.Text("source")), g.opts.Binary)
	case isExec:
		g.errorf(c.Span, "missing-key", "add `image: \"debian:stable-slim\"` or another one that has the command in it",
			"core exec %q needs %q to run in a container", c.Name, "image")
		return image{}, false
	default:
		return g.builtin(c)
	}
	if err != nil {
		g.errorf(c.Span, "bad-source", relative, "%v", err)
		return image{}, false
	}
	return g.add(c, ctx, "${COMPOSE_PROJECT_NAME}-"+repository(c.Name))
}

// leftBehind warns of a command that names a file beside the .ww file, which isn't
// in the image.
func (g *generator) leftBehind(c *model.Component) {
	f := c.Settings.Field("command")
	if f == nil || c.Settings.Text("source") != "" || c.Settings.Field("volumes") != nil {
		return
	}
	words, _ := f.Value.([]model.Value)
	for i, w := range words {
		name, _ := w.(string)
		if !filepath.IsLocal(name) || !isFile(g.path(name)) {
			continue
		}
		at := f.At
		if i < len(f.Items) {
			at = f.Items[i]
		}
		g.warnf(at, "not-in-image", fmt.Sprintf("`source: %q` copies it into the image, where it is ./%s then", name, filepath.Base(name)),
			"%q runs %s, which is beside the file and not in the image %s", c.Name, name, c.Settings.Text("image"))
	}
}

// script says how a Python component's script is called in its source, and
// where that is; "" for other components. The script is named relative to the folder of the .ww file, as
// every path is, or to its source.
func (g *generator) script(c *model.Component) (script, source string) {
	script, source = c.Settings.Text("python"), c.Settings.Text("source")
	if script == "" {
		return "", ""
	}
	if source == "" {
		return filepath.Base(script), g.path(script)
	}
	source = g.path(source)
	switch rel, err := filepath.Rel(source, g.path(script)); {
	case err == nil && rel == ".":
		return filepath.Base(script), source
	case err == nil && filepath.IsLocal(rel):
		return filepath.ToSlash(rel), source
	}
	return script, source
}

var separators = regexp.MustCompile(`[._-]+`)

// repository makes a name that an image may have, which is stricter than what
// a service may be called. The tag tells apart what comes out the same.
func repository(name string) string {
	name = separators.ReplaceAllStringFunc(strings.ToLower(name), func(s string) string {
		if s == "." || s == "_" || s == "__" || strings.Trim(s, "-") == "" {
			return s
		}
		return "-"
	})
	return strings.Trim(name, "._-")
}

// builtinContext is the name of the context of components of built-in kinds.
const builtinContext = "component"

// builtin is the image that all components of built-in kinds share.
func (g *generator) builtin(c *model.Component) (image, bool) {
	const shared = ""
	if img, ok := g.images[shared]; ok {
		return img, img.ref != ""
	}
	img, ok := g.add(c, templates.Builtin(g.opts.Binary), "ww-component")
	g.images[shared] = img
	return img, ok
}

func (g *generator) add(c *model.Component, ctx templates.Context, repository string) (image, bool) {
	digest, err := ctx.Digest()
	if err != nil {
		g.errorf(c.Span, "bad-source", "", "%v", err)
		return image{}, false
	}
	g.out.Contexts = append(g.out.Contexts, ctx)
	return image{
		ref: repository + ":" + digest, context: Folder + "/build/" + ctx.Name, args: ctx.Args,
	}, true
}

// path resolves a path of the .ww file.
func (g *generator) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(g.opts.Dir, filepath.FromSlash(p))
}
