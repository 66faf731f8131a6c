package plan

import (
	"math/rand/v2"
	"testing"

	"woodwork.dev/ww/runtime/scale"
)

// TestScaledStays: what was scaled up with the load is left as it is, within its
// limits, unless a number is asked for.
func TestScaledStays(t *testing.T) {
	for name, c := range map[string]struct {
		label    string
		wanted   int
		there    int
		stopped  bool
		explicit bool
		want     int
	}{
		"more than it begins with": {label: `{"min":1,"max":5}`, wanted: 1, there: 4, want: 4},
		"fewer":                    {label: `{"min":2,"max":5}`, wanted: 2, there: 1, want: 2},
		"beyond the most":          {label: `{"min":1,"max":3}`, wanted: 1, there: 4, want: 3},
		"asked for":                {label: `{"min":1,"max":5}`, wanted: 2, there: 4, explicit: true, want: 2},
		"none":                     {label: `{"min":1,"max":5}`, wanted: 0, there: 4, want: 0},
		"not running":              {label: `{"min":1,"max":5}`, wanted: 1, there: 4, stopped: true, want: 1},
		"no policy":                {wanted: 1, there: 4, want: 1},
		"a broken policy":          {label: `{"min":1}`, wanted: 1, there: 4, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := project("a:")
			set := func(n int) {
				s := p.Services["a"]
				if c.label != "" {
					s.Labels = map[string]string{scale.Label: c.label}
				}
				s.SetScale(n)
				p.Services["a"] = s
			}
			set(c.there)
			e := newEngine(p)
			e.run(t, rand.New(rand.NewPCG(1, 1)), p, hashesOf(p), planUp(t, p, e.Observed, Options{Scaled: []string{"a"}}), 1<<20)
			have := e.Observed
			for i := range have.Containers {
				if c.stopped {
					have.Containers[i].State = Exited
				}
			}
			set(c.wanted)
			var opts Options
			if c.explicit {
				opts.Scaled = []string{"a"}
			}
			got := c.there
			for _, s := range planUp(t, p, have, opts).Steps {
				switch s.Op {
				case Create:
					got++
				case Remove:
					got--
				}
			}
			if got != c.want {
				t.Errorf("there are %d, want %d", got, c.want)
			}
		})
	}
}
