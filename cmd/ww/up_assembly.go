package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/syntax"
)

// The kinds of deployment.
const (
	inDocker = "docker"
	inServer = "server"
	inLocal  = "local"
)

// assembly is a .ww file with where its components run.
type assembly struct {
	*compose.Loaded
	only    string             // the deployment that alone is meant; empty for all
	here    []*model.Component // run in this process, in the order in which they start
	inside  []*model.Component // run in containers
	servers map[string]*model.Deployment
	kinds   map[string]string // of all components of the file: where they run
}

// docker tells that all that is meant runs in containers.
func (s *assembly) docker() bool { return len(s.here) == 0 }

// isHere tells whether a component is to run in this process.
func (s *assembly) isHere(name string) bool {
	return slices.ContainsFunc(s.here, func(c *model.Component) bool { return c.Name == name })
}

// contained tells whether a component of the file runs in a container, here or
// elsewhere.
func (s *assembly) contained(c *model.Component) bool { return s.kinds[c.Name] == inDocker }

// busInside tells whether the bus is a container: where components are in some,
// it is one unless the file names a server.
func (s *assembly) busInside() bool {
	return slices.ContainsFunc(s.Model.Components, s.contained) && (s.Model.Bus == nil || s.Model.Bus.URL == nil && s.Model.Bus.Kind != "memory")
}

// place has a request mean what is to run in containers.
func (s *assembly) place(r *compose.Request) { r.Inside, r.Deployment = s.contained, s.only }

// readSystem reads the file, and says where each of its components runs.
func (t *tool) readSystem(c *cli.Context) (*assembly, error) {
	as, only := c.String("as"), c.String("deployment")
	if as != "" {
		if err := oneOf("as", as, inLocal, inServer, inDocker); err != nil {
			return nil, err
		}
	}
	req := t.request(c)
	req.Here = true
	l, err := t.load(c.Context, req)
	if err != nil {
		return nil, err
	}
	if l.Model == nil {
		return nil, &configError{errors.New("there is no .ww file: a compose file runs in containers"), "`ww compose up` runs it"}
	}
	s := &assembly{Loaded: l, only: only, servers: map[string]*model.Deployment{}, kinds: map[string]string{}}
	var names []string
	for _, d := range l.Model.Deployments {
		names = append(names, d.Name)
	}
	if only != "" && l.Model.Deployment(only) == nil && only != model.Unlisted {
		return nil, &usageError{fmt.Errorf("there is no deployment %q", only), suggestion(only, names, "the file has: "+strings.Join(names, ", "))}
	}
	for _, name := range l.Model.Order() {
		if err := s.add(l.Model.Component(name), as); err != nil {
			return nil, err
		}
	}
	if len(s.here)+len(s.inside) == 0 {
		return nil, &configError{errors.New("there is nothing to run: the system has no components"), "declare some; `ww graph` shows what is there"}
	}
	if alone := s.unlisted(); only != "" && only != model.Unlisted && len(alone) > 0 && !c.Bool("quiet") {
		fmt.Fprintf(t.err, "note: in no deployment: %s; `ww up --deployment %s` runs what is in none\n", strings.Join(alone, ", "), model.Unlisted)
	}
	return s, t.runnable(s)
}

// unlisted are the components that no deployment lists: they run as in one that is
// called local.
func (s *assembly) unlisted() (names []string) {
	for _, c := range s.Model.Components {
		if c.Deployment == nil {
			names = append(names, c.Name)
		}
	}
	return names
}

// add says where one component runs.
func (s *assembly) add(comp *model.Component, as string) error {
	d := comp.Deployment
	kind := inLocal
	if d != nil {
		kind = d.Kind
	}
	if as != "" {
		kind = as
	}
	s.kinds[comp.Name] = kind
	if s.only != "" && comp.DeploymentName() != s.only {
		return nil
	}
	if comp.Kind == "container" && kind != inDocker {
		return &configError{fmt.Errorf("%q is a container of its own and can't run without an engine", comp.Name), "`ww compose up` runs it"}
	}
	if kind == inDocker {
		s.inside = append(s.inside, comp)
		return nil
	}
	s.here = append(s.here, comp)
	if kind == inServer {
		if d == nil || d.Kind != inServer {
			d = &model.Deployment{Name: "server", Kind: inServer, Settings: &model.Map{}}
		}
		s.servers[d.Name] = d
	}
	return nil
}

// across lists, for each component that is meant, those on the other side of the
// border of containers that it waits for. What takes work from outside waits for
// all that the work can get to.
func (s *assembly) across() map[string][]string {
	side := map[string]string{}
	for _, c := range s.here {
		side[c.Name] = inLocal
	}
	for _, c := range s.inside {
		side[c.Name] = inDocker
	}
	all := map[string][]string{}
	for name, mine := range side {
		ingress := s.Model.Component(name).Phase == model.PhaseIngress
		seen := map[string]bool{}
		next := slices.Clone(s.Model.DependsOn(name))
		for len(next) > 0 {
			d := next[0]
			next = next[1:]
			if seen[d] {
				continue
			}
			seen[d] = true
			if other := side[d]; other != "" && other != mine {
				all[name] = append(all[name], d)
			}
			if ingress {
				next = append(next, s.Model.DependsOn(d)...)
			}
		}
		slices.Sort(all[name])
	}
	return all
}

