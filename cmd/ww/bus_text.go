package main

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

// printLine writes one of several results for scripts.
func (t *tool) printLine(v any) error {
	line, err := jsonLine(v)
	if err == nil {
		_, err = t.out.Write(line)
	}
	return err
}

// table prints rows under a header, clipped to the width of a terminal.
func (t *tool) table(header []string, rows [][]string) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			if cell = oneLine(cell); cell == "" {
				cell = "-"
			}
			if i > 0 {
				cell = "\t" + cell
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	width := columns(t.out)
	var out strings.Builder
	for line := range strings.Lines(b.String()) {
		out.WriteString(clip(strings.TrimRight(line, " \n"), width))
		out.WriteByte('\n')
	}
	_, err := t.out.Write([]byte(out.String()))
	return err
}

// columns is the width of a terminal, 0 where w is none.
func columns(w any) int {
	f, ok := fileOf(w)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// clip shortens a line to a width, unless that is 0.
func clip(s string, width int) string {
	if width <= 0 || len(s) <= width {
		return s
	}
	runes := []rune(s)
	if len(runes) <= width {
		return s
	}
	return string(runes[:width-1]) + "…"
}

// oneLine gives text from elsewhere as one line that does nothing to a
// terminal.
func oneLine(s string) string {
	return harmless(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }), " "))
}

// brief gives a duration in two units at most.
func brief(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Millisecond:
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// ago is the age of something at a time; empty where it has none.
func ago(now, then time.Time) string {
	if then.IsZero() {
		return ""
	}
	return brief(now.Sub(then))
}

// count says how many there are of something.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
