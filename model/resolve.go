package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"

	"woodwork.dev/ww/syntax"
)

// BusService is the name of the bus among the services: no component may have it.
const BusService = "message-bus"

// DefaultPort is where an `input api` that names no port is opened.
const DefaultPort = "8080"

// Resolve gives the project that the files declare together. Every mistake is
// reported once, in order of its place; the project is usable only where none
// is an error.
func Resolve(files ...*syntax.File) (*Project, syntax.Diagnostics) {
	r := &resolver{
		project: &Project{byName: map[string]*Component{}},
		decls:   map[string]*syntax.Decl{},
		listed:  map[string]*Deployment{},

		misspelt: map[*Field]bool{},
		told:     map[syntax.Span]bool{},
		ports:    map[string]*Component{},
	}
	for _, f := range files {
		for _, d := range f.Decls {
			r.declare(d)
		}
	}
	for _, d := range r.project.Deployments {
		r.deployment(d)
	}
	for _, c := range r.project.Components {
		r.component(c)
	}
	r.assign()
	for _, c := range r.project.Components {
		r.scaling(c)
	}
	r.reachable()
	if !r.diags.HasErrors() {
		r.order()
	}
	r.sortByPlace(files)
	return r.project, r.diags
}

type resolver struct {
	project *Project
	decls   map[string]*syntax.Decl
	names   []string               // of components, for suggestions
	listed  map[string]*Deployment // which deployment names a component
	diags   syntax.Diagnostics

	misspelt map[*Field]bool       // settings that stand for a missing one
	told     map[syntax.Span]bool  // names of which has been said that nothing is declared so
	ports    map[string]*Component // which input opens one
}

func (r *resolver) errorf(at syntax.Span, code, remedy, format string, args ...any) *syntax.Diagnostic {
	return r.report(syntax.Error, at, code, remedy, format, args...)
}

func (r *resolver) warnf(at syntax.Span, code, remedy, format string, args ...any) *syntax.Diagnostic {
	return r.report(syntax.Warning, at, code, remedy, format, args...)
}

func (r *resolver) report(s syntax.Severity, at syntax.Span, code, remedy, format string, args ...any) *syntax.Diagnostic {
	r.diags = append(r.diags, syntax.Diagnostic{
		Severity: s, Code: code, Span: at, Message: fmt.Sprintf(format, args...), Remedy: remedy,
	})
	return &r.diags[len(r.diags)-1]
}

// sortByPlace orders the diagnostics by file, in the order given, and place.
func (r *resolver) sortByPlace(files []*syntax.File) {
	index := map[string]int{}
	for i, f := range files {
		index[f.Name] = i
	}
	sort.SliceStable(r.diags, func(i, j int) bool {
		a, b := r.diags[i].Span, r.diags[j].Span
		if a.File != b.File {
			return index[a.File] < index[b.File]
		}
		return a.Start.Offset < b.Start.Offset
	})
}

// declare takes up one declaration under its name.
func (r *resolver) declare(d *syntax.Decl) {
	if d.Name.Text == "" || len(d.Head) == 0 {
		return // the parser has said why
	}
	if first := r.decls[d.Name.Text]; first != nil {
		r.errorf(d.Name.Span, "duplicate-name", "give one of them another name", "%q is declared twice", d.Name.Text).
			Related = []syntax.Related{{Span: first.Name.Span, Message: "first declared here"}}
		return
	}
	r.decls[d.Name.Text] = d
	head := headWords(d.Head)
	switch {
	case head[1] == "" && d.Name.Text == "message_bus" && slices.Contains(busKinds, head[0]):
		r.setBus(busFromBlock(head[0], convertBlock(d.Body), d.Name.Span))
	case head[1] == "" && slices.Contains(deploymentKinds, head[0]):
		r.addDeployment(d, head[0])
	case head[0] == "vm" && slices.Contains(deploymentKinds, head[1]):
		r.addDeployment(d, head[1])
	default:
		r.addComponent(d, head)
	}
}

func headWords(words []syntax.Word) [2]string {
	var head [2]string
	for i := range min(len(words), 2) {
		head[i] = words[i].Text
	}
	return head
}

func (r *resolver) addDeployment(d *syntax.Decl, kind string) {
	r.project.Deployments = append(r.project.Deployments, &Deployment{
		Name: d.Name.Text, Kind: kind, Settings: convertBlock(d.Body), Span: d.Name.Span,
	})
}

// serviceName is what Compose takes as the name of a service; `ww` also gives
// it to containers and host names, where the first character counts.
var serviceName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)

