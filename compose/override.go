package compose

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/model"
)

// container adds a container of its own, in the author's words.
func (g *generator) container(c *model.Component) {
	s := newObject()
	g.override(s, c)
	if g.hasBus && s.get("depends_on") == nil && s.get("network_mode") == nil {
		s.set("depends_on", g.dependsOn(c))
	}
	labels := &object{*g.labels(c)}
	if own := asMapping("labels", s.get("labels")); own != nil && own.Kind == yaml.MappingNode {
		merge(&labels.node, own)
	}
	s.set("labels", &labels.node)
	g.declare(s)
	g.services.set(c.Name, &s.node).comment("A container of its own.")
}

// override lays the author's own compose vocabulary over a service, as Compose
// merges files, but for lists: only volumes, secrets and configs are added to
// those that are there, as a component needs its own. Ports are replaced.
func (g *generator) override(s *object, c *model.Component) {
	if c.Override == nil {
		return
	}
	if c.Override.Field("image") != nil && c.Override.Field("build") == nil {
		s.remove("build") // what is built isn't what was asked for
	}
	for _, f := range c.Override.Fields {
		model.Envs(f.Value, func(e model.Env) { g.variable(c, e) })
		node := value(f.Value)
		if f.Key == "ports" {
			if node = g.ports(c, &f); node == nil {
				continue
			}
		}
		have := s.get(f.Key)
		switch {
		case have == nil:
			s.set(f.Key, node)
		case have.Kind == yaml.MappingNode && asMapping(f.Key, node).Kind == yaml.MappingNode:
			merge(have, asMapping(f.Key, node))
		case have.Kind == yaml.SequenceNode && node.Kind == yaml.SequenceNode &&
			slices.Contains([]string{"volumes", "secrets", "configs"}, f.Key):
			have.Content = append(have.Content, node.Content...)
		default:
			s.set(f.Key, node)
		}
	}
}

// asMapping gives the list form of a setting that has two as a mapping.
func asMapping(key string, n *yaml.Node) *yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return n
	}
	o := newObject()
	for _, it := range n.Content {
		switch key {
		case "environment", "labels":
			k, v, ok := strings.Cut(it.Value, "=")
			node := raw(v)
			if !ok && key == "environment" {
				node = value(nil) // the environment's own
			}
			o.set(strings.ReplaceAll(k, "$$", "$"), node)
		case "depends_on":
			o.set(it.Value, &newObject().set("condition", text("service_started")).node)
		default:
			return n
		}
	}
	return &o.node
}

// merge lays a mapping over another one, and what is in both deeply.
func merge(dst, src *yaml.Node) {
	o := &object{*dst}
	for i := 0; i < len(src.Content); i += 2 {
		key := src.Content[i].Value
		have := o.get(key)
		if have != nil && have.Kind == yaml.MappingNode && src.Content[i+1].Kind == yaml.MappingNode {
			merge(have, src.Content[i+1])
			continue
		}
		o.set(key, src.Content[i+1])
	}
	*dst = o.node
}

// declare declares the volumes and networks that a service names: in a .ww file
// there is no other place for them.
func (g *generator) declare(s *object) {
	if n := s.get("volumes"); n != nil {
		for _, it := range n.Content {
			if name := volumeName(it); name != "" && g.volumes.get(name) == nil {
				g.volumes.set(name, &newObject().node)
			}
		}
	}
	n := s.get("networks")
	if n == nil {
		return
	}
	for i, it := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 {
			continue
		}
		if it.Value != "" && it.Value != "default" && g.networks.get(it.Value) == nil {
			g.networks.set(it.Value, &newObject().node)
		}
	}
}

// volumeName gives the name of the volume that an item of `volumes` mounts; ""
// if that is no named one.
func volumeName(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		o := &object{*n}
		if t := o.get("type"); t != nil && t.Value == "volume" && o.get("source") != nil {
			return o.get("source").Value
		}
		return ""
	}
	return namedVolume(n.Value)
}

// namedVolume gives the name in the short form of a mount; "" if that has none.
func namedVolume(mount string) string {
	name, _, mounted := strings.Cut(mount, ":")
	if !mounted || name == "" || strings.ContainsAny(name, `/\$`) || strings.ContainsAny(name[:1], ".~") {
		return ""
	}
	return name
}
