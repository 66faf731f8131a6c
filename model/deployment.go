package model

import (
	"net"

	"woodwork.dev/ww/syntax"
)

// Unlisted is the deployment that is meant by what no deployment lists.
const Unlisted = "local"

// DeploymentName is the name of the component's deployment.
func (c *Component) DeploymentName() string {
	if c.Deployment == nil {
		return Unlisted
	}
	return c.Deployment.Name
}

// deployment checks one deployment, takes up its bus and the components that
// it lists or brings along.
func (r *resolver) deployment(d *Deployment) {
	r.checkKeys(d.Settings, deploymentKeys[d.Kind], true, "a "+d.Kind+" deployment")
	if f := d.Settings.Field("message_bus"); f != nil {
		r.setBus(r.busValue(f))
	}
	r.open(d)
	f := d.Settings.Field("components")
	if f == nil {
		return
	}
	switch v := f.Value.(type) {
	case []Value:
		for _, it := range v {
			r.list(d, it, f.At)
		}
	case Ref, string:
		r.list(d, v, f.At)
	case *Map:
		for _, e := range v.Fields {
			r.container(d, e)
		}
	default:
		r.errorf(f.At, "bad-component", "list names, as in `components: [a, b]`", "the components of %q are no list of names", d.Name)
	}
}

// open warns of a server that isn't let run: others than this machine can reach it,
// and it asks for no token.
func (r *resolver) open(d *Deployment) {
	f, token := d.Settings.Field("host"), d.Settings.Field("token")
	if f == nil || token != nil || d.Kind != "server" {
		return
	}
	if host, ok := f.Value.(string); ok && !OnlyHere(host) {
		r.warnf(f.At, "open-server", "add `token: $WW_TOKEN`, or leave `host` out to listen on 127.0.0.1",
			"%q would listen on %s without a token: anybody could use it", d.Name, host)
	}
}

// OnlyHere reports whether only this machine reaches what listens on a host.
func OnlyHere(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (r *resolver) list(d *Deployment, item Value, at syntax.Span) {
	name, ok := Scalar(item)
	if !ok {
		r.errorf(at, "bad-component", "list names, as in `components: [a, b]`", "%q lists something that is no name", d.Name)
		return
	}
	if ref, ok := item.(Ref); ok {
		at = ref.Span
		if !r.known(ref) {
			return
		}
	} else if r.project.byName[name] == nil {
		r.errorf(at, "unknown-reference", didYouMean(name, r.names, "declare it"), "nothing is declared as %q", name)
		return
	}
	r.take(d, name, at)
}

// take gives a component to a deployment.
func (r *resolver) take(d *Deployment, name string, at syntax.Span) {
	switch other := r.listed[name]; other {
	case nil:
		r.listed[name] = d
		d.Listed = append(d.Listed, name)
	case d:
	default:
		r.errorf(at, "two-deployments", "list it in one of them", "%q is in two deployments, %q and %q", name, other.Name, d.Name)
	}
}

// container takes up an entry of `components = { name = {…} }`.
func (r *resolver) container(d *Deployment, e Field) {
	m, ok := e.Value.(*Map)
	if !ok {
		r.errorf(e.At, "bad-container", "write `"+e.Key+" = { image = \"…\" }`", "%q has to be a block in the compose service's vocabulary", e.Key)
		return
	}
	if e.Key == BusService || !serviceName.MatchString(e.Key) {
		r.errorf(e.Span, "bad-name", "use letters, digits, '.', '_' and '-'; \""+BusService+"\" is the bus", "%q can't be the name of a container", e.Key)
		return
	}
	c := r.project.byName[e.Key]
	if c == nil {
		if _, image := m.Get("image"); !image {
			if _, build := m.Get("build"); !build {
				r.errorf(e.Span, "missing-key", "add `image` or `build`, or declare a component of that name",
					"%q is a container of its own and has no image", e.Key)
			}
		}
		c = &Component{
			Name: e.Key, Kind: "container", Type: "", Known: true, Built: true,
			Phase: PhaseComponents, Settings: &Map{}, Span: e.Span,
		}
		r.project.Components = append(r.project.Components, c)
		r.project.byName[c.Name] = c
		r.names = append(r.names, c.Name)
	}
	walk(m, func(v Value) {
		if ref, ok := v.(Ref); ok {
			r.known(ref)
		}
	})
	c.Override = m
	r.take(d, e.Key, e.Span)
}
