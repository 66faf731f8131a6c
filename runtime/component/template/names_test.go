package template

import (
	"slices"
	"testing"

	"woodwork.dev/ww/model"
)

// TestFunctionsAreTheLanguages: what the language accepts is what there is.
func TestFunctionsAreTheLanguages(t *testing.T) {
	var names []string
	for name := range functions(t.Context()) {
		if name != tick {
			names = append(names, name)
		}
	}
	if slices.Sort(names); !slices.Equal(names, model.TemplateFunctions) {
		t.Errorf("there are %v, and the language has %v", names, model.TemplateFunctions)
	}
}
