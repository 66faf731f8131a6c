package syntax

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"
)

// MaxFileSize is the size in bytes up to which a file is parsed.
const MaxFileSize = 16 << 20

const (
	maxDiagnostics = 1000 // of one file
	maxDepth       = 200  // of blocks and arrays in each other
	maxBadLines    = 1000 // with control characters or invalid UTF-8
)

var (
	bom     = []byte("\xEF\xBB\xBF")
	utf16le = []byte{0xFF, 0xFE}
	utf16be = []byte{0xFE, 0xFF}
)

// textCheck looks for what no text may hold: control characters and invalid
// UTF-8.
type textCheck struct {
	name        string
	src         []byte
	diagnostics Diagnostics
	lines       []int // with bad bytes, ascending
	encoding    int   // the index of the one diagnostic on the encoding, or -1
	misencoded  int   // lines with invalid UTF-8
}

// check reports bad bytes; ok is false when the file is no text that could be
// parsed.
func (c *textCheck) check() (ok bool) {
	c.encoding = -1
	start := Pos{Line: 1, Column: 1}
	switch {
	case len(c.src) > MaxFileSize:
		c.report(codeFileTooLarge, start, start, fmt.Sprintf("file has %d bytes, more than the limit of %d", len(c.src), MaxFileSize),
			"split what it describes into several systems")
		return false
	case bytes.HasPrefix(c.src, utf16le) || bytes.HasPrefix(c.src, utf16be):
		c.report(codeInvalidUTF8, start, start, "file is encoded in UTF-16", "save it as UTF-8")
		return false
	}
	line, lineStart := 1, 0
	if bytes.HasPrefix(c.src, bom) {
		lineStart = len(bom)
	}
	for i := lineStart; i < len(c.src); {
		switch b := c.src[i]; {
		case b == '\n':
			i++
			line, lineStart = line+1, i
			continue
		case b >= ' ' && b < 0x7F, b == '\t':
			i++
			continue
		}
		n, invalid := c.bad(i)
		if n == 0 {
			_, n = utf8.DecodeRune(c.src[i:])
			i += n
			continue
		}
		if !c.line(line, lineStart, i, n, invalid) {
			c.diagnostics = c.diagnostics[:0]
			c.report(codeNotText, start, start, "file isn't text: it is full of control characters or of invalid UTF-8",
				"save it as UTF-8 text")
			return false
		}
		i += n
	}
	if c.misencoded > 1 {
		c.diagnostics[c.encoding].Message += fmt.Sprintf(", here and on %d more lines", c.misencoded-1)
	}
	return true
}

// bad is the length of the run of bad bytes at i, and whether they are invalid
// UTF-8.
func (c *textCheck) bad(i int) (n int, invalid bool) {
	for j := i; j < len(c.src); {
		r, size := utf8.DecodeRune(c.src[j:])
		broken := r == utf8.RuneError && size == 1
		if !broken && !c.control(j, r) || j > i && broken != invalid {
			break
		}
		invalid = broken
		j += size
		n = j - i
	}
	return n, invalid
}

func (c *textCheck) control(i int, r rune) bool {
	switch r {
	case '\t', '\n':
		return false
	case '\r':
		return i+1 >= len(c.src) || c.src[i+1] != '\n'
	}
	return r < ' ' || r == 0x7F
}

// line reports the first bad run of each line, and invalid UTF-8 only once: it
// is one mistake to save a file in another encoding. It returns false when the
// lines are too many.
func (c *textCheck) line(line, lineStart, off, n int, invalid bool) bool {
	if k := len(c.lines); k > 0 && c.lines[k-1] == line {
		return true
	}
	if len(c.lines) == maxBadLines {
		return false
	}
	c.lines = append(c.lines, line)
	start := Pos{Offset: off, Line: line, Column: utf8.RuneCount(c.src[lineStart:off]) + 1}
	end := Pos{Offset: off + n, Line: line, Column: start.Column + utf8.RuneCount(c.src[off:off+n])}
	switch {
	case !invalid:
		c.report(codeControlCharacter, start, end, fmt.Sprintf("control character %U", c.src[off]),
			"remove it, or write it as an escape in a string")
	case c.encoding < 0:
		c.encoding, c.misencoded = len(c.diagnostics), 1
		c.report(codeInvalidUTF8, start, end, "invalid UTF-8", "save the file as UTF-8")
	default:
		c.misencoded++
	}
	return true
}

func (c *textCheck) report(code string, start, end Pos, message, remedy string) {
	c.diagnostics = append(c.diagnostics, Diagnostic{
		Severity: Error, Code: code, Message: message, Remedy: remedy,
		Span: Span{File: c.name, Start: start, End: end},
	})
}

// on reports whether a line has bad bytes.
func (c *textCheck) on(line int) bool {
	_, found := slices.BinarySearch(c.lines, line)
	return found
}