// reversed turns a relation around.
func reversed(of map[string][]string) map[string][]string {
	all := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		for _, d := range of[name] {
			all[d] = append(all[d], name)
		}
	}
	return all
}

// runnable reports kinds that this version can't run, and variables that aren't
// set.
func (t *tool) runnable(s *assembly) error {
	var diags syntax.Diagnostics
	seen := map[string]bool{}
	for _, c := range s.here {
		if !c.Built {
			diags = append(diags, notBuilt(c))
			continue
		}
		model.Envs(c.Settings, func(e model.Env) {
			value, set := s.Lookup(e.Name)
			if missing(e, value, set) && !seen[e.Name] {
				seen[e.Name] = true
				diags = append(diags, needsVariable(c.Name, e))
			}
		})
		diags = append(diags, ofContainers(c)...)
	}
	if len(diags) == 0 {
		return nil
	}
	if err := syntax.Render(t.err, diags, s.Sources, colourful(t.err)); err != nil {
		return err
	}
	if diags.HasErrors() {
		return errReported{exitConfig}
	}
	return nil
}

func (s *assembly) phase(name string) string {
	if c := s.Model.Component(name); c != nil {
		return string(c.Phase)
	}
	return string(model.PhaseBus)
}

// describe says what is to run, for the coordinator.
func (t *tool) describe(s *assembly) ([]inproc.Component, []inproc.Server, error) {
	var parts []inproc.Component
	members := map[string][]string{}
	across := s.across()
	dependents := reversed(across)
	for _, c := range s.here {
		settings, err := s.SettingsHere(c)
		if err != nil {
			return nil, nil, &configError{fmt.Errorf("the settings of %q: %w", c.Name, err), ""}
		}
		p := inproc.Component{
			Config:    component.Config{Name: c.Name, Kind: c.Kind, Type: c.Type, To: c.To, Topics: c.Topics, Settings: settings},
			DependsOn: slices.Concat(s.Model.DependsOn(c.Name), across[c.Name]), Dependents: dependents[c.Name],
			Ingress: c.Phase == model.PhaseIngress, Deployment: inLocal, Workers: c.Workers, Scale: c.Scale,
		}
		isolate(&p, c)
		if c.Deployment != nil {
			p.Deployment = c.Deployment.Name
		}
		if v, ok := c.Settings.Get("grace"); ok {
			if p.Grace, err = model.Duration(v); err != nil {
				return nil, nil, &configError{fmt.Errorf("grace of %q: %w", c.Name, err), ""}
			}
		}
		if v, ok := c.Settings.Get("port"); ok {
			host, err1 := s.value(c.Settings, "host", "127.0.0.1")
			port, err2 := s.text(v)
			if err := errors.Join(err1, err2); err != nil {
				return nil, nil, err
			}
			p.Addr = net.JoinHostPort(host, port)
		}
		parts = append(parts, p)
		members[p.Deployment] = append(members[p.Deployment], c.Name)
	}
	var servers []inproc.Server
	for _, name := range slices.Sorted(maps.Keys(s.servers)) {
		d := s.servers[name]
		host, err1 := s.value(d.Settings, "host", "127.0.0.1")
		port, err2 := s.value(d.Settings, "port", defaultPort)
		token, err3 := s.value(d.Settings, "token", "")
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, nil, err
		}
		if token == "" && !model.OnlyHere(host) {
			return nil, nil, &configError{fmt.Errorf("server %s would listen on %s without a token: anybody could use it", name, host),
				"add `token: $WW_TOKEN`, or leave `host` out to listen on 127.0.0.1"}
		}
		list := members[name]
		if len(list) == 0 { // --as server
			list = slices.Concat(slices.Collect(maps.Values(members))...)
		}
		servers = append(servers, inproc.Server{
			Name: name, Addr: net.JoinHostPort(host, port), Components: list, Token: token,
			Health: d.Settings.Bool("health_checks", true), Discovery: d.Settings.Bool("component_discovery", true),
		})
	}
	return parts, servers, nil
}

// value is a setting that is text or a variable.
func (s *assembly) value(m *model.Map, key, def string) (string, error) {
	v, ok := m.Get(key)
	if !ok {
		return def, nil
	}
	return s.text(v)
}

func (s *assembly) text(v model.Value) (string, error) {
	e, variable := v.(model.Env)
	if !variable {
		text, _ := model.Scalar(v)
		return text, nil
	}
	value, set := s.Lookup(e.Name)
	if def, ok := e.Default(); ok && (!set || value == "" && e.Op == ":-") {
		return def, nil
	}
	if !set {
		at := syntax.Place(e.Span)
		if at != "" {
			at += ": "
		}
		return "", &configError{fmt.Errorf("%sthe variable %s isn't set", at, e.Name), fmt.Sprintf("export %s=…, or write it into .env beside the file", e.Name)}
	}
	return value, nil
}
