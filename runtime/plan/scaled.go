package plan

import (
	"slices"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/scale"
)

// countOf is how many containers of a service there are to be. Where that follows
// its load, and more run than it begins with, they stay, within its limits: whoever
// brings the system up to date doesn't know how much there is to do.
func (u *up) countOf(s types.ServiceConfig) int {
	n := s.GetScale()
	label := s.Labels[scale.Label]
	if label == "" || n == 0 || slices.Contains(u.opts.Scaled, s.Name) {
		return n
	}
	policy, err := scale.Parse(label)
	if err != nil {
		return n // whoever scales it says so
	}
	there := map[int]bool{}
	for _, c := range u.existing[s.Name] {
		if c.running() {
			there[c.Number] = true
		}
	}
	return max(n, min(len(there), policy.Max))
}
