package main

import (
	"encoding/json"
)

type colour string

const (
	red   colour = "31"
	green colour = "32"
	cyan  colour = "36"
)

// palette is what services are told apart by.
var palette = []colour{"36", "33", "32", "35", "34", "96", "93", "92", "95", "94"}

// paint colours text for people: on a terminal, unless NO_COLOR is set.
func (t *tool) paint(c colour, s string) string {
	if !colourful(t.err) {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// printJSON writes a result for scripts.
func (t *tool) printJSON(v any) error {
	enc := json.NewEncoder(t.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
