package progress

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Colour is what a word is painted with, as the number of its escape sequence.
type Colour string

// The colours that words have.
const (
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
	Cyan   Colour = "36"
	Dim    Colour = "2"
	Bold   Colour = "1"
)

// Widths of a line's parts, in columns.
const (
	maxName   = 40
	wordWidth = 11
	timeWidth = 6
	barWidth  = 20
)

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// order is that of the groups; phases that it doesn't have come before
// services that have none.
func order(group string) int {
	known := []string{groupImages, groupResources, "bus", "backing", "components", "ingress"}
	if i := slices.Index(known, group); i >= 0 {
		return i
	}
	if group == "" {
		return len(known) + 1
	}
	return len(known)
}

// sorted gives the rows in the order in which they are shown.
func (t *Tree) sorted() []*row {
	rows := slices.Clone(t.rows)
	slices.SortStableFunc(rows, func(a, b *row) int {
		return cmp.Or(order(a.group)-order(b.group), strings.Compare(a.group, b.group))
	})
	return rows
}

// flat tells whether no service has a phase: then there are no headings.
func (t *Tree) flat() bool {
	return !slices.ContainsFunc(t.rows, func(r *row) bool {
		return r.group != "" && r.group != groupImages && r.group != groupResources
	})
}

// all is the tree with all of its lines.
func (t *Tree) all(cols int) []string {
	rows := t.sorted()
	return t.lines(rows, cols)
}

// frame is the tree in at most so many lines: where it has more, what is
// finished goes first, then what waits.
func (t *Tree) frame(cols, height int) []string {
	if height <= 0 || len(t.rows) == 0 {
		return nil
	}
	rows := t.sorted()
	head := []string{t.head(rows)}
	if lines := t.lines(rows, cols); len(lines)+1 <= height {
		return append(head, lines...)
	}
	shown, hidden := t.choose(rows, height-2)
	lines := append(head, t.lines(shown, cols)...)
	if len(hidden) > 0 {
		lines = append(lines, "  "+t.paint(Dim, more(hidden)))
	}
	return lines[:min(len(lines), height)]
}

// head says what is being done, and how much of it is.
func (t *Tree) head(rows []*row) string {
	done := 0
	for _, r := range rows {
		if r.state() == settled {
			done++
		}
	}
	return fmt.Sprintf("%s  %d/%d  %s", t.paint(Bold, t.title), done, len(rows), took(t.now().Sub(t.begin)))
}

// choose takes the most urgent rows that have room with their headings, and
// keeps their order.
func (t *Tree) choose(rows []*row, height int) (shown, hidden []*row) {
	urgent := slices.Clone(rows)
	slices.SortStableFunc(urgent, func(a, b *row) int {
		if c := cmp.Compare(a.state(), b.state()); c != 0 {
			return c
		}
		if a.state() == settled {
			return b.end.Compare(a.end) // the last one that was finished
		}
		return 0
	})
	flat := t.flat()
	headed, taken := map[string]bool{}, map[*row]bool{}
	for _, r := range urgent {
		need := 1
		if !flat && !headed[r.group] {
			need++
		}
		if need > height {
			continue
		}
		height -= need
		headed[r.group], taken[r] = true, true
	}
	for _, r := range rows {
		if taken[r] {
			shown = append(shown, r)
		} else {
			hidden = append(hidden, r)
		}
	}
	return shown, hidden
}

func more(hidden []*row) string {
	n := map[state]int{}
	for _, r := range hidden {
		n[r.state()]++
	}
	var parts []string
	for _, s := range []struct {
		state state
		word  string
	}{{failed, "failed"}, {givenUp, "interrupted"}, {active, "under way"}, {waiting, "waiting"}, {settled, "done"}} {
		if n[s.state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s.state], s.word))
		}
	}
	return fmt.Sprintf("… %d more: %s", len(hidden), strings.Join(parts, ", "))
}

// lines writes rows, with a heading above each group.
func (t *Tree) lines(rows []*row, cols int) []string {
	width := 0
	for _, r := range t.rows { // of all rows, so that columns stay where they are
		width = max(width, ansi.StringWidth(r.name))
	}
	width = min(width, maxName, max(cols-4-wordWidth-timeWidth-4, 8))
	flat := t.flat()
	var out []string
	group := ""
	for _, r := range rows {
		if !flat && r.group != group && r.group != "" {
			out = append(out, " "+t.paint(Cyan, r.group))
		}
		group = r.group
		out = append(out, t.line(r, width, cols))
	}
	return out
}

// line is one row: a sign, its name, what happens to it, for how long, and
// what there is to say about it.
func (t *Tree) line(r *row, width, cols int) string {
	p, done := r.least()
	doing, did := words(p.op)
	sign, word, colour := "✔", did, Green
	switch p.state() {
	case failed:
		sign, word, colour = "✘", "failed", Red
	case givenUp:
		sign, word, colour = "■", "interrupted", Yellow
	case active:
		sign, word, colour = string(spinner[t.beat%len(spinner)]), doing, Cyan
	case waiting:
		sign, colour = "·", Dim
	}
	line := fmt.Sprintf("  %s %s  %s %*s", t.paint(colour, sign), pad(r.name, width), t.paint(colour, pad(word, wordWidth)), timeWidth, took(r.elapsed(t.now())))
	if about := t.about(r, p, done, cols-ansi.StringWidth(line)-3); about != "" {
		line += "  " + about
	}
	return line
}

// about is what stands at a line's end: an error, a bar, a builder's last
// line, how many of several containers are there, or the step's cause.
func (t *Tree) about(r *row, p *part, done, room int) string {
	if room < 4 {
		return ""
	}
	several := ""
	if len(r.parts) > 1 {
		several = fmt.Sprintf("%d/%d ", done, len(r.parts))
	}
	switch {
	case p.err != nil:
		return ansi.Truncate(several+oneLine(p.err.Error()), room, "…")
	case p.state() == active && r.share > 0:
		width := min(barWidth, room-5)
		if width < 4 {
			return fmt.Sprintf("%3.0f%%", r.share*100)
		}
		return ansi.Truncate(fmt.Sprintf("%s %3.0f%% %s", bar(r.share, width), r.share*100, r.text), room, "…")
	case p.state() == active && r.text != "":
		return t.paint(Dim, ansi.Truncate(r.text, room, "…"))
	case r.why != "":
		return t.paint(Dim, ansi.Truncate(several+"("+r.why+")", room, "…"))
	}
	return strings.TrimSpace(several)
}

func bar(share float64, width int) string {
	full := int(share * float64(width))
	return strings.Repeat("━", full) + strings.Repeat("─", width-full)
}

// pad makes text exactly so many columns wide: cut with an ellipsis, or filled
// with spaces.
func pad(s string, width int) string {
	s = ansi.Truncate(s, width, "…")
	return s + strings.Repeat(" ", max(0, width-ansi.StringWidth(s)))
}
