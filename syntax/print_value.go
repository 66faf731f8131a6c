package syntax

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// appendFlat appends a block, without its head, or an array in its form on one
// line; ok is false if it has none.
func appendFlat(buf []byte, v Value) (out []byte, ok bool) {
	onLine := v.Pos().Start.Line == v.Pos().End.Line
	switch v := v.(type) {
	case *Block:
		if len(v.Entries) == 0 {
			return append(buf, "{}"...), true
		}
		if !onLine {
			return buf, false
		}
		for i, e := range v.Entries {
			if !scalar(e.Value) {
				return buf, false
			}
			buf = append(buf, first(i, "{ ")...)
			if e.Key.Quoted {
				buf = appendQuoted(buf, e.Key.Text)
			} else {
				buf = append(buf, e.Key.Text...)
			}
			buf = append(buf, separator(e)...)
			buf = appendScalar(buf, e.Value)
		}
		return append(buf, " }"...), true
	case *Array:
		if len(v.Items) == 0 {
			return append(buf, "[]"...), true
		}
		if !onLine {
			return buf, false
		}
		for i, item := range v.Items {
			if !scalar(item) {
				return buf, false
			}
			buf = append(buf, first(i, "[")...)
			buf = appendScalar(buf, item)
		}
		return append(buf, ']'), true
	}
	return buf, false
}

func first(i int, open string) string {
	if i == 0 {
		return open
	}
	return ", "
}

// scalar reports whether a value is a scalar, or as short as one.
func scalar(v Value) bool {
	switch v := v.(type) {
	case *Block:
		return len(v.Entries) == 0
	case *Array:
		return len(v.Items) == 0
	case *String:
		return !v.Multiline || !strings.Contains(v.Text, "\n")
	}
	return true
}

func appendScalar(buf []byte, v Value) []byte {
	switch v := v.(type) {
	case *String:
		return appendQuoted(buf, v.Text)
	case *Number:
		return append(buf, v.Text...)
	case *Bool:
		return fmt.Append(buf, v.Value)
	case *Null:
		return append(buf, "null"...)
	case *Ref:
		return append(buf, v.Name...)
	case *Bare:
		return append(buf, v.Text...)
	case *Block:
		for _, w := range v.Head {
			buf = append(append(buf, w.Text...), ' ')
		}
		return append(buf, "{}"...)
	case *Array:
		return append(buf, "[]"...)
	case *Env:
		if v.Op == "" {
			return append(append(buf, '$'), v.Name...)
		}
		return fmt.Appendf(buf, "${%s%s%s}", v.Name, v.Op, v.Arg)
	}
	return buf
}

func appendQuoted(buf []byte, s string) []byte {
	buf = append(buf, '"')
	for _, r := range s {
		switch r {
		case '"':
			buf = append(buf, `\"`...)
		case '\t':
			buf = append(buf, `\t`...)
		default:
			buf = appendRune(buf, r)
		}
	}
	return append(buf, '"')
}

// appendRune appends a character of a string, as an escape if it has to be one
// or if a reader couldn't see it as it is.
func appendRune(buf []byte, r rune) []byte {
	switch r {
	case '\\':
		return append(buf, `\\`...)
	case '\n':
		return append(buf, `\n`...)
	case '\r':
		return append(buf, `\r`...)
	case '\b':
		return append(buf, `\b`...)
	case '\f':
		return append(buf, `\f`...)
	}
	if !hidden(r) {
		return utf8.AppendRune(buf, r)
	}
	if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
		return fmt.Appendf(buf, `\u%04x\u%04x`, hi, lo)
	}
	return fmt.Appendf(buf, `\u%04x`, r)
}

// hidden reports whether r is a control character, or one that changes the
// direction or the lines of the text around it.
func hidden(r rune) bool {
	switch {
	case r < ' ', 0x7F <= r && r < 0xA0:
		return true
	case r == 0x061C, r == 0x200E, r == 0x200F, 0x2028 <= r && r <= 0x202E, 0x2066 <= r && r <= 0x2069, r == 0xFEFF:
		return true
	}
	return false
}

// multiline prints a """ string: the text one level deeper than its line, and
// the closing quotes on a line of their own if the text ends with a line break.
func (p *printer) multiline(text string) {
	lines := strings.Split(text, "\n")
	p.text(triple)
	p.depth++
	escape := indented(lines)
	for i, line := range lines {
		p.text("\n")
		if line == "" {
			continue
		}
		p.indent()
		if escape || blank(line) {
			escape = false // one line at the margin is enough
			p.buf = fmt.Appendf(p.buf, `\u%04x`, line[0])
			line = line[1:]
		}
		p.buf = appendLine(p.buf, line, i == len(lines)-1)
	}
	p.depth--
	if lines[len(lines)-1] == "" {
		p.indent()
	}
	p.text(triple)
}

// indented reports whether all lines with text start with a blank, so that it
// would be taken for a part of the indent.
func indented(lines []string) bool {
	for _, line := range lines {
		if line != "" && line[0] != ' ' && line[0] != '\t' {
			return false
		}
	}
	return true
}

// appendLine appends a line of a """ string, so that it holds no `"""`, nor
// ends in a quote if the closing ones follow.
func appendLine(buf []byte, line string, last bool) []byte {
	quotes := 0
	for i, r := range line {
		if r != '"' {
			quotes = 0
			if r == '\t' {
				buf = append(buf, '\t')
			} else {
				buf = appendRune(buf, r)
			}
			continue
		}
		if quotes++; quotes == 3 || last && i == len(line)-1 {
			buf = append(buf, '\\')
			quotes = 0
		}
		buf = append(buf, '"')
	}
	return buf
}
