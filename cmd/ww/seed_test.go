package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// quoted is what a row of a table names.
var quoted = regexp.MustCompile("`([^`]+)`")

// TestSeedTable: what docs/startup-architecture.md names is there: packages, files,
// commands with their flags, symbols, tests.
func TestSeedTable(t *testing.T) {
	h := readHouse(t, "../..")
	text, err := os.ReadFile("../../docs/startup-architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for n, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| The startup paper |") {
			continue
		}
		rows++
		wrong := func(format string, args ...any) {
			t.Errorf("docs/startup-architecture.md:%d: %s", n+1, fmt.Sprintf(format, args...))
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 3 {
			wrong("%d columns, want 3", len(cells))
			continue
		}
		for _, name := range quoted.FindAllStringSubmatch(cells[1], -1) {
			if why := h.has(name[1]); why != "" {
				wrong("`%s`: %s", name[1], why)
			}
		}
		tests := quoted.FindAllStringSubmatch(cells[2], -1)
		if len(tests) == 0 {
			wrong("no test shows it")
		}
		for _, name := range tests {
			if why := h.hasTest(name[1]); why != "" {
				wrong("`%s`: %s", name[1], why)
			}
		}
	}
	if rows < 100 {
		t.Errorf("only %d rows were found", rows)
	}
	// What isn't there is found out.
	for _, name := range []string{"runtime/nothing", "inproc.Nothing", "inproc.System.Nothing", "ww nothing", "ww up --nothing", "WOODWORK_" + "NOTHING"} {
		if h.has(name) == "" {
			t.Errorf("%s is said to be there", name)
		}
	}
	for _, name := range []string{"cmd/ww Test" + "Nothing", "cmd/ww TestScripts/nothing", "runtime/bus/redis TestSuite/" + "Nothing", "nothing TestTop", "TestTop"} {
		if h.hasTest(name) == "" {
			t.Errorf("%s is said to be there", name)
		}
	}
}

// house is the text of the project: of its sources and of its tests, by folder.
type house struct {
	root           string
	sources, tests map[string]string
	app            *cli.App
}

func readHouse(t *testing.T, root string) *house {
	h := &house{root: root, sources: map[string]string{}, tests: map[string]string{}, app: (&tool{}).app()}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		into := h.sources
		if strings.HasSuffix(path, "_test.go") {
			into = h.tests
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		into[filepath.ToSlash(dir)] += string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

var symbol = regexp.MustCompile(`^([a-z]+)\.([A-Z]\w*)(?:\.([A-Z]\w*))?$`)

// has says why there is no such thing in the project; "" if there is.
func (h *house) has(name string) string {
	if words := strings.Fields(name); words[0] == "ww" && len(words) > 1 {
		return h.hasCommand(words[1:])
	}
	if _, err := os.Stat(filepath.Join(h.root, name)); err == nil {
		return ""
	}
	if m := symbol.FindStringSubmatch(name); m != nil && name != "context.Context" {
		for dir, text := range h.sources {
			if filepath.Base(dir) == m[1] && declares(text, m[2], m[3]) {
				return ""
			}
		}
		return "no package declares it"
	}
	if slash := strings.Index(name, "/"); slash > 0 && !strings.Contains(name, " ") && h.sources[name] == "" && filepath.Ext(name) == "" {
		if _, err := os.Stat(filepath.Join(h.root, name[:slash])); err == nil {
			return "there is no such package"
		}
	}
	for _, text := range h.sources { // anything else is a word of theirs
		if strings.Contains(text, name) {
			return ""
		}
	}
	return "no source has it"
}

// declares reports whether a package has a symbol, and that a method or a field.
func declares(text, symbol, member string) bool {
	if member == "" {
		return regexp.MustCompile(`(?m)^(type|func|var|const) ` + symbol + `\b`).MatchString(text)
	}
	if regexp.MustCompile(`(?m)^func \(\w+ \*?` + symbol + `\) ` + member + `\(`).MatchString(text) {
		return true
	}
	_, body, found := strings.Cut(text, "\ntype "+symbol+" ")
	body, _, _ = strings.Cut(body, "\n}")
	return found && regexp.MustCompile(`(?m)^\t`+member+`\b`).MatchString(body)
}

func (h *house) hasCommand(words []string) string {
	commands, flags := h.app.Commands, h.app.Flags
	for i, word := range words {
		if name, isFlag := strings.CutPrefix(word, "--"); isFlag {
			if !slices.ContainsFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) }) {
				return "there is no such flag"
			}
			continue
		}
		at := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(word) })
		if at < 0 {
			return fmt.Sprintf("there is no command %q", strings.Join(words[:i+1], " "))
		}
		commands, flags = commands[at].Subcommands, commands[at].Flags
	}
	return ""
}

// hasTest says why there is no such test: "package Test", or "package Test/part".
func (h *house) hasTest(name string) string {
	dir, test, ok := strings.Cut(name, " ")
	if !ok {
		return "want a package and a test"
	}
	test, part, parts := strings.Cut(test, "/")
	if !strings.Contains(h.tests[dir], "\nfunc "+test+"(") {
		return "there is no such test"
	}
	if !parts {
		return ""
	}
	switch test {
	case "TestScripts", "TestEngine":
		folder := map[string]string{"TestScripts": "script", "TestEngine": "engine"}[test]
		if _, err := os.Stat(filepath.Join("testdata", folder, part+".txtar")); err != nil {
			return "there is no such script"
		}
	default:
		if !strings.Contains(h.tests[dir]+h.sources["runtime/bus/bustest"], `"`+part+`"`) {
			return "the test has no such part"
		}
	}
	return ""
}
