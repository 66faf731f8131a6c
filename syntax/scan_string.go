package syntax

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const triple = `"""`

func (s *scanner) scanString(t *token) {
	t.kind = str
	if strings.HasPrefix(s.src[s.off:], triple) {
		s.scanTriple(t)
		return
	}
	quote, i := s.src[s.off], s.off+1
	for i < len(s.src) && s.src[i] != quote && s.src[i] != '\n' {
		if s.src[i] == '\\' && i+1 < len(s.src) && s.src[i+1] != '\n' {
			i++
		}
		i++
	}
	if i >= len(s.src) || s.src[i] == '\n' {
		s.unterminated(t, min(i, len(s.src)))
		return
	}
	raw := s.src[s.off+1 : i]
	s.off = i + 1
	text, bad := unescape(raw)
	if bad != "" {
		s.badEscape(*t, raw, 1, bad)
	}
	t.text = s.text(text)
}

// unterminated ends a string that has no closing quote before the end of its
// line. The brackets at the very end of the line are most likely not a part of
// it when they close what this line opened.
func (s *scanner) unterminated(t *token, end int) {
	end = s.off + len(strings.TrimRight(s.src[s.off:end], " \t\r"))
	if off := s.closedLater(end); off >= 0 {
		t.bad = true
		s.mistake(codeUnterminatedStr, s.span(t.start, after(t.start, s.src[s.off:end])), "string goes over several lines",
			`write a text of several lines between """ and """`)
		t.text = s.text(s.src[s.off+1 : off-1])
		s.to(off)
		return
	}
	n := s.openedHere()
	for ; n > 0; n-- {
		text := strings.TrimRight(s.src[s.off+1:end], " \t,")
		if !strings.HasSuffix(text, "}") && !strings.HasSuffix(text, "]") {
			break
		}
		end = s.off + 1 + len(strings.TrimRight(text[:len(text)-1], " \t"))
	}
	start := s.off
	s.off = end
	t.bad = true
	s.mistake(codeUnterminatedStr, s.span(t.start, s.here()), "string has no closing quote",
		`close it with `+s.src[start:start+1]+` on the same line, or write a text of several lines between """ and """`)
	s.swallow(s.src[start:s.off], n)
	text, _ := unescape(s.src[start+1 : s.off])
	t.text = s.text(text)
}

// closedLater looks for the end of a string that goes on behind the end of its
// line: a quote on one of the next lines, before anything else begins. It
// returns the offset behind it, or -1.
func (s *scanner) closedLater(off int) int {
	const most = 20 // lines
	quote := s.src[s.off]
	_, rest, more := strings.Cut(s.src[off:], "\n")
	for range most {
		at := len(s.src) - len(rest)
		line, next, last := strings.Cut(rest, "\n")
		c, _ := s.blankThen(at)
		if !more || c == '}' || c == ']' || c == '#' || c == quote || startsEntry(line) {
			return -1
		}
		switch strings.Count(line, string(quote)) {
		case 0:
			rest, more = next, last
		case 1:
			return at + strings.IndexByte(line, quote) + 1
		default:
			return -1
		}
	}
	return -1
}

// startsEntry reports whether a line begins with a key.
func startsEntry(line string) bool {
	line = strings.TrimLeft(line, " \t'\"")
	n := 0
	for n < len(line) && isWordByte(line[n]) {
		n++
	}
	line = strings.TrimLeft(line[n:], " \t'\"")
	return n > 0 && (line == ":" || strings.HasPrefix(line, ": ") || strings.HasPrefix(line, "="))
}

// swallow notes that brackets can't be trusted any longer, if one of the n that
// are open on this line was most likely closed in a text that a mistake took
// with it, if the text is nothing but closing ones, or if one was opened there
// for the lines to come.
func (s *scanner) swallow(text string, n int) {
	opens := strings.HasSuffix(text, "{") || strings.HasSuffix(text, "[")
	closes := strings.ContainsAny(text, "]}") && (n > 0 || strings.Trim(text, "\"'}], \t") == "")
	s.doubt = s.doubt || opens || closes
}

// openedHere counts the brackets that the current line opened.
func (s *scanner) openedHere() int {
	n := 0
	for i := len(s.open) - 1; i >= 0 && s.open[i].span.Start.Line == s.line; i-- {
		n++
	}
	return n
}

func (s *scanner) scanTriple(t *token) {
	body := s.off + len(triple)
	i := body
	for i < len(s.src) && !strings.HasPrefix(s.src[i:], triple) {
		if s.src[i] == '\\' {
			i++
		}
		i++
	}
	if i >= len(s.src) {
		s.off = body
		t.bad = true
		s.mistake(codeUnterminatedStr, s.span(t.start, s.here()), `string has no closing """`, `close it with """`)
		s.to(len(s.src))
		s.atEnd = true
		return
	}
	raw := s.src[body:i]
	s.to(i + len(triple))
	text, bad := dedent(raw)
	if bad != "" {
		s.badEscape(*t, raw, len(triple), bad)
	}
	t.text = s.text(text)
	t.multiline = strings.Contains(text, "\n")
}

