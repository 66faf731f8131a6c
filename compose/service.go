package compose

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/model"
)

const (
	// componentPort is where every component serves its health and, where it
	// has any, its routes.
	componentPort = "8080"
	// nobody is the user that components run as: no image has one of that
	// number with rights of its own.
	nobody = "65532:65532"

	defaultGrace = 10 * time.Second
	// graceMargin is what a container gets beyond its component's own budget
	// before the engine kills it.
	graceMargin = 5 * time.Second
)

// containerKeys are settings that speak of the container: the component itself
// isn't told.
var containerKeys = []string{
	"to", "resources", "replicas", "restart", "image", "dockerfile", "volumes", "source", "python", "requirements", "port", "host",
}

func (g *generator) component(c *model.Component) {
	if c.Kind == "container" {
		g.container(c)
		return
	}
	s := newObject()
	g.image(s, c)
	s.set("command", flow(texts("component", c.Name)...))
	readOnly := g.environment(s, c)
	g.restart(s, c)
	g.grace(s, c)
	g.replicas(s, c)
	g.published(s, c)
	if v, ok := c.Settings.Get("volumes"); ok {
		s.set("volumes", value(v))
	}
	if c.Kind == "input" && c.Type == "command_line" {
		s.set("stdin_open", boolean(true)).set("tty", boolean(true))
	}
	s.set("depends_on", g.dependsOn(c))
	s.set("healthcheck", healthcheck(texts("CMD", "/ww", "health")...))
	harden(s, readOnly)
	if !readOnly {
		s.set("read_only", boolean(false)).
			comment("Secrets from the environment are copied in before it starts, which engines refuse for\na read-only root. The image is owned by root and the component is not: it can write\nnowhere but /tmp all the same.")
	}
	s.set("labels", g.labels(c))
	g.override(s, c)
	g.services.set(c.Name, &s.node).comment(describe(c))
}

// container adds a container of its own, in the author's words.
func (g *generator) container(c *model.Component) {
	s := newObject()
	g.override(s, c)
	if g.hasBus && s.get("depends_on") == nil && s.get("network_mode") == nil {
		s.set("depends_on", g.dependsOn(c))
	}
	labels := g.labels(c)
	if own := s.get("labels"); own != nil && own.Kind == yaml.MappingNode {
		labels.Content = append(labels.Content, own.Content...)
	}
	s.set("labels", labels)
	g.services.set(c.Name, &s.node).comment("A container of its own.")
}

// override lays the author's own compose vocabulary over a service.
func (g *generator) override(s *object, c *model.Component) {
	if c.Override == nil {
		return
	}
	for _, f := range c.Override.Fields {
		model.Envs(f.Value, func(e model.Env) { g.out.Variables = append(g.out.Variables, Variable{Env: e, Component: c.Name}) })
		node := value(f.Value)
		if f.Key == "ports" {
			node = g.ports(c.Override, "127.0.0.1")
		}
		if have := s.get(f.Key); have != nil && have.Kind == yaml.MappingNode && node.Kind == yaml.MappingNode {
			mergeInto(have, node)
			continue
		}
		s.set(f.Key, node)
	}
}

func mergeInto(dst, src *yaml.Node) {
	o := &object{*dst}
	for i := 0; i < len(src.Content); i += 2 {
		o.set(src.Content[i].Value, src.Content[i+1])
	}
	*dst = o.node
}

func describe(c *model.Component) string {
	s := c.Kind + " " + c.Type
	if len(c.To)+len(c.Topics) > 0 {
		s += " → " + strings.Join(append(slices.Clone(c.To), c.Topics...), ", ")
	}
	return s
}

