package syntax

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	eof  kind = iota
	word      // anything unquoted; the parser tells references, numbers and the like apart
	str
	env
	lbrace
	rbrace
	lbrack
	rbrack
	comma
	colon
	assign
)

// mode says how far an unquoted word reaches, which depends on where it stands.
type mode uint8

const (
	keyMode   mode = iota // it ends at `:` and `=`
	valueMode             // it may hold them, as in `redis:7` or `/x?a=b`
)

type token struct {
	kind       kind
	start, end Pos
	text       string // word: as written; str: escapes resolved; env: the name
	op, arg    string // of an env
	multiline  bool   // a """ string with a line break in its text
	nl         bool   // first on its line
	bad        bool   // it has a mistake that leaves it without a certain end or value
}

// comment is one comment of a file, with its `#` and without trailing blanks.
type comment struct {
	text string
	pos  Pos
	own  bool // nothing but the comment is on its line
}

// opening is an open bracket.
type opening struct {
	kind    kind
	span    Span
	column  int  // of the first token on the bracket's line
	keyless bool // a block without a key in it has been reported
	absent  bool // the bracket is missing, and the indentation says where it belongs
}

// scanner turns text into tokens. It holds the stack of open brackets because
// the best guess for the end of an unterminated string depends on it.
type scanner struct {
	name     string
	src      string
	sanitize bool // the source holds invalid UTF-8

	off  int // the next byte
	line int
	mark int // an offset on this line whose column is col
	col  int

	lineUsed    bool // a token has been seen on this line
	firstColumn int  // the column of the line's first token

	invisibleLine int // the last line with a report of an invisible character

	comments []comment
	pending  []Diagnostic // mistakes in the token just scanned
	open     []opening
	doubt    bool // an unterminated string took brackets with it
	atEnd    bool // the end of the file is the consequence of a reported mistake
}

// here is the position of the next byte. Columns are counted on from the last
// call, so that long lines cost no more than short ones.
func (s *scanner) here() Pos {
	s.col += utf8.RuneCountInString(s.src[s.mark:s.off])
	s.mark = s.off
	return Pos{Offset: s.off, Line: s.line, Column: s.col}
}

func (s *scanner) newline() {
	s.line++
	s.mark, s.col = s.off, 1
	s.lineUsed = false
}

// rewind makes t the next token to be scanned.
func (s *scanner) rewind(t token) {
	s.off, s.mark = t.start.Offset, t.start.Offset
	s.line, s.col = t.start.Line, t.start.Column
	s.lineUsed = !t.nl
	s.pending = s.pending[:0]
}

func (s *scanner) span(start, end Pos) Span { return Span{File: s.name, Start: start, End: end} }

func (s *scanner) mistake(code string, sp Span, message, remedy string) {
	s.pending = append(s.pending, Diagnostic{Severity: Error, Code: code, Span: sp, Message: message, Remedy: remedy})
}

func (s *scanner) scan(m mode) token {
	s.skip()
	t := token{start: s.here(), nl: !s.lineUsed}
	if t.nl {
		s.firstColumn = t.start.Column
	}
	if s.off == len(s.src) {
		t.end = t.start
		return t
	}
	s.lineUsed = true
	switch c := s.src[s.off]; c {
	case '"', '\'':
		s.scanString(&t)
	case '$':
		s.scanEnv(&t)
	case '{', '}', '[', ']', ',', ':', '=':
		t.kind = punctuation(c)
		s.off++
	default:
		t.kind = word
		s.scanWord(m)
		t.text = s.text(s.src[t.start.Offset:s.off])
	}
	t.end = s.here()
	return t
}

func punctuation(c byte) kind {
	switch c {
	case '{':
		return lbrace
	case '}':
		return rbrace
	case '[':
		return lbrack
	case ']':
		return rbrack
	case ',':
		return comma
	case ':':
		return colon
	}
	return assign
}

