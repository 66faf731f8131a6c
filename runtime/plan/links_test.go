package plan

import (
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// step finds the only one of an operation on a service.
func stepOf(t *testing.T, p Plan, op Op, service string) Step {
	t.Helper()
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Op == op && s.Service == service })
	if i < 0 {
		t.Fatalf("no step %s %s:\n%s", op, service, p)
	}
	return p.Steps[i]
}

func TestLinkedIsCreatedFirst(t *testing.T) {
	p := project("a:", "b: a", "c: a")
	s := p.Services["b"]
	s.Links = []string{"a:alias"}
	p.Services["b"] = s
	got := planUp(t, p, Observed{}, Options{})
	a := stepOf(t, got, Create, "a").ID
	if needs := stepOf(t, got, Create, "b").Needs; !slices.Contains(needs, a) {
		t.Errorf("b is created before a, which it links to:\n%s", got)
	}
	if needs := stepOf(t, got, Create, "c").Needs; slices.Contains(needs, a) {
		t.Errorf("c waits for a to be created, and has no link to it:\n%s", got)
	}
}

// TestStaleImages: a pull policy with a period pulls what is older, unless the
// command says something else.
func TestStaleImages(t *testing.T) {
	p := project("a:", "b:")
	s := p.Services["a"]
	s.PullPolicy = "daily"
	p.Services["a"] = s
	have := Observed{Images: map[string]string{ImageOf(p, p.Services["a"]): "1", ImageOf(p, p.Services["b"]): "2"}}
	for _, tt := range []struct {
		stale, pull string
		pulls       bool
	}{{"", "", false}, {"a", "", true}, {"a", types.PullPolicyNever, false}, {"a", types.PullPolicyMissing, false}} {
		have.Stale = map[string]bool{}
		if tt.stale != "" {
			have.Stale[ImageOf(p, p.Services[tt.stale])] = true
		}
		got := planUp(t, p, have, Options{Pull: tt.pull})
		if pulls := slices.ContainsFunc(got.Steps, func(s Step) bool { return s.Op == Pull }); pulls != tt.pulls {
			t.Errorf("%+v:\n%s", tt, got)
		}
	}
}