// environment gives the component its configuration, and its secrets as files.
// It reports whether the root can be read-only.
func (g *generator) environment(s *object, c *model.Component) bool {
	settings := &model.Map{}
	for _, f := range c.Settings.Fields {
		if !slices.Contains(containerKeys, f.Key) {
			settings.Fields = append(settings.Fields, f)
		}
	}
	if script := c.Settings.Text("python"); script != "" && c.Settings.Field("command") == nil {
		settings.Fields = append(settings.Fields, model.Field{Key: "command", Value: []model.Value{"python", script}})
	}
	env := newObject()
	env.set("COMPONENT_NAME", text(c.Name))
	env.set("COMPONENT_TYPE", text(c.Kind+" "+c.Type))
	env.set("COMPONENT_CONFIG", literal(g.config(c, settings)))
	var secrets, configs []*yaml.Node
	if g.hasBus {
		secrets = append(secrets, text(busPassword))
	}
	readOnly := true
	seen := map[string]bool{}
	secret := func(e model.Env) {
		g.out.Variables = append(g.out.Variables, Variable{Env: e, Component: c.Name})
		if seen[e.Name] {
			return
		}
		seen[e.Name] = true
		readOnly = false
		if _, ok := e.Default(); ok {
			// A secret's source has no default, a config's content has.
			g.configs.set(e.Name, &newObject().set("content", raw(interpolation(e))).node)
			configs = append(configs, &newObject().set("source", text(e.Name)).set("target", text("/run/secrets/"+e.Name)).node)
			return
		}
		g.secrets.set(e.Name, &newObject().set("environment", raw(e.Name)).node)
		secrets = append(secrets, text(e.Name))
	}
	model.Envs(settings, secret)
	env.set("WOODWORK_MESSAGE_BUS", text(g.busEnv))
	if e, ok := g.busURL(); ok {
		secret(e)
		env.set("WOODWORK_MESSAGE_BUS", text("file:///run/secrets/"+e.Name))
	}
	env.set("WW_PROJECT", raw("${COMPOSE_PROJECT_NAME}"))
	env.set("WW_GRACE", text(g.graceOf(c).String()))
	s.set("environment", &env.node)
	if len(secrets) > 0 {
		s.set("secrets", list(secrets...))
	}
	if len(configs) > 0 {
		s.set("configs", list(configs...))
	}
	return readOnly
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
	return strings.TrimSpace(b.String())
}

// busURL is the variable that holds the bus's URL, when it is one.
func (g *generator) busURL() (model.Env, bool) {
	if g.project.Bus == nil {
		return model.Env{}, false
	}
	e, ok := g.project.Bus.URL.(model.Env)
	return e, ok
}

func (g *generator) restart(s *object, c *model.Component) {
	policy := c.Settings.Text("restart")
	if policy == "" {
		policy = "unless-stopped"
	}
	s.set("restart", text(policy))
}

func (g *generator) graceOf(c *model.Component) time.Duration {
	if v, ok := c.Settings.Get("grace"); ok {
		if d, err := model.Duration(v); err == nil {
			return d
		}
	}
	return defaultGrace
}

func (g *generator) grace(s *object, c *model.Component) {
	s.set("stop_grace_period", text((g.graceOf(c) + graceMargin).String()))
}

func (g *generator) replicas(s *object, c *model.Component) {
	g.resources(s, c.Settings, func(deploy *object) {
		n := c.Settings.Text("replicas")
		if n == "" || n == "1" {
			return
		}
		if c.Kind == "input" && c.Type == "api" {
			g.errorf(c.Settings.Field("replicas").At, "port-clash", "give one replica the port, and scale what is behind it",
				"replicas of %q can't all publish one port", c.Name)
		}
		deploy.set("replicas", number(n))
	})
}

