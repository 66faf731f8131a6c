package compose

import (
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"

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
	var ctx templates.Context
	var err error
	switch {
	case dockerfile != "":
		ctx, err = templates.Own(c.Name, g.path(dockerfile), g.opts.Binary)
	case python != "":
		source := c.Settings.Text("source")
		if source == "" {
			source = python
		}
		ctx, err = templates.Python(c.Name, base, g.path(source), g.path(c.Settings.Text("requirements")), g.opts.Binary)
	case base != "":
		ctx, err = templates.Exec(c.Name, base, g.path(c.Settings.Text("source")), g.opts.Binary)
	case isExec:
		g.errorf(c.Span, "missing-key", "add `image: \"debian:stable-slim\"` or another one that has the command in it",
			"core exec %q needs %q to run in a container", c.Name, "image")
		return image{}, false
	default:
		return g.builtin(c)
	}
	if err != nil {
		g.errorf(c.Span, "bad-source", "paths are relative to the folder of the .ww file", "%v", err)
		return image{}, false
	}
	return g.add(c, ctx, "${COMPOSE_PROJECT_NAME}-"+strings.ToLower(c.Name))
}

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

// literal is a string on lines of its own.
func literal(s string) *yaml.Node {
	n := text(s)
	n.Style = yaml.LiteralStyle
	return n
}
