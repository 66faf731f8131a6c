package compose

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Place gives the place of a key such as services.web.volumes.0.bind as
// FILE:LINE, in the last of the compose files that has it; of what it is part of
// where it isn't written out. It is empty where no file has that either, as with
// what comes from .ww files, extends and include.
func (l *Loaded) Place(key string) string {
	best, depth := "", 2 // a service or network alone is no place of a key of it
	for _, f := range slices.Backward(l.details.ConfigFiles) {
		if filepath.Ext(f.Filename) == ".ww" {
			continue
		}
		var doc yaml.Node
		if yaml.Unmarshal(f.Content, &doc) != nil || len(doc.Content) == 0 {
			continue
		}
		if line, n := follow(doc.Content[0], key); n > depth {
			best, depth = fmt.Sprintf("%s:%d", display(f.Filename), line), n
		}
	}
	return best
}

// follow goes down a path as far as it is there: it returns the line of where it
// ends, and how many steps that is. A name may have dots in it.
func follow(n *yaml.Node, path string) (line, steps int) {
	for path != "" {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		step, next := "", (*yaml.Node)(nil)
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				name := n.Content[i].Value
				if (path == name || strings.HasPrefix(path, name+".")) && len(name) >= len(step) {
					step, next, line = name, n.Content[i+1], n.Content[i].Line
				}
			}
		case yaml.SequenceNode:
			step, _, _ = strings.Cut(path, ".")
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
				next, line = n.Content[i], n.Content[i].Line
			}
		}
		if next == nil {
			break
		}
		n, path = next, strings.TrimPrefix(strings.TrimPrefix(path, step), ".")
		steps++
	}
	return line, steps
}
