// Package compose makes the Compose project of a system: it generates the
// compose file from a model, loads and merges it with files that people wrote,
// and computes the hashes by which a change is seen. What `export` prints and
// what `up` runs are the same project.
package compose

import (
	"bytes"
	"fmt"

	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/syntax"
	"woodwork.dev/ww/templates"
)

// Options of generating.
type Options struct {
	// Name of the project.
	Name string
	// Dir is the project's folder: paths in the file are relative to it.
	Dir string
	// Binary goes into the images.
	Binary templates.Binary
	// Header is put above the file, line by line, as comments.
	Header []string
}

// Generated is a compose file made from a model.
type Generated struct {
	YAML []byte
	// Contexts are the build contexts that the file refers to, by folder name.
	Contexts []templates.Context
	// BusPassword tells that the file mounts the bus's password, which has to
	// be there before anything runs: see EnsureBusPassword.
	BusPassword bool
	// Variables are the environment's variables that the system needs.
	Variables []Variable
	// Components lists those that are part of the file; the others belong to
	// deployments of another kind.
	Components []string
	// Unbuilt are those among them that this version can't run.
	Unbuilt []*model.Component
}

// Variable is a variable of the environment that a component needs.
type Variable struct {
	model.Env
	Component string
}

// Folder is where ww keeps what it generates, beside the .ww file.
const Folder = ".ww"

// Generate makes the compose file of a project. It reads the sources of
// components that have some, and writes nothing. Mistakes that only matter to
// containers are reported as diagnostics.
func Generate(p *model.Project, opts Options) (*Generated, syntax.Diagnostics) {
	g := &generator{
		project: p, opts: opts, out: &Generated{}, services: newObject(), secrets: newObject(), configs: newObject(),
		networks: newObject(), volumes: newObject(), inside: map[string]bool{}, images: map[string]image{},
	}
	g.selectComponents()
	g.bus()
	for _, name := range p.Order() {
		if c := p.Component(name); g.inside[name] {
			g.component(c)
		}
	}
	if g.diags.HasErrors() {
		return nil, g.diags
	}
	doc, err := g.document()
	if err != nil {
		g.errorf(syntax.Span{}, "internal", "", "can't write the compose file: %v", err)
		return nil, g.diags
	}
	g.out.YAML = doc
	return g.out, g.diags
}

type generator struct {
	project  *model.Project
	opts     Options
	out      *Generated
	services *object
	secrets  *object
	configs  *object
	networks *object
	volumes  *object
	inside   map[string]bool // components that are part of the file
	hasBus   bool            // the bus is a service of the file
	busEnv   string          // the bus's URL
	images   map[string]image
	diags    syntax.Diagnostics
}

func (g *generator) errorf(at syntax.Span, code, remedy, format string, args ...any) {
	g.diags = append(g.diags, syntax.Diagnostic{
		Severity: syntax.Error, Code: code, Span: at, Message: fmt.Sprintf(format, args...), Remedy: remedy,
	})
}

// selectComponents takes the components of docker deployments, and those of no
// deployment. Where there is no docker deployment at all, it takes everything:
// whoever asks for containers gets them.
func (g *generator) selectComponents() {
	docker := false
	for _, d := range g.project.Deployments {
		docker = docker || d.Kind == "docker"
	}
	for _, c := range g.project.Components {
		if !docker || c.Deployment == nil || c.Deployment.Kind == "docker" {
			g.inside[c.Name] = true
			g.out.Components = append(g.out.Components, c.Name)
			if !c.Built {
				g.out.Unbuilt = append(g.out.Unbuilt, c)
			}
		}
	}
}

// spaced puts an empty line before each key but the first.
func spaced(o *object) {
	for i := 2; i < len(o.node.Content); i += 2 {
		o.node.Content[i].HeadComment = "\n" + o.node.Content[i].HeadComment
	}
}

func (g *generator) document() ([]byte, error) {
	root := newObject()
	root.set("name", text(g.opts.Name))
	root.set("services", &g.services.node)
	root.set("secrets", g.secrets.orNil())
	root.set("configs", g.configs.orNil())
	root.set("networks", g.networks.orNil())
	root.set("volumes", g.volumes.orNil())
	spaced(root)
	spaced(g.services)
	var b bytes.Buffer
	for _, line := range g.opts.Header {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&root.node); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	// Nothing but an empty line between services has exactly two spaces.
	return bytes.ReplaceAll(b.Bytes(), []byte("\n  \n"), []byte("\n\n")), nil
}
