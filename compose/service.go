package compose

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/scale"
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
	"to", "resources", "replicas", "scale", "workers", "max_workers", "restart", "image", "dockerfile", "volumes", "source", "python", "requirements", "port", "host", "isolation",
}

func (g *generator) component(c *model.Component) {
	if c.Kind == "container" {
		g.container(c)
		return
	}
	s := newObject()
	g.image(s, c)
	s.set("command", flow(texts("component", c.Name)...))
	grace := g.graceOf(c)
	readOnly := g.environment(s, c, grace)
	g.restart(s, c)
	s.set("stop_grace_period", text((grace + graceMargin).String()))
	g.replicas(s, c)
	g.published(s, c)
	if v, ok := c.Settings.Get("volumes"); ok {
		model.Envs(v, func(e model.Env) { g.variable(c, e) })
		s.set("volumes", value(v))
	}
	if c.Kind == "input" && c.Type == "command_line" {
		s.set("stdin_open", boolean(true)).set("tty", boolean(true))
	}
	s.set("depends_on", g.dependsOn(c))
	s.set("healthcheck", healthcheck(checkEvery, texts("CMD", "/ww", "health")...))
	harden(s, readOnly)
	s.set("labels", g.labels(c))
	g.override(s, c)
	g.declare(s)
	g.services.set(c.Name, &s.node).comment(describe(c))
}

func describe(c *model.Component) string {
	s := c.Kind + " " + c.Type
	if len(c.To)+len(c.Topics) > 0 {
		s += " → " + strings.Join(append(slices.Clone(c.To), c.Topics...), ", ")
	}
	return oneLine(s)
}

func (g *generator) restart(s *object, c *model.Component) {
	f := c.Settings.Field("restart")
	if f == nil {
		s.set("restart", text("unless-stopped"))
		return
	}
	if _, variable := f.Value.(model.Env); !variable {
		policy, times, limited := strings.Cut(c.Settings.Text("restart"), ":")
		_, err := strconv.ParseUint(times, 10, 31)
		if limited && (policy != "on-failure" || err != nil) {
			g.errorf(f.At, "wrong-value", `write "on-failure:3" to try three times`, "there is no restart policy %q", c.Settings.Text("restart"))
		}
	}
	s.set("restart", raw(g.plain(c, f.Value)))
}

// graceOf is the time that a component has to end. A variable can't be one: the
// service's own period is derived from it.
func (g *generator) graceOf(c *model.Component) time.Duration {
	if v, ok := c.Settings.Get("grace"); ok {
		if d, err := model.Duration(v); err == nil {
			return d
		}
		g.noVariable(c.Settings.Field("grace"))
	}
	return defaultGrace
}

func (g *generator) noVariable(f *model.Field) {
	g.errorf(f.At, "wrong-value", "write the value out", "%q can't be a variable", f.Key)
}

func (g *generator) replicas(s *object, c *model.Component) {
	g.resources(s, c.Settings, func(deploy *object) {
		if c.Scale != nil || c.Workers > 1 {
			deploy.set("replicas", number(strconv.Itoa(c.Workers)))
			return
		}
		v, _ := c.Settings.Get("replicas")
		n := c.Settings.Text("replicas")
		if v == nil || n == "1" {
			return
		}
		if c.Kind == "input" && c.Type == "api" {
			g.errorf(c.Settings.Field("replicas").At, "port-clash", "give one replica the port, and scale what is behind it",
				"replicas of %q can't all publish one port", c.Name)
		}
		if _, ok := v.(model.Env); ok {
			deploy.set("replicas", raw(g.plain(c, v)))
			return
		}
		deploy.set("replicas", number(n))
	})
}

// variable notes that a component needs one.
func (g *generator) variable(c *model.Component, e model.Env) {
	g.out.Variables = append(g.out.Variables, Variable{Env: e, Component: c.Name})
}

// plain is a scalar as Compose reads it; a variable stays one.
func (g *generator) plain(c *model.Component, v model.Value) string {
	if e, ok := v.(model.Env); ok {
		g.variable(c, e)
		return interpolation(e)
	}
	s, _ := model.Scalar(v)
	return strings.ReplaceAll(s, "$", "$$")
}

// dependsOn says what a component waits for. What it refers to has to be ready,
// and receivers are started before senders: what comes for them before they are
// ready waits on the bus. What accepts work from outside waits until all that
// the work can get to is ready.
func (g *generator) dependsOn(c *model.Component) *yaml.Node {
	deps := newObject()
	condition := func(is string) *yaml.Node { return &newObject().set("condition", text(is)).node }
	if g.hasBus {
		deps.set(model.BusService, condition("service_healthy"))
	}
	names := g.project.DependsOn(c.Name)
	if c.Phase == model.PhaseIngress {
		names = g.behind(c)
	}
	for _, name := range names {
		if !g.inside[name] {
			continue
		}
		d := g.project.Component(name)
		is := "service_healthy"
		switch {
		case d.Kind == "container" && (d.Override == nil || d.Override.Field("healthcheck") == nil),
			c.Phase != model.PhaseIngress && !slices.Contains(c.Needs, name):
			is = "service_started"
		}
		deps.set(name, condition(is))
	}
	return deps.orNil()
}

// behind lists all that a component depends on, also by way of others.
func (g *generator) behind(c *model.Component) []string {
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		for _, d := range g.project.DependsOn(name) {
			if !seen[d] {
				seen[d] = true
				visit(d)
			}
		}
	}
	visit(c.Name)
	return slices.Sorted(maps.Keys(seen))
}

const (
	// checkEvery is how often the engine looks at a component that is ready. A
	// look costs a process in the container, about 0.09 s of a core, so that
	// this is what a large system pays for it; ww itself learns of readiness
	// and of a component's end in other ways.
	checkEvery = "60s"
	// checkBusEvery is shorter: with an engine older than 25, whoever brings
	// the file up without ww waits so long for the bus.
	checkBusEvery = "15s"
)

func healthcheck(every string, test ...*yaml.Node) *yaml.Node {
	h := newObject()
	h.set("test", flow(test...))
	h.set("interval", text(every)).set("timeout", text("5s")).set("retries", number("2"))
	h.set("start_period", text("60s")).set("start_interval", text("1s"))
	return &h.node
}

// harden takes away what no component needs.
func harden(s *object, readOnly bool) {
	if s.get("user") == nil {
		s.set("user", raw(nobody))
	}
	s.set("read_only", boolean(readOnly))
	if !readOnly {
		s.comment("Secrets from the environment are copied in before it starts, which engines refuse for\na read-only root. The image is owned by root and the component is not: it can write\nnowhere but /tmp and the empty /data all the same.")
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
	if c.Scale != nil {
		l.set(scale.Label, text(c.Scale.Label()))
	}
	deployment := "docker"
	if c.Deployment != nil {
		deployment = c.Deployment.Name
	}
	l.set("dev.woodwork.deployment", text(deployment))
	return &l.node
}
