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
	case b.Kind == "nats":
		g.errorf(b.Span, "not-built", "use `message_bus = redis {}`", "this version of ww can't use NATS as the message bus")
		return
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
	g.busEnv = "redis://" + model.BusService + ":" + redisPort
	g.out.BusPassword = true
	g.services.set(model.BusService, g.redis(b)).
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
	s.set("restart", text("unless-stopped"))
	s.set("stop_grace_period", text("20s"))
	s.set("secrets", list(text(busPassword)))
	s.set("volumes", list(text(busVolume+":/data")))
	s.set("ports", g.ports(bus, b.Settings.Field("ports")))
	s.set("healthcheck", healthcheck(text("CMD-SHELL"),
		text(`REDISCLI_AUTH="$(cat /run/secrets/`+busPassword+`)" redis-cli ping | grep -q PONG`)))
	g.resources(s, b.Settings, nil)
	harden(s, true)
	l := newObject()
	l.set("dev.woodwork.phase", text(string(model.PhaseBus)))
	l.set("dev.woodwork.port", raw(redisPort))
	s.set("labels", &l.node)
	return &s.node
}
