package syntax

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"
)

const (
	indentWidth = 4
	lineWidth   = 100 // up to which what was written on one line stays there
)

// Print prints a file in its canonical form. Printing is idempotent, keeps
// every comment, and what it prints parses to the same tree. The file must
// have been parsed without errors, or been built so that its words, numbers and
// bare values are ones.
//
// The form: four spaces of indent; one blank line between declarations, and
// where there were blank lines within one, a single one; `key: value` or
// `key = value`, as it was written; no commas at line ends. An array or a block
// of scalars that was written on one line stays on one if it fits into 100
// columns: `[a, b]`, `{ a: 1, b: 2 }`. All others have an item a line. Strings
// have double quotes and no escape that they can do without; those over several
// lines are """ strings, indented. A comment that follows something on its line
// stays there after two spaces; one inside `name = head {` or between a key and
// its value moves to a line of its own above it.
func Print(f *File) []byte {
	p := &printer{comments: f.comments, fresh: true}
	for i, d := range f.Decls {
		next := math.MaxInt
		if i+1 < len(f.Decls) {
			next = f.Decls[i+1].Span.Start.Offset
		}
		p.declare(d, next)
	}
	p.flush(math.MaxInt, true)
	return p.buf
}

type printer struct {
	buf      []byte
	comments []comment // not yet printed
	depth    int
	line     int  // of the source, where what was printed last ends
	fresh    bool // nothing precedes in the file or in the block
}

// declare prints one declaration with the comments before it; the next one
// starts at an offset.
func (p *printer) declare(d *Decl, next int) {
	p.flush(d.Body.Span.Start.Offset, true)
	p.space(d.Name.Span.Start.Line, !p.afterComment())
	p.word(d.Name)
	p.text(" =")
	for _, w := range d.Head {
		p.text(" ")
		p.word(w)
	}
	p.text(" ")
	p.block(d.Body)
	p.end(d.Span.End, next)
}

// afterComment reports whether the last line is a comment of its own.
func (p *printer) afterComment() bool {
	last := bytes.TrimSuffix(p.buf, []byte("\n"))
	last = last[bytes.LastIndexByte(last, '\n')+1:]
	return bytes.HasPrefix(last, []byte("#"))
}

// flush prints the comments before an offset on lines of their own. Between
// declarations, a comment that follows one has a blank line before it.
func (p *printer) flush(offset int, top bool) {
	for len(p.comments) > 0 && p.comments[0].pos.Offset < offset {
		c := p.comments[0]
		p.comments = p.comments[1:]
		p.space(c.pos.Line, top && !p.afterComment())
		p.text(c.text)
		p.text("\n")
		p.line = c.pos.Line
	}
}

// space starts a line for what stands on a line of the source, after a blank
// line if there was one or there must be one.
func (p *printer) space(line int, must bool) {
	if !p.fresh && (must || line > p.line+1) {
		p.text("\n")
	}
	p.fresh = false
	p.indent()
}

func (p *printer) indent() {
	for range p.depth * indentWidth {
		p.buf = append(p.buf, ' ')
	}
}

func (p *printer) text(s string) { p.buf = append(p.buf, s...) }

func (p *printer) word(w Word) {
	if w.Quoted {
		p.buf = appendQuoted(p.buf, w.Text)
		return
	}
	p.text(w.Text)
}

// end ends a line, after the comment that follows what ends there in the
// source, if that is before an offset.
func (p *printer) end(at Pos, offset int) {
	p.line = at.Line
	if len(p.comments) > 0 {
		if c := p.comments[0]; !c.own && c.pos.Line == at.Line && c.pos.Offset < offset {
			p.comments = p.comments[1:]
			p.text("  ")
			p.text(c.text)
		}
	}
	p.text("\n")
}

// commented reports whether a comment comes before an offset.
func (p *printer) commented(offset int) bool {
	return len(p.comments) > 0 && p.comments[0].pos.Offset < offset
}

func (p *printer) block(b *Block) {
	for _, w := range b.Head {
		p.word(w)
		p.text(" ")
	}
	if p.inline(b) {
		return
	}
	p.open("{", b.Span, b.entryOffset(0))
	for i, e := range b.Entries {
		p.flush(valueOffset(e), false)
		p.space(e.Span.Start.Line, false)
		p.word(e.Key)
		p.text(separator(e))
		p.value(e.Value)
		p.end(e.Span.End, b.entryOffset(i+1))
	}
	p.close("}", b.Span)
}

// entryOffset is where the entry begins, or where the block ends.
func (b *Block) entryOffset(i int) int {
	if i < len(b.Entries) {
		return b.Entries[i].Span.Start.Offset
	}
	return b.Span.End.Offset
}

func (a *Array) itemOffset(i int) int {
	if i < len(a.Items) {
		return a.Items[i].Pos().Start.Offset
	}
	return a.Span.End.Offset
}

// valueOffset is an offset behind all comments between a key and its value.
func valueOffset(e *Entry) int {
	return max(e.Key.Span.End.Offset, e.Value.Pos().Start.Offset)
}

func separator(e *Entry) string {
	if e.Assign {
		return " = "
	}
	return ": "
}

func (p *printer) array(a *Array) {
	if p.inline(a) {
		return
	}
	p.open("[", a.Span, a.itemOffset(0))
	for i, v := range a.Items {
		p.flush(v.Pos().Start.Offset, false)
		p.space(v.Pos().Start.Line, false)
		p.value(v)
		p.end(v.Pos().End, a.itemOffset(i+1))
	}
	p.close("]", a.Span)
}

func (p *printer) open(bracket string, sp Span, first int) {
	p.text(bracket)
	p.end(sp.Start, first)
	p.depth++
	p.fresh = true
}

func (p *printer) close(bracket string, sp Span) {
	p.flush(sp.End.Offset, false)
	p.depth--
	p.fresh = false
	p.indent()
	p.text(bracket)
}

func (p *printer) value(v Value) {
	switch v := v.(type) {
	case *Block:
		p.block(v)
	case *Array:
		p.array(v)
	case *String:
		if v.Multiline && strings.Contains(v.Text, "\n") {
			p.multiline(v.Text)
			return
		}
		p.buf = appendScalar(p.buf, v)
	default:
		p.buf = appendScalar(p.buf, v)
	}
}

// inline prints a block or an array on the current line if that is its form.
func (p *printer) inline(v Value) bool {
	if p.commented(v.Pos().End.Offset) {
		return false
	}
	start := bytes.LastIndexByte(p.buf, '\n') + 1
	before := len(p.buf)
	buf, ok := appendFlat(p.buf, v)
	p.buf = buf
	if ok && (before+2 == len(buf) || utf8.RuneCount(buf[start:]) <= lineWidth) {
		return true
	}
	p.buf = buf[:before]
	return false
}
