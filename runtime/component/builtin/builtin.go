// Package builtin lists the kinds of components that are part of ww. It is
// where a new one is entered; nothing registers itself.
package builtin

import (
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/api"
	"woodwork.dev/ww/runtime/component/commandline"
	"woodwork.dev/ww/runtime/component/console"
	"woodwork.dev/ww/runtime/component/exec"
	"woodwork.dev/ww/runtime/component/openai"
	"woodwork.dev/ww/runtime/component/template"
)

// Builders returns the builder of every built-in kind, by "KIND TYPE".
func Builders() map[string]component.Builder {
	return map[string]component.Builder{
		"input api":          api.Build,
		"input command_line": commandline.Build,
		"output console":     console.Build,
		"core template":      template.Build,
		"core exec":          exec.Build,
		"llm openai":         openai.Build,
	}
}
