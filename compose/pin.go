package compose

import (
	"bytes"
	"fmt"

	"gopkg.in/yaml.v3"
)

// Pin sets the images of services in a compose file. With only, nothing else of
// it is left: it is an override file then.
func Pin(doc []byte, images map[string]string, only bool) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(doc, &root); err != nil {
		return nil, fmt.Errorf("pin the images: %w", err)
	}
	if len(root.Content) == 0 {
		return doc, nil
	}
	top := root.Content[0]
	services := field(top, "services")
	if only {
		top.Content = nil
		if services != nil {
			top.Content = []*yaml.Node{{Kind: yaml.ScalarNode, Value: "services"}, services}
		}
	}
	for i := 0; services != nil && i+1 < len(services.Content); i += 2 {
		s := services.Content[i+1]
		image := field(s, "image")
		if ref := images[services.Content[i].Value]; ref != "" && image != nil {
			image.SetString(ref)
		}
		if !only {
			continue
		}
		s.Content = nil
		if image != nil {
			s.Content = []*yaml.Node{{Kind: yaml.ScalarNode, Value: "image"}, image}
		}
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&root); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

// field is the value of a key of a mapping; nil where there is none.
func field(m *yaml.Node, key string) *yaml.Node {
	for i := 0; m.Kind == yaml.MappingNode && i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}
