package progress

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// terminal is an emulated one, as people have it: what has scrolled away can
// be read as well.
type terminal struct {
	*vt.Emulator
	writes int
	bytes  int
}

func newTerminal(cols, rows int) *terminal { return &terminal{Emulator: vt.NewEmulator(cols, rows)} }

func (t *terminal) Size() (cols, rows int) { return t.Width(), t.Height() }

func (t *terminal) Write(p []byte) (int, error) {
	t.writes++
	t.bytes += len(p)
	return t.Emulator.Write(p)
}

// screen is the lines that are seen, without the empty ones at the end.
func (t *terminal) screen() []string { return trimmed(strings.Split(t.String(), "\n")) }

// everything is the lines that have scrolled away, and those that are seen.
func (t *terminal) everything() []string {
	var lines []string
	for y := range t.ScrollbackLen() {
		var b strings.Builder
		for x := 0; x < t.Width(); {
			c := t.ScrollbackCellAt(x, y)
			if c == nil || c.Content == "" {
				b.WriteByte(' ')
				x++
				continue
			}
			b.WriteString(c.Content)
			x += max(c.Width, 1)
		}
		lines = append(lines, b.String())
	}
	return trimmed(append(lines, strings.Split(t.String(), "\n")...))
}

func trimmed(lines []string) []string {
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func (t *terminal) line(format string, args ...any) {
	_, _ = t.Emulator.Write(fmt.Appendf(nil, format+"\r\n", args...))
}

// clock is a time that stands still until it is told.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func (c *clock) pass(d time.Duration) { c.Time = c.Add(d) }

func uncoloured(_ Colour, s string) string { return s }

// trial is a tree on an emulated terminal, drawn when the test says so.
type trial struct {
	t     *testing.T
	term  *terminal
	clock *clock
	tree  *Tree
	above []string // what is to stand above the tree
}

func newTrial(t *testing.T, cols, rows int, phases Phases) *trial {
	t.Helper()
	c := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	term := newTerminal(cols, rows)
	tr := &trial{t: t, term: term, clock: c, tree: newTree("up demo", term, phases, uncoloured, c.now)}
	for i := range 3 {
		term.line("before %d", i)
		tr.above = append(tr.above, fmt.Sprintf("before %d", i))
	}
	return tr
}

func (tr *trial) report(op plan.Op, service string, status deploy.Status) {
	tr.tree.Report(deploy.Progress{Step: plan.Step{Op: op, Service: service, Name: "demo-" + service + "-1", Number: 1}, Status: status})
}

func (tr *trial) say(line string) {
	_, _ = tr.tree.Write([]byte(line + "\n"))
	tr.above = append(tr.above, line)
}

// draw shows a frame and checks it: it was at most one write, the tree stands
// whole below all that was there before, the cursor below it.
func (tr *trial) draw() []string {
	tr.t.Helper()
	tr.clock.pass(interval)
	cols, rows := tr.term.Size()
	want := trimmed(tr.tree.frame(cols, rows-1))
	writes := tr.term.writes
	tr.tree.draw()
	if n := tr.term.writes - writes; n > 1 {
		tr.t.Fatalf("a frame took %d writes", n)
	}
	for _, l := range want {
		if len([]rune(l)) >= cols && !strings.HasSuffix(l, "…") {
			tr.t.Fatalf("a line is as wide as the terminal: %q", l)
		}
	}
	tr.check(append(slices.Clone(tr.above), want...))
	return want
}

func (tr *trial) check(want []string) {
	tr.t.Helper()
	if got := tr.term.everything(); !slices.Equal(got, want) {
		tr.t.Fatalf("the terminal shows\n%s\n\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if tr.term.CursorHidden() {
		tr.t.Fatal("the cursor is hidden between two frames")
	}
	at := tr.term.CursorPosition()
	if below := len(tr.term.screen()); at.X != 0 || at.Y != below {
		tr.t.Fatalf("the cursor is at column %d, line %d; the lines end at %d", at.X, at.Y, below)
	}
}

// end ends the run and gives the lines that stay.
func (tr *trial) end() []string {
	tr.t.Helper()
	tr.tree.End()
	cols, _ := tr.term.Size()
	last := trimmed(tr.tree.all(cols))
	tr.check(append(slices.Clone(tr.above), last...))
	return last
}
