package progress

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Terminal is what a Screen draws on.
type Terminal interface {
	io.Writer
	// Size gives the columns and rows as they are now; both are 0 where there
	// is no telling.
	Size() (cols, rows int)
}

// Screen keeps some lines at the lower end of a terminal up to date in place;
// what is printed meanwhile goes above them. A frame is one write, in which
// only lines that have changed are written again. Between frames the cursor is
// visible and stands below the lines, so that whatever ends the program leaves
// a usable terminal. It is for one goroutine.
type Screen struct {
	term       Terminal
	shown      []string // the lines that are there, as they were written
	cols, rows int
	above      bytes.Buffer
	frame      bytes.Buffer
}

// NewScreen draws below what the terminal shows already.
func NewScreen(t Terminal) *Screen { return &Screen{term: t} }

// size is the terminal's, or the traditional one where there is no telling.
func (s *Screen) size() (cols, rows int) {
	cols, rows = s.term.Size()
	if cols <= 0 || rows <= 0 {
		return 80, 24
	}
	return cols, rows
}

// Print has text go above the lines with the next frame. A line that isn't
// ended yet waits for its end.
func (s *Screen) Print(text []byte) { s.above.Write(text) }

// Draw shows lines in place of those before. A line is cut where the terminal
// ends; there must be fewer lines than the terminal has rows.
func (s *Screen) Draw(lines []string) error {
	cols, rows := s.size()
	lines = lines[:min(len(lines), max(rows-1, 0))]
	cut := make([]string, len(lines))
	for i, l := range lines {
		// The last column stays free: what is written there may wrap.
		cut[i] = ansi.Truncate(l, cols-1, "…")
	}
	text := s.printed(false)
	whole := len(text) > 0 || cols != s.cols || rows != s.rows
	if !whole && slices.Equal(cut, s.shown) {
		return nil
	}
	// A terminal that has shrunk has scrolled the upper lines away.
	up := min(len(s.shown), max(rows-1, 0))
	b := &s.frame
	b.Reset()
	s.home(b, up)
	if whole {
		b.WriteString(ansi.EraseScreenBelow)
		b.Write(text)
	}
	s.lines(b, cut, whole)
	s.shown, s.cols, s.rows = cut, cols, rows
	return s.flush()
}

// home goes to the first line. What someone has typed below the last one, such
// as the ^C that ends the run, goes away.
func (s *Screen) home(b *bytes.Buffer, up int) {
	if up > 0 {
		b.WriteString("\r" + ansi.EraseLineRight + ansi.CursorUp(up))
	}
}

// lines writes those that differ from what is there. The cursor stands at the
// beginning of the first one, and ends below the last one.
func (s *Screen) lines(b *bytes.Buffer, lines []string, whole bool) {
	same := 0
	for i, l := range lines {
		if !whole && i < len(s.shown) && s.shown[i] == l {
			same++
			continue
		}
		if same > 0 {
			b.WriteString(ansi.CursorDown(same))
			same = 0
		}
		b.WriteString(l)
		b.WriteString(ansi.EraseLineRight)
		b.WriteString("\r\n")
	}
	if same > 0 {
		b.WriteString(ansi.CursorDown(same))
	}
	if len(lines) < len(s.shown) && !whole {
		b.WriteString(ansi.EraseScreenBelow)
	}
}

// flush writes a frame as one. Terminals that know how to show it at once do
// so; the others keep the cursor still.
func (s *Screen) flush() error {
	if s.frame.Len() == 0 {
		return nil
	}
	var b bytes.Buffer
	b.WriteString(ansi.SetModeSynchronizedOutput)
	b.WriteString(ansi.HideCursor)
	b.Write(s.frame.Bytes())
	b.WriteString(ansi.ShowCursor)
	b.WriteString(ansi.ResetModeSynchronizedOutput)
	_, err := s.term.Write(b.Bytes())
	return err
}

// printed takes what has been printed, up to the end of its last line unless
// it is to be all of it.
func (s *Screen) printed(all bool) []byte {
	text := s.above.Bytes()
	if !all {
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	text = bytes.Clone(text)
	s.above.Next(len(text))
	return terminalLines(text)
}

// Forget has the next frame begin where the cursor is: someone else has
// written to the terminal.
func (s *Screen) Forget() { s.shown, s.cols, s.rows = nil, 0, 0 }

// Close replaces the lines by the last ones, however many, which the terminal
// keeps like any other output.
func (s *Screen) Close(last []string) error {
	cols, rows := s.size()
	b := &s.frame
	b.Reset()
	if up := min(len(s.shown), max(rows-1, 0)); up > 0 {
		s.home(b, up)
		b.WriteString(ansi.EraseScreenBelow)
	}
	text := s.printed(true)
	b.Write(text)
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		b.WriteString("\r\n")
	}
	for _, l := range last {
		b.WriteString(ansi.Truncate(l, cols-1, "…"))
		b.WriteString("\r\n")
	}
	s.shown = nil
	return s.flush()
}

// terminalLines ends lines as a terminal needs it, whatever mode it is in.
func terminalLines(text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
}

// oneLine makes text of others fit to stand in a line: without escape
// sequences, without anything that moves the cursor.
func oneLine(s string) string {
	s = ansi.Strip(s)
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f && r < 0xa0 }), " ")
}