// resources sets `deploy`: the limits, and what more says.
func (g *generator) resources(s *object, m *model.Map, more func(deploy *object)) {
	deploy := newObject()
	if more != nil {
		more(deploy)
	}
	if r := m.Map("resources"); r != nil {
		limits, reserved := newObject(), newObject()
		for _, f := range r.Fields {
			v, ok := model.Scalar(f.Value)
			if !ok {
				g.errorf(f.At, "wrong-type", "write a number or a size, such as 256m", "%q can't be this", f.Key)
				continue
			}
			switch f.Key {
			case "cpus":
				limits.set("cpus", raw(v))
			case "pids":
				limits.set("pids", number(v))
			case "memory", "memory_reservation":
				if _, err := model.Size(v); err != nil {
					g.errorf(f.At, "wrong-type", "write a size such as 256m", "%q is no size", v)
				}
				if f.Key == "memory" {
					limits.set("memory", raw(v))
				} else {
					reserved.set("memory", raw(v))
				}
			}
		}
		res := newObject()
		res.set("limits", limits.orNil()).set("reservations", reserved.orNil())
		deploy.set("resources", res.orNil())
	}
	s.set("deploy", deploy.orNil())
}

// published opens a port on the host, for what takes work from outside alone.
func (g *generator) published(s *object, c *model.Component) {
	if c.Kind != "input" || c.Type != "api" {
		return
	}
	host, port := "127.0.0.1", componentPort
	if v, ok := c.Settings.Get("host"); ok {
		host = g.plain(c, v)
	}
	if v, ok := c.Settings.Get("port"); ok {
		port = g.plain(c, v)
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") && !strings.HasPrefix(host, "$") {
		host = "[" + host + "]"
	}
	s.set("ports", list(raw(host+":"+port+":"+componentPort)))
}

// plain is a scalar as Compose reads it; a variable stays one.
func (g *generator) plain(c *model.Component, v model.Value) string {
	if e, ok := v.(model.Env); ok {
		g.out.Variables = append(g.out.Variables, Variable{Env: e, Component: c.Name})
		return interpolation(e)
	}
	s, _ := model.Scalar(v)
	return strings.ReplaceAll(s, "$", "$$")
}

func (g *generator) dependsOn(c *model.Component) *yaml.Node {
	deps := newObject()
	healthy := func() *yaml.Node { return &newObject().set("condition", text("service_healthy")).node }
	if g.hasBus {
		deps.set(model.BusService, healthy())
	}
	for _, name := range g.project.DependsOn(c.Name) {
		if !g.inside[name] {
			continue
		}
		if d := g.project.Component(name); d.Kind == "container" && (d.Override == nil || d.Override.Field("healthcheck") == nil) {
			deps.set(name, &newObject().set("condition", text("service_started")).node)
			continue
		}
		deps.set(name, healthy())
	}
	return deps.orNil()
}

func healthcheck(test ...*yaml.Node) *yaml.Node {
	h := newObject()
	h.set("test", flow(test...))
	h.set("interval", text("5s")).set("timeout", text("5s")).set("retries", number("3")).set("start_period", text("30s"))
	return &h.node
}

// harden takes away what no component needs.
func harden(s *object, readOnly bool) {
	if s.get("user") == nil {
		s.set("user", raw(nobody))
	}
	if readOnly {
		s.set("read_only", boolean(true))
	}
	s.set("cap_drop", flow(text("ALL")))
	s.set("security_opt", flow(raw("no-new-privileges:true")))
	s.set("tmpfs", flow(raw("/tmp:size=64m,mode=1777")))
}

func (g *generator) labels(c *model.Component) *yaml.Node {
	l := newObject()
	l.set("dev.woodwork.component", text(c.Name))
	l.set("dev.woodwork.kind", text(c.Kind))
	if c.Type != "" {
		l.set("dev.woodwork.type", text(c.Type))
	}
	l.set("dev.woodwork.phase", text(string(c.Phase)))
	if routes := append(slices.Clone(c.To), c.Topics...); len(routes) > 0 {
		l.set("dev.woodwork.routes", text(strings.Join(routes, ",")))
	}
	if c.Kind != "container" {
		l.set("dev.woodwork.port", raw(componentPort))
	}
	deployment := "docker"
	if c.Deployment != nil {
		deployment = c.Deployment.Name
	}
	l.set("dev.woodwork.deployment", text(deployment))
	return &l.node
}