func (r *resolver) addComponent(d *syntax.Decl, head [2]string) {
	at := d.Name.Span
	if d.Name.Text == BusService {
		r.errorf(at, "reserved-name", "give the component another name", "%q is the name of the bus", d.Name.Text)
	} else if !serviceName.MatchString(d.Name.Text) {
		r.errorf(at, "bad-name", "use letters, digits, '.', '_' and '-', beginning with a letter or a digit",
			"%q can't be the name of a service", d.Name.Text)
	} else if len(d.Name.Text) > 63 {
		r.errorf(at, "bad-name", "names become host names: use at most 63 characters", "the name is too long")
	}
	c := &Component{Name: d.Name.Text, Phase: PhaseComponents, Settings: convertBlock(d.Body), Span: at}
	c.Kind, c.Type = head[0], head[1]
	if head[1] == "" {
		if s, ok := shorthands[head[0]]; ok {
			c.Kind, c.Type = s[0], s[1]
		}
	}
	if a, ok := aliases[c.Kind]; ok {
		c.Kind = a
	}
	r.checkKind(c, d.Head)
	r.project.Components = append(r.project.Components, c)
	r.project.byName[c.Name] = c
	r.names = append(r.names, c.Name)
}

func (r *resolver) checkKind(c *Component, head []syntax.Word) {
	k, ok := kinds[c.Kind]
	if !ok {
		known := append(slices.Sorted(maps.Keys(kinds)), deploymentKinds...)
		known = append(known, slices.Sorted(maps.Keys(shorthands))...)
		r.warnf(head[0].Span, "unknown-kind", didYouMean(c.Kind, known, "kinds are "+strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")),
			"there is no kind of component %q", c.Kind)
		return
	}
	c.Phase = k.phase
	if c.Type == "" {
		r.errorf(head[0].Span, "missing-type", fmt.Sprintf("write one of: %s", joinHeads(c.Kind, k)),
			"%q needs a type", c.Kind)
		return
	}
	s, ok := k.types[c.Type]
	if !ok {
		at := head[len(head)-1].Span
		r.warnf(at, "unknown-type", didYouMean(c.Type, slices.Sorted(maps.Keys(k.types)), "there are: "+joinHeads(c.Kind, k)),
			"there is no %q of type %q", c.Kind, c.Type)
		return
	}
	c.Known, c.Built = true, s.built
}

func joinHeads(name string, k kind) string {
	var heads []string
	for _, t := range slices.Sorted(maps.Keys(k.types)) {
		heads = append(heads, name+" "+t)
	}
	return strings.Join(heads, ", ")
}

// didYouMean gives a remedy for a name that isn't one of those known.
func didYouMean(name string, known []string, otherwise string) string {
	if s := syntax.Suggest(name, known); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	return otherwise
}

// component checks the settings of one component and takes its routes and
// references from them.
func (r *resolver) component(c *Component) {
	keys := common
	if c.Known {
		keys = append(slices.Clone(common), kinds[c.Kind].types[c.Type].keys...)
	}
	for _, k := range keys {
		if f := c.Settings.Field(k.name); f != nil {
			r.checkRefKinds(c, k, f)
			if k.later {
				r.warnf(f.Span, "not-honoured", "", "this version of ww doesn't honour %q yet", k.name)
			}
		} else if k.required {
			r.missing(c, k, keys)
		}
	}
	r.checkKeys(c.Settings, keys, c.Known, c.Kind+" "+c.Type)
	r.routes(c)
	r.checkSubscriptions(c)
	seen := map[string]bool{c.Name: true}
	for _, f := range c.Settings.Fields {
		if f.Key == "to" {
			continue
		}
		walk(f.Value, func(v Value) {
			if ref, ok := v.(Ref); ok && r.known(ref) && !seen[ref.Name] {
				seen[ref.Name] = true
				c.Needs = append(c.Needs, ref.Name)
			} else if ok && ref.Name == c.Name {
				r.errorf(ref.Span, "self-reference", "a component can't be part of its own configuration", "%q refers to itself", c.Name)
			}
		})
	}
	if c.Kind == "core" && c.Type == "exec" && c.Settings.Field("command") == nil && c.Settings.Field("python") == nil {
		r.errorf(c.Span, "missing-key", "add `command: [\"program\", \"argument\"]`, or `python: \"script.py\"`",
			"core exec %q needs %q", c.Name, "command")
	}
	r.checkPort(c)
	r.checkIsolation(c)
	if res := c.Settings.Map("resources"); res != nil {
		for _, f := range res.Fields {
			ref, isRef := f.Value.(Ref)
			switch {
			case isRef && r.project.byName[ref.Name] == nil: // said already
			case !slices.Contains(resourceKeys, f.Key):
				r.warnf(f.Span, "unknown-key", didYouMean(f.Key, resourceKeys, "resources are: "+strings.Join(resourceKeys, ", ")),
					"resources have no %q", f.Key)
			case strings.HasPrefix(f.Key, "memory") && !fits(f.Value, size):
				r.errorf(f.At, "wrong-type", "write a size such as 256m", "%q has to be a size", f.Key)
			case strings.HasPrefix(f.Key, "memory") && tooLittle(f.Value):
				r.errorf(f.At, "wrong-value", "write 6m or more; without it there is no limit", "%q has to be 6 MiB or more: engines take no less", f.Key)
			case f.Key == "cpus" && !fits(f.Value, decimal), f.Key == "pids" && !fits(f.Value, integer):
				r.errorf(f.At, "wrong-type", "write a number", "%q has to be a number", f.Key)
			case f.Key == "cpus" && negative(f.Value):
				r.errorf(f.At, "wrong-value", "write a number such as 0.5; without one there is no limit", "%q can't be less than 0", f.Key)
			}
		}
	}
}

func negative(v Value) bool {
	n, ok := v.(json.Number)
	f, err := n.Float64()
	return ok && err == nil && f < 0
}

// tooLittle reports whether a size is below what the engines take. 0 stands for
// no limit.
func tooLittle(v Value) bool {
	n, err := Size(v)
	return err == nil && 0 < n && n < 6<<20
}

// checkPort reports two inputs on one port of the host.
func (r *resolver) checkPort(c *Component) {
	if c.Kind != "input" || c.Type != "api" {
		return
	}
	at, p := c.Span, c.Settings.Text("port")
	if f := c.Settings.Field("port"); f != nil {
		at = f.At
		if _, env := f.Value.(Env); env {
			return
		}
	} else {
		p = DefaultPort
	}
	where := c.Settings.Text("host") + ":" + p
	if other := r.ports[where]; other != nil {
		r.errorf(at, "port-clash", "give one of them another `port`", "%q and %q both open port %s", other.Name, c.Name, p)
		return
	}
	r.ports[where] = c
}

// missing reports a setting that has to be there. One that looks like it in
// other letters is the mistake then.
func (r *resolver) missing(c *Component, k key, keys []key) {
	at, remedy := c.Span, fmt.Sprintf("add `%s: …`", k.name)
	for i := range c.Settings.Fields {
		f := &c.Settings.Fields[i]
		known := slices.ContainsFunc(keys, func(k key) bool { return k.name == f.Key })
		if !known && syntax.Suggest(f.Key, []string{k.name}) != "" {
			r.misspelt[f] = true
			at, remedy = f.Span, fmt.Sprintf("did you mean %q?", k.name)
			break
		}
	}
	r.errorf(at, "missing-key", remedy, "%s %q needs %q", c.Kind+" "+c.Type, c.Name, k.name)
}

// known reports whether a reference names a component, and says so if not.
func (r *resolver) known(ref Ref) bool {
	if r.project.byName[ref.Name] != nil {
		return true
	}
	if d := r.decls[ref.Name]; d != nil {
		r.errorf(ref.Span, "wrong-reference", "refer to a component", "%q is no component", ref.Name)
		return false
	}
	if r.told[ref.Span] {
		return false
	}
	r.told[ref.Span] = true
	remedy := didYouMean(ref.Name, r.names, fmt.Sprintf("declare it, or write it in quotes if you mean the text %q", ref.Name))
	r.errorf(ref.Span, "unknown-reference", remedy, "nothing is declared as %q", ref.Name)
	return false
}

// routes reads `to`: references and strings, one or a list.
func (r *resolver) routes(c *Component) {
	f := c.Settings.Field("to")
	if f == nil {
		return
	}
	items, ok := f.Value.([]Value)
	if !ok {
		items = []Value{f.Value}
	}
	seen := map[string]bool{}
	add := func(list *[]string, name string, at syntax.Span) {
		if seen[name] {
			r.warnf(at, "named-twice", "name it once: it gets every message once", "`to` of %q names %q twice", c.Name, name)
		} else {
			seen[name] = true
			*list = append(*list, name)
		}
	}
	for i, it := range items {
		at := f.At
		if i < len(f.Items) {
			at = f.Items[i]
		}
		switch it := it.(type) {
		case Ref:
			if r.known(it) {
				add(&c.To, it.Name, at)
			}
		case string:
			if r.project.byName[it] != nil {
				add(&c.To, it, at)
				continue
			}
			if !r.checkTopic(it, at, false) {
				continue
			}
			r.warnf(at, "topic", didYouMean(it, r.names, "nothing to do if it is meant as a topic; a component is named without quotes"),
				"%q names no component: results are published on the topic %q", it, it)
			add(&c.Topics, it, at)
		case nil:
		default:
			r.errorf(at, "bad-route", "name components, as in `to: [a, b]`, or topics in quotes", "`to` of %q can't be this", c.Name)
		}
	}
}

// assign gives each component its deployment.
func (r *resolver) assign() {
	rest := r.project.Deployment("deployment")
	for _, c := range r.project.Components {
		if c.Deployment = r.listed[c.Name]; c.Deployment == nil {
			c.Deployment = rest
		}
	}
}
