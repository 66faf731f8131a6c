package compose

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/model"
)

const (
	busVolume   = "bus-data"
	busPassword = "bus_password"
	// BusPasswordFile is where a project's bus password lies, relative to its
	// folder.
	BusPasswordFile = Folder + "/secrets/" + busPassword
	redisImage      = "redis:alpine"
	redisPort       = "6379"
	natsPort        = "4222"
)

// bus adds the bus, unless the file says that there is one elsewhere.
func (g *generator) bus() {
	if len(g.out.Components) == 0 && g.project.Bus == nil {
		return
	}
	b := g.project.Bus
	if b == nil {
		b = &model.Bus{Kind: "redis", Settings: &model.Map{}}
	}
	switch {
	case b.Kind == "memory":
		g.errorf(b.Span, "wrong-bus", "leave `message_bus` out, or use `message_bus = redis {}`",
			"a bus in memory lives in one process: containers can't reach it")
		return
	case b.URL != nil:
		if s, ok := b.URL.(string); ok {
			g.busEnv = s
		}
		return
	}
	g.hasBus = true
	g.out.BusPassword = true
	service := g.redis
	g.busEnv = "redis://" + model.BusService + ":" + redisPort
	if b.Kind == "nats" {
		service = g.nats
		g.busEnv = "nats://" + model.BusService + ":" + natsPort
	}
	g.services.set(model.BusService, service(b)).
		comment("The message bus. It keeps every message on its volume until it is handled; nothing\noutside of this project reaches it unless you publish a port.")
	g.secrets.set(busPassword, &newObject().set("file", text("./"+BusPasswordFile)).node)
	g.volumes.set(busVolume, &newObject().node)
}

// redis is the service of a Redis bus. The password reaches the server through
// its standard input, so that it is in no argument and no environment.
func (g *generator) redis(b *model.Bus) *yaml.Node {
	for _, key := range []string{"appendfsync", "maxmemory"} {
		if f := b.Settings.Field(key); f != nil {
			model.Envs(f.Value, func(model.Env) { g.noVariable(f) })
		}
	}
	bus := &model.Component{Name: model.BusService}
	model.Envs(b.Settings, func(e model.Env) { g.variable(bus, e) })
	s := newObject()
	s.set("image", text(redisImage))
	if v, ok := b.Settings.Get("image"); ok {
		s.set("image", value(v))
	}
	fsync := b.Settings.Text("appendfsync")
	if fsync == "" {
		fsync = "always"
	}
	conf := []string{
		"dir /data", "appendonly yes", "appendfsync " + fsync, `save ""`, "maxmemory-policy noeviction", "protected-mode no",
	}
	if m := b.Settings.Text("maxmemory"); m != "" {
		n, err := model.Size(m)
		if err == nil {
			conf = append(conf, fmt.Sprintf("maxmemory %d", n))
		}
	}
	conf = append(conf, "requirepass $(cat /run/secrets/"+busPassword+")")
	s.set("command", list(text("sh"), text("-c"), text("exec redis-server - <<EOF\n"+strings.Join(conf, "\n")+"\nEOF\n")))
	if fsync == "always" {
		s.comment("appendfsync always: a message that was accepted survives even a power cut.")
	}
	s.set("user", raw("999:1000"))
	g.keep(s, bus, b, redisPort)
	s.set("healthcheck", healthcheck(checkBusEvery, text("CMD-SHELL"),
		text(`REDISCLI_AUTH="$(cat /run/secrets/`+busPassword+`)" redis-cli ping | grep -q PONG`)))
	g.busLabels(s, b, redisPort)
	return &s.node
}

// nats is the service of a NATS bus: ww has the server in it, so that nothing is
// pulled. It syncs every write.
func (g *generator) nats(b *model.Bus) *yaml.Node {
	bus := &model.Component{Name: model.BusService, Settings: &model.Map{}, Span: b.Span}
	model.Envs(b.Settings, func(e model.Env) { g.variable(bus, e) })
	s := newObject()
	g.image(s, bus)
	s.set("command", flow(texts("bus", "serve")...))
	s.set("user", raw(nobody))
	g.keep(s, bus, b, natsPort)
	s.set("healthcheck", healthcheck(checkBusEvery, texts("CMD", "/ww", "bus", "health")...))
	g.busLabels(s, b, natsPort)
	return &s.node
}

// keep is what every bus of ours needs to keep what it has, and to be reached
// from outside of the project where somebody is there.
func (g *generator) keep(s *object, bus *model.Component, b *model.Bus, inside string) {
	s.set("restart", text("unless-stopped"))
	s.set("stop_grace_period", text("20s"))
	s.set("secrets", list(text(busPassword)))
	s.set("volumes", list(text(busVolume+":/data")))
	ports := g.ports(bus, b.Settings.Field("ports"))
	if ports == nil && len(g.out.outside) > 0 {
		port, err := busPort(g.opts.Dir, g.opts.Name)
		if err != nil {
			g.errorf(b.Span, "bus-port", "", "%v", err)
			return
		}
		g.out.BusPort = port
		ports = list(raw(loopback + ":" + port + ":" + inside))
		s.set("ports", ports).comment("For the components outside of containers, on this machine alone.")
		return
	}
	s.set("ports", ports)
}

func (g *generator) busLabels(s *object, b *model.Bus, port string) {
	g.resources(s, b.Settings, nil)
	harden(s, true)
	l := newObject()
	l.set("dev.woodwork.phase", text(string(model.PhaseBus)))
	l.set("dev.woodwork.port", raw(port))
	s.set("labels", &l.node)
}
