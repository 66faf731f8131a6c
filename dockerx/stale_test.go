package dockerx

import (
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/deploy"
)

// TestStaleImages: an image is stale once it is older than a service's pull
// policy wants; one that isn't there is not.
func TestStaleImages(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		for policy, want := range map[string]bool{"every_0s": true, "missing": false, "always": false, "": false, "every_5000w": h.fake != nil} {
			// A fake doesn't know when an image was tagged, which counts as long ago.
			p := *h.project
			p.Services = types.Services{
				"a": {Name: "a", Image: testImage, PullPolicy: policy},
				"b": {Name: "b", Image: "wwtest-none:1", PullPolicy: "daily"},
			}
			o, err := h.Observe(h.ctx, p.Name, &p)
			if err != nil {
				t.Fatal(err)
			}
			if o.Stale[testImage] != want || o.Stale["wwtest-none:1"] {
				t.Errorf("%q: %v, want %v", policy, o.Stale, want)
			}
		}
		p := *h.project
		p.Services = types.Services{"a": {Name: "a", Image: testImage, PullPolicy: "every_soon"}}
		_, err := h.Observe(h.ctx, p.Name, &p)
		wantKind(t, err, deploy.Invalid)
	})
}
