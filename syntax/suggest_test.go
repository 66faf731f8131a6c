package syntax

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestSuggest(t *testing.T) {
	names := []string{"language_model", "agent", "in", "input", "output", "memory", "Memori", "a", "übung", ""}
	for name, want := range map[string]string{
		"langage_model":  "language_model",
		"language_modle": "language_model",
		"LANGUAGE_MODEL": "language_model",
		"agnet":          "agent",
		"ageants":        "agent",
		"imput":          "input",
		"outptu":         "output",
		"memory":         "memory",
		"memorx":         "memory",
		"ni":             "in",
		"ubung":          "übung",
		"x":              "",
		"A":              "a",
		"":               "",
		" ":              "",
		"database":       "",
		"agxyz":          "",
	} {
		if got := Suggest(name, names); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", name, got, want)
		}
	}
	if got := Suggest("tool", []string{"tool_b", "pool", "fool"}); got != "pool" {
		t.Errorf("of two equally close ones: %q, want the first", got)
	}
	long := strings.Repeat("x", 1<<20)
	if got := Suggest(long, []string{long[1:] + "yy", long + "y"}); got != long[1:]+"yy" && got != long+"y" {
		t.Errorf("a long name has no suggestion")
	}
}

// The banded distance must be the plain one, up to its limit.
func TestDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func() []rune {
		w := make([]rune, r.IntN(9))
		for i := range w {
			w[i] = rune('a' + r.IntN(3))
		}
		return w
	}
	rows := new([3][]int)
	for range 50000 {
		a, b, limit := word(), word(), 1+r.IntN(4)
		if abs(len(a)-len(b)) > limit {
			continue
		}
		got, want := distance(a, b, limit, rows), min(plainDistance(a, b), limit+1)
		if got != want {
			t.Fatalf("distance(%q, %q, %d) = %d, want %d", string(a), string(b), limit, got, want)
		}
	}
}

func plainDistance(a, b []rune) int {
	switch {
	case len(a) == 0:
		return len(b)
	case len(b) == 0:
		return len(a)
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
