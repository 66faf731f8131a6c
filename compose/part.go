package compose

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"gopkg.in/yaml.v3"
)

// Part narrows an exported compose file to the services, networks, volumes,
// configs and secrets that a project has. Everything else of it stays as it is.
func Part(doc []byte, p *types.Project) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(doc, &root); err != nil {
		return nil, fmt.Errorf("narrow the compose file: %w", err)
	}
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return doc, nil
	}
	keep := map[string]func(string) bool{
		"services": in(p.Services), "networks": in(p.Networks), "volumes": in(p.Volumes), "configs": in(p.Configs), "secrets": in(p.Secrets),
	}
	top := root.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		section := top.Content[i+1]
		wanted, ok := keep[top.Content[i].Value]
		if !ok || section.Kind != yaml.MappingNode {
			continue
		}
		var kept []*yaml.Node
		for j := 0; j+1 < len(section.Content); j += 2 {
			if wanted(section.Content[j].Value) {
				kept = append(kept, section.Content[j], section.Content[j+1])
			}
		}
		section.Content = kept
		if len(kept) == 0 {
			top.Content = slices.Delete(top.Content, i, i+2)
			i -= 2
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

func in[V any](m map[string]V) func(string) bool {
	return func(k string) bool { _, ok := m[k]; return ok }
}

// JSON gives a compose file as JSON.
func JSON(doc []byte) ([]byte, error) { return toJSON(doc) }

// Plain is an exported file without what ww says at its beginning.
func Plain(doc []byte) []byte {
	_, body := splitHeader(doc)
	return bytes.TrimLeft(body, "\n")
}

// Variables gives the variables that the files have, with what counts where they
// aren't set.
func (l *Loaded) Variables(ctx context.Context) (map[string]template.Variable, error) {
	doc, err := l.export(ctx, ExportOptions{NoInterpolate: true})
	if err != nil {
		return nil, err
	}
	var m map[string]any
	if err := yaml.Unmarshal(doc, &m); err != nil {
		return nil, err
	}
	return template.ExtractVariables(m, template.DefaultPattern), nil
}
