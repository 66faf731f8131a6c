package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

// TestInterspersed: flags and their values may stand wherever docker compose
// takes them; what follows the service of exec and run is that command's own.
func TestInterspersed(t *testing.T) {
	tool := &tool{out: io.Discard, err: io.Discard}
	for line, want := range map[string]string{
		"compose up -d web":                "compose up --detach -- web",
		"compose up web -d":                "compose up --detach -- web",
		"compose logs -n1":                 "compose logs --tail=1",
		"compose logs -fn1 web":            "compose logs --follow --tail=1 -- web",
		"compose logs web -ftn 1":          "compose logs --follow --timestamps --tail 1 -- web",
		"compose logs -n=1":                "compose logs --tail=1",
		"compose logs --tail 1 web":        "compose logs --tail 1 -- web",
		"compose logs --tail=1 web":        "compose logs --tail=1 -- web",
		"compose down -vt1":                "compose down --volumes --timeout=1",
		"compose down -vt=1":               "compose down --volumes --timeout=1",
		"compose down -v=false":            "compose down --volumes=false",
		"compose kill web -sTERM":          "compose kill --signal=TERM -- web",
		"compose -pNAME ps":                "compose --project-name=NAME ps",
		"compose -fx.yml -pn=1 ps -qa":     "compose --file=x.yml --project-name=n=1 ps --quiet --all",
		"compose exec -eA=2 -ite=B web ls": "compose exec --env=A=2 --interactive --tty --env=B -- web ls",
		"compose exec web ls -la -n1":      "compose exec -- web ls -la -n1",
		"compose run -p80:80 web -- -x":    "compose run --publish=80:80 -- web -- -x",
		"compose logs -- -n1":              "compose logs -- -n1",
		"compose logs -":                   "compose logs -- -",
		"compose logs -fQn1":               "compose logs -Q",
		"bus drain -timeout 5":             "bus drain --timeout 5",
		"compose logs -h":                  "compose logs -h",
		"compose logs -n 1 --tail 2":       "compose logs --tail 1 --tail 2",
		"compose exec --no-TTY web ls":     "compose exec --no-tty -- web ls",
		"compose logs -é":                  "compose logs -é",
	} {
		got := interspersed(tool.app(), append([]string{"ww"}, strings.Fields(line)...))
		if !slices.Equal(got[1:], strings.Fields(want)) {
			t.Errorf("%s: %q, want %q", line, got[1:], want)
		}
	}
}
