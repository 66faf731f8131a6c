package main

import (
	"bufio"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestFlagsOfDockerCompose: ww knows every verb and every flag of docker compose,
// or docs/compose-flags.md says what becomes of it, and nothing else.
func TestFlagsOfDockerCompose(t *testing.T) {
	tool := &tool{out: io.Discard, err: io.Discard}
	compose := find(tool.app().Commands, "compose")
	said := flagsInDocs(t)
	for _, line := range linesOf(t, "testdata/flags/docker-compose.txt") {
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		words := strings.Fields(line)
		what, why := words[0], ""
		verb := compose
		if words[0] != "-" {
			verb = find(compose.Subcommands, words[0])
		}
		flag := words[len(words)-1]
		switch {
		case verb == nil || verb.Hidden && len(words) == 1:
			why = "no such verb"
		case verb.Hidden:
			continue // its verb is the difference
		case len(words) > 1:
			what = strings.TrimPrefix(words[0]+" ", "- ") + strings.TrimSuffix(flag, "=")
			why = lacks(verb.Flags, words[1:])
		}
		if _, ok := said[what]; ok == (why == "") {
			t.Errorf("%s: %q, and docs/compose-flags.md says %q", what, why, said[what])
		}
		delete(said, what)
	}
	for what := range said {
		t.Errorf("docs/compose-flags.md says something about %s, which docker compose hasn't", what)
	}
}

// lacks says how flags don't have one of docker compose's: [-s] --long[=].
// A flag that is hidden is there to be refused, or has no effect.
func lacks(flags []cli.Flag, names []string) string {
	long, value := strings.CutSuffix(strings.TrimPrefix(names[len(names)-1], "--"), "=")
	f := lookup(flags, long)
	if f == nil {
		return "no such flag"
	}
	if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
		return "hidden"
	}
	if valued(f) != value {
		return "with a value, or without"
	}
	if len(names) == 2 && !slices.Contains(f.Names(), strings.TrimPrefix(names[0], "-")) {
		return "no such short name"
	}
	return ""
}

var flagRow = regexp.MustCompile("^\\| `([a-z]*(?: ?--[a-z-]+)?)` \\| (.+) \\|$")

// flagsInDocs gives what the first table of docs/compose-flags.md says of each verb
// and flag.
func flagsInDocs(t *testing.T) map[string]string {
	said := map[string]string{}
	for _, line := range linesOf(t, "../../docs/compose-flags.md") {
		if strings.HasPrefix(line, "## ") {
			break
		}
		if m := flagRow.FindStringSubmatch(line); m != nil {
			said[m[1]] = m[2]
		}
	}
	if len(said) == 0 {
		t.Fatal("docs/compose-flags.md has no table")
	}
	return said
}

func linesOf(t *testing.T, name string) []string {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}