// skip passes white space and comments.
func (s *scanner) skip() {
	for s.off < len(s.src) {
		switch c := s.src[s.off]; {
		case c == ' ' || c == '\t' || c == '\r':
			s.off++
		case c == '\n':
			s.off++
			s.newline()
		case c == '#':
			s.scanComment()
		case c >= utf8.RuneSelf:
			if !s.skipInvisible() {
				return
			}
		default:
			return
		}
	}
}

func (s *scanner) scanComment() {
	rest := s.src[s.off:]
	if i := strings.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	c := comment{text: strings.TrimRight(rest, " \t\r"), pos: s.here(), own: !s.lineUsed}
	s.comments = append(s.comments, c)
	s.off += len(rest)
}

// invisible reports whether r looks like nothing or like a blank, and so can't
// be part of an unquoted word.
func invisible(r rune) bool {
	return r != utf8.RuneError && (unicode.IsSpace(r) || !unicode.IsGraphic(r))
}

// skipInvisible passes a run of invisible characters, if there is one. It
// reports one run a line.
func (s *scanner) skipInvisible() bool {
	r, n := utf8.DecodeRuneInString(s.src[s.off:])
	if !invisible(r) {
		return false
	}
	start := s.here()
	for next := r; next >= utf8.RuneSelf && invisible(next); {
		s.off += n
		next, n = utf8.DecodeRuneInString(s.src[s.off:])
	}
	if s.invisibleLine != s.line {
		s.invisibleLine = s.line
		s.mistake(codeUnexpectedRune, s.span(start, s.here()),
			fmt.Sprintf("invisible character %U outside a string", r), "replace it with an ordinary space")
	}
	return true
}

// scanWord passes an unquoted word or bare value of at least one character.
func (s *scanner) scanWord(m mode) {
	start, url := s.off, false
	for s.off < len(s.src) {
		c := s.src[s.off]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s.src[s.off:])
			if invisible(r) {
				return
			}
			s.off += n
			continue
		}
		switch {
		case delimits(c), c == '#' && !url && s.off > start:
			return
		case m == keyMode && (c == ':' || c == '='):
			return
		case c == ':':
			if s.endsWord(s.off + 1) {
				return
			}
			url = url || strings.HasPrefix(s.src[s.off:], "://")
		}
		s.off++
	}
}

// delimits reports whether c ends every unquoted word.
func delimits(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', ',', '[', ']', '{', '}', '"', '\'', '$':
		return true
	}
	return false
}

func (s *scanner) endsWord(off int) bool {
	return off >= len(s.src) || delimits(s.src[off]) || s.src[off] == '#'
}

// blankThen returns the first byte after the blanks that follow off on its
// line, and its offset; 0 at the end of the file.
func (s *scanner) blankThen(off int) (byte, int) {
	for off < len(s.src) && (s.src[off] == ' ' || s.src[off] == '\t') {
		off++
	}
	if off >= len(s.src) {
		return 0, off
	}
	return s.src[off], off
}

// text returns what the tree may hold of the source: valid UTF-8.
func (s *scanner) text(raw string) string {
	if s.sanitize {
		return strings.ToValidUTF8(raw, "\uFFFD")
	}
	return raw
}

// isWord reports whether s is an identifier.
func isWord(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && ('0' <= c && c <= '9' || c == '-'):
		default:
			return false
		}
	}
	return s != ""
}

// isNumber reports whether s is a number as JSON writes it, less the exponent.
func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, fraction, decimal := strings.Cut(s, ".")
	if !digits(whole) || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	return !decimal || digits(fraction)
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// startsBare reports whether a bare value may begin with c.
func startsBare(c byte) bool {
	return c >= utf8.RuneSelf || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte(`_./~-+@*%\`, c) >= 0
}

// literal reports whether s is true, false or null in any case.
func literal(s string) bool {
	return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") || strings.EqualFold(s, "null")
}
