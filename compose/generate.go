// Package compose makes the Compose project of a system: it generates the
// compose file from a model, loads and merges it with files that people wrote,
// and computes the hashes by which a change is seen. What `export` prints and
// what `up` runs are the same project.
package compose

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
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
	// Inside says which components run in containers; InContainers does if nil.
	Inside func(*model.Component) bool
	// Deployment has the file hold only those of one deployment, with the bus.
	Deployment string
}

// Generated is a compose file made from a model.
type Generated struct {
	YAML []byte
	// Contexts are the build contexts that the file refers to, by folder name.
	Contexts []templates.Context
	// BusPassword tells that the file mounts the bus's password, which has to
	// be there before anything runs: see EnsureBusPassword.
	BusPassword bool
	// BusPort is the port of this machine that was chosen for the bus, for the
	// components outside: see KeepBusPort. Empty where there are none, or where
	// the file names ports.
	BusPort string
	// Variables are the environment's variables that the system needs.
	Variables []Variable
	// Components lists those that are part of the file; the others belong to
	// deployments of another kind.
	Components []string
	// Unbuilt are those among them that this version can't run.
	Unbuilt []*model.Component

	outside []*model.Component // run without a container
	// parts are the file with some of its services each, which together are
	// all of them: a large file is loaded in parts at the same time.
	parts [][]byte
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
	doc, parts, err := g.document()
	if err != nil {
		g.errorf(syntax.Span{}, "internal", "", "can't write the compose file: %v", err)
		return nil, g.diags
	}
	g.out.YAML, g.out.parts = doc, parts
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

func (g *generator) warnf(at syntax.Span, code, remedy, format string, args ...any) {
	g.errorf(at, code, remedy, format, args...)
	g.diags[len(g.diags)-1].Severity = syntax.Warning
}

// selectComponents takes the components that run in containers.
func (g *generator) selectComponents() {
	inside := g.opts.Inside
	if inside == nil {
		inside = InContainers(g.project)
	}
	for _, c := range g.project.Components {
		switch {
		case !inside(c):
			g.out.outside = append(g.out.outside, c)
		case g.opts.Deployment == "" || c.DeploymentName() == g.opts.Deployment:
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

// partSize is how many services there are in a part of the file: see
// Generated.parts.
const partSize = 125

// document writes the file, and its parts.
func (g *generator) document() ([]byte, [][]byte, error) {
	tail := newObject()
	tail.set("secrets", g.secrets.orNil())
	tail.set("configs", g.configs.orNil())
	tail.set("networks", g.networks.orNil())
	tail.set("volumes", g.volumes.orNil())
	spaced(tail)
	spaced(g.services)
	head, err := encode(newObject().set("name", text(g.opts.Name)))
	if err != nil {
		return nil, nil, err
	}
	end, err := encode(tail)
	if err != nil {
		return nil, nil, err
	}
	services, err := encodeServices(g.services)
	if err != nil {
		return nil, nil, err
	}
	var parts [][]byte
	for i, doc := range services {
		parts = append(parts, slices.Concat(head, doc, end))
		services[i] = bytes.TrimPrefix(doc, []byte("services:\n"))
	}
	var b bytes.Buffer
	for _, line := range g.opts.Header {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	b.Write(head)
	if len(services) == 0 {
		b.WriteString("\nservices: {}\n")
	} else {
		b.WriteString("\nservices:\n")
		b.Write(bytes.Join(services, nil))
	}
	if !tail.empty() {
		b.WriteByte('\n')
		b.Write(end)
	}
	return b.Bytes(), parts, nil
}

// encodeServices writes the services, partSize in a document.
func encodeServices(services *object) ([][]byte, error) {
	chunks := slices.Collect(slices.Chunk(services.node.Content, 2*partSize))
	docs := make([][]byte, len(chunks))
	var tasks errgroup.Group
	for i, pairs := range chunks {
		tasks.Go(func() (err error) {
			some := newObject()
			some.node.Content = pairs
			docs[i], err = encode(newObject().set("services", &some.node))
			return err
		})
	}
	return docs, tasks.Wait()
}

func encode(o *object) ([]byte, error) {
	if o.empty() {
		return nil, nil
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&o.node), enc.Close()); err != nil {
		return nil, err
	}
	// Nothing but an empty line between services has exactly two spaces.
	return bytes.ReplaceAll(b.Bytes(), []byte("\n  \n"), []byte("\n\n")), nil
}
