package dockerx

import (
	"context"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/deploy"
)

// TestBuilt: what was built for a project is found by its label: with the tags
// that are the project's own, also where there are several, and without any.
func TestBuilt(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		name := h.project.Name
		build := func(project, ref, label string) string {
			id, err := h.Build(h.ctx, deploy.BuildSpec{Service: "a", Image: ref,
				Build:  &types.BuildConfig{Context: t.TempDir(), DockerfileInline: "FROM " + testImage + "\nLABEL which=" + label + "\n"},
				Labels: map[string]string{labelProject: project, labelService: "a"}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				for range 2 { // the tag, and what is without one
					_ = h.RemoveImage(context.WithoutCancel(h.ctx), ref)
					ref = id
				}
			})
			return id
		}
		untagged := build(name, name+"-a", "first")
		want := map[string][]string{
			untagged:                              {},
			build(name, name+"-a", "second"):      {name + "-a:latest"},
			build(name, name+"-a:0123", "third"):  {name + "-a:0123"},
			build(name, name+"-common", "fourth"): {}, // a name of its own
		}
		build(name+"x", name+"x-a", "fifth")
		built, _, err := h.Built(h.ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if len(built) != len(want) {
			t.Errorf("got %+v, want %v", built, want)
		}
		for _, b := range built {
			if tags, ok := want[b.ID]; !ok || len(tags) != len(b.Tags) || len(tags) > 0 && tags[0] != b.Tags[0] || b.Untagged != (b.ID == untagged) {
				t.Errorf("got %+v, want %v", b, tags)
			}
		}
	})
}
