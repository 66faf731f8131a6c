package syntax

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The parts of a source line that are shown around a span, in columns of the
// terminal.
const (
	shownBefore = 60
	shownAfter  = 60
	tabWidth    = 4
)

// String is the diagnostic on one line: `main.ww:3:12: error: message`.
func (d Diagnostic) String() string {
	text := string(d.Severity) + ": " + printable(d.Message)
	if at := Place(d.Span); at != "" {
		return at + ": " + text
	}
	return text
}

// Place is where a span begins, such as main.ww:3:12; "" for none.
func Place(sp Span) string {
	if sp.Start.Line == 0 {
		return printable(sp.File)
	}
	return fmt.Sprintf("%s:%d:%d", printable(sp.File), sp.Start.Line, sp.Start.Column)
}

// Render writes diagnostics for people: each with its place and message, the
// line of the source with a caret under the span, the remedy, and the related
// places in the same way. The sources are the contents of the files by the
// names in the spans; a line whose source is absent isn't shown. Control
// characters are written as escapes, so that a file can't drive the terminal.
func Render(w io.Writer, ds Diagnostics, sources map[string][]byte, color bool) error {
	r := renderer{sources: sources, color: color}
	for _, d := range ds {
		r.diagnostic(d)
		if _, err := w.Write(r.buf.Bytes()); err != nil {
			return fmt.Errorf("write diagnostics: %w", err)
		}
		r.buf.Reset()
	}
	return nil
}

type renderer struct {
	buf     bytes.Buffer
	sources map[string][]byte
	color   bool
}

const (
	bold   = "1"
	red    = "1;31"
	yellow = "1;33"
	green  = "1;32"
	cyan   = "1;36"
)

func (r *renderer) paint(style, s string) string {
	if !r.color {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

func (r *renderer) diagnostic(d Diagnostic) {
	style := red
	if d.Severity == Warning {
		style = yellow
	}
	r.entry(d.Span, style, string(d.Severity), d.Message)
	if d.Remedy != "" {
		r.buf.WriteString(r.paint(cyan, "help:") + " " + printable(d.Remedy) + "\n")
	}
	for _, related := range d.Related {
		r.entry(related.Span, cyan, "note", related.Message)
	}
}

func (r *renderer) entry(sp Span, style, label, message string) {
	if at := Place(sp); at != "" {
		r.buf.WriteString(r.paint(bold, at+":") + " ")
	}
	r.buf.WriteString(r.paint(style, label+":") + " " + printable(message) + "\n")
	src, ok := r.sources[sp.File]
	if !ok || len(src) == 0 || sp.Start.Line == 0 || sp.Start.Offset < 0 || sp.Start.Offset > len(src) {
		return
	}
	line, indent, width := excerpt(src, sp)
	r.buf.WriteString(line + "\n" + strings.Repeat(" ", indent) + r.paint(green, "^"+strings.Repeat("~", width-1)) + "\n")
}

// excerpt returns the part of the span's first line that is shown, and where
// the span is in it, in columns of the terminal; width is at least 1.
func excerpt(src []byte, sp Span) (line string, indent, width int) {
	start := sp.Start.Offset
	before, cut := lineBefore(src, start)
	left := cells(before)
	total := 0
	for _, c := range left {
		total += c.width
	}
	for total > shownBefore {
		total -= left[0].width
		left, cut = left[1:], true
	}
	var b strings.Builder
	if cut {
		b.WriteString("…")
		total++
	}
	for _, c := range left {
		b.WriteString(c.text)
	}
	shown := 0
	for i := start; i < len(src) && src[i] != '\n' && !bytes.HasPrefix(src[i:], []byte("\r\n")); {
		c, n := cellAt(src[i:])
		if shown+c.width > shownAfter {
			b.WriteString("…")
			break
		}
		b.WriteString(c.text)
		shown += c.width
		if i < sp.End.Offset {
			width = shown
		}
		i += n
	}
	return strings.TrimRight(b.String(), " "), total, max(width, 1)
}

// lineBefore returns what precedes an offset on its line, as much of it as can
// be shown; cut says that there is more.
func lineBefore(src []byte, off int) (before []byte, cut bool) {
	const enough = 8 * shownBefore // bytes, for wide and combining characters
	low := max(0, off-enough)
	if i := bytes.LastIndexByte(src[low:off], '\n'); i >= 0 {
		return src[low+i+1 : off], false
	}
	if low == 0 {
		return bytes.TrimPrefix(src[:off], bom), false
	}
	for low < off && !utf8.RuneStart(src[low]) {
		low++
	}
	return src[low:off], true
}

// cell is a character as it is shown.
type cell struct {
	text  string
	width int
}

func cells(src []byte) []cell {
	var out []cell
	for len(src) > 0 {
		c, n := cellAt(src)
		out = append(out, c)
		src = src[n:]
	}
	return out
}

func cellAt(src []byte) (c cell, n int) {
	r, n := utf8.DecodeRune(src)
	switch {
	case r == '\t':
		return cell{strings.Repeat(" ", tabWidth), tabWidth}, n
	case r == utf8.RuneError && n == 1:
		text := fmt.Sprintf(`\x%02x`, src[0])
		return cell{text, len(text)}, n
	case concealed(r):
		text := fmt.Sprintf(`\u%04x`, r)
		return cell{text, len(text)}, n
	}
	return cell{string(r), runeWidth(r)}, n
}

// printable is a text with everything that isn't visible as an escape.
func printable(s string) string {
	var b strings.Builder
	for src := []byte(s); len(src) > 0; {
		c, n := cellAt(src)
		b.WriteString(c.text)
		src = src[n:]
	}
	return b.String()
}