// to moves to an offset that may be on a later line.
func (s *scanner) to(off int) {
	passed := s.src[s.off:off]
	if n := strings.Count(passed, "\n"); n > 0 {
		s.line += n
		s.mark, s.col = s.off+strings.LastIndexByte(passed, '\n')+1, 1
	}
	s.off = off
}

// badEscape reports the first bad escape of a string, a tail of raw; later
// ones are most likely the same misunderstanding.
func (s *scanner) badEscape(t token, raw string, quote int, tail string) {
	at := len(raw) - len(tail)
	start := after(t.start, s.src[t.start.Offset:t.start.Offset+quote+at])
	n := 1
	if len(tail) > 1 && tail[1] != '\n' && tail[1] != '\r' {
		_, size := utf8.DecodeRuneInString(tail[1:])
		n += size
	}
	end := after(start, tail[:n])
	s.mistake(codeInvalidEscape, s.span(start, end), "unknown escape "+quoteSource(tail[:n])+" in a string",
		`write \\ for a backslash; the escapes are \" \' \\ \/ \b \f \n \r \t \uXXXX`)
}

// after is the position after text that starts at p.
func after(p Pos, text string) Pos {
	p.Offset += len(text)
	if n := strings.Count(text, "\n"); n > 0 {
		p.Line += n
		p.Column = 1
		text = text[strings.LastIndexByte(text, '\n')+1:]
	}
	p.Column += utf8.RuneCountInString(text)
	return p
}

// unescape resolves the escapes of a string. It leaves bad ones as they are and
// returns the part of raw that starts with the first.
func unescape(raw string) (text, bad string) {
	i := strings.IndexByte(raw, '\\')
	if i < 0 {
		return raw, ""
	}
	b := make([]byte, 0, len(raw))
	for ; i >= 0; i = strings.IndexByte(raw, '\\') {
		b = append(b, raw[:i]...)
		raw = raw[i:]
		r, n := escape(raw)
		if n == 0 {
			if bad == "" {
				bad = raw
			}
			b = append(b, '\\')
			n = 1
		} else {
			b = utf8.AppendRune(b, r)
		}
		raw = raw[n:]
	}
	return string(append(b, raw...)), bad
}

// escape resolves the escape at the start of s; n is its length, 0 if it is
// none.
func escape(s string) (r rune, n int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\'', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return unicodeEscape(s)
	}
	return 0, 0
}

// unicodeEscape resolves \uXXXX, and a pair of them for a character outside the
// basic plane.
func unicodeEscape(s string) (r rune, n int) {
	hi, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(hi) {
		return hi, 6
	}
	if lo, ok := hex4(s[6:]); ok {
		if r := utf16.DecodeRune(hi, lo); r != utf8.RuneError {
			return r, 12
		}
	}
	return 0, 0
}

func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(v), err == nil
}

// dedent resolves the text of a """ string. Like unescape it returns the part
// of raw that starts with the first bad escape.
func dedent(raw string) (text, bad string) {
	if !strings.Contains(raw, "\n") {
		return unescape(raw)
	}
	first, rest, _ := strings.Cut(raw, "\n")
	var b strings.Builder
	if blank(first) {
		first = ""
	} else {
		line, tail := unescape(strings.TrimSuffix(first, "\r"))
		b.WriteString(line)
		b.WriteByte('\n')
		if tail != "" {
			bad = raw[len(strings.TrimSuffix(first, "\r"))-len(tail):]
		}
	}
	margin := margin(rest)
	for more := true; more; {
		var line string
		at := len(raw) - len(rest)
		line, rest, more = strings.Cut(rest, "\n")
		line = strings.TrimSuffix(line, "\r")
		if !blank(line) {
			plain, tail := unescape(line[margin:])
			b.WriteString(plain)
			if tail != "" && bad == "" {
				bad = raw[at+len(line)-len(tail):]
			}
		}
		if more {
			b.WriteByte('\n')
		}
	}
	return b.String(), bad
}

// margin is the length of the indent that all lines with text have in common.
func margin(lines string) int {
	common, found := "", false
	for line := range strings.SplitSeq(lines, "\n") {
		if blank(line) {
			continue
		}
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if !found {
			common, found = indent, true
		}
		n := 0
		for n < len(common) && n < len(indent) && common[n] == indent[n] {
			n++
		}
		common = common[:n]
	}
	return len(common)
}

func blank(line string) bool { return strings.Trim(line, " \t\r") == "" }
