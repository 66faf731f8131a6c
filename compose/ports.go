package compose

import (
	"strings"

	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/model"
)

// loopback is the address that ports are published on where none is named.
const loopback = "127.0.0.1"

// published opens a port on the host, for what takes work from outside alone.
func (g *generator) published(s *object, c *model.Component) {
	if c.Kind != "input" || c.Type != "api" {
		return
	}
	host, port := loopback, componentPort
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

// ports reads `ports` of a .ww file: Compose's own list, or `{"6379": "6379"}`,
// host to container. Ports that name no address are bound to the loopback one.
func (g *generator) ports(c *model.Component, f *model.Field) *yaml.Node {
	if f == nil {
		return nil
	}
	n := list()
	switch v := f.Value.(type) {
	case *model.Map:
		for _, e := range v.Fields {
			host := strings.ReplaceAll(bind(e.Key), "$", "$$")
			n.Content = append(n.Content, raw(host+":"+g.plain(c, e.Value)))
		}
	case []model.Value:
		for _, it := range v {
			n.Content = append(n.Content, port(it))
		}
	default:
		g.errorf(f.At, "wrong-type", `write ports = { "6379": "6379" }, host port to container port`, "`ports` has to be a block or a list")
	}
	return n
}

// port is one item of Compose's list.
func port(v model.Value) *yaml.Node {
	if s, ok := model.Scalar(v); ok {
		if !strings.Contains(s, ":") {
			return text(loopback + "::" + s) // on any free port
		}
		return text(bind(s))
	}
	n := value(v)
	if m, ok := v.(*model.Map); ok && m.Field("host_ip") == nil {
		o := &object{*n}
		o.set("host_ip", text(loopback))
		return &o.node
	}
	return n
}

// bind puts the address before a published port that has none.
func bind(port string) string {
	if strings.Count(port, ":") > 1 || strings.Contains(strings.SplitN(port, ":", 2)[0], ".") {
		return port
	}
	return loopback + ":" + port
}
