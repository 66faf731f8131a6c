package syntax

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Parse parses a file; name is the one that its spans carry. It always returns
// a tree, of what could be understood, and the mistakes in order of their
// places: every one of them (up to a limit of 1,000), and one message for each.
func Parse(name string, src []byte) (*File, Diagnostics) {
	f := &File{Name: name, Source: src}
	text := &textCheck{name: name, src: src}
	if !text.check() {
		return f, text.diagnostics
	}
	p := newParser(text, false)
	p.file()
	if p.unbalanced {
		// Brackets alone don't tell where one is missing or too many. When the
		// indentation explains the file with no more mistakes, it is right.
		q := newParser(text, true)
		if q.file(); q.count() <= p.count() {
			p = q
		}
	}
	f.Decls, f.comments = p.decls, p.s.comments
	return f, p.finish()
}

type parser struct {
	s       scanner
	text    *textCheck
	tok     token
	last    kind // of the token before tok
	lastEnd Pos

	decls       []*Decl
	diagnostics Diagnostics
	dropped     int // diagnostics over the limit

	held       []Diagnostic // mistakes in tok
	muted      bool         // mistakes of the scanner are consequences of one reported
	panicLine  int          // the line of a structural mistake with nothing well-formed after it
	broken     []int        // the lines of all structural mistakes
	lost       bool         // a mistake between declarations has been reported; what is indented belongs to it
	column     int          // of the last declaration
	layout     bool         // judge brackets by the indentation
	unbalanced bool         // a bracket is missing or too many
	closing    bool         // the current token ends the block or array being parsed
	unwind     bool         // leave all blocks: a declaration starts (layout only)
	deep       bool         // the depth has been reported
}

func newParser(text *textCheck, layout bool) *parser {
	p := &parser{text: text, layout: layout}
	p.s = scanner{name: text.name, src: string(text.src), line: 1, col: 1, sanitize: text.encoding >= 0}
	if bytes.HasPrefix(text.src, bom) {
		p.s.off, p.s.mark = len(bom), len(bom)
	}
	return p
}

// next moves to the next token. Mistakes in the current one are reported now,
// when it has been accepted: where it had no place, that is what is wrong.
func (p *parser) next(m mode) {
	p.accept()
	p.last, p.lastEnd = p.tok.kind, p.tok.end
	p.tok = p.s.scan(m)
	for _, d := range p.s.pending {
		switch {
		case d.Code == codeUnexpectedRune:
			p.report(d)
		case !p.muted || p.tok.nl:
			p.held = append(p.held, d)
		}
	}
	p.s.pending = p.s.pending[:0]
}

// accept reports the mistakes in the current token.
func (p *parser) accept() {
	for _, d := range p.held {
		p.report(d)
	}
	p.held = p.held[:0]
}

// reject reports a token that has no place where it stands.
func (p *parser) reject(code, message, remedy string) {
	p.held = p.held[:0]
	p.mistake(code, p.span(), message, remedy)
}

// rescan scans the current token in another mode. It only makes sense for a
// word.
func (p *parser) rescan(m mode) {
	p.s.rewind(p.tok)
	p.tok = p.s.scan(m)
	p.s.pending = p.s.pending[:0]
}

func (p *parser) report(d Diagnostic) {
	if p.text.on(d.Span.Start.Line) {
		return // the bad bytes of the line explain it
	}
	if d.Span.Start.Line == p.s.invisibleLine && d.Code != codeUnexpectedRune {
		return // so does the invisible character
	}
	if len(p.diagnostics)+len(p.text.diagnostics) >= maxDiagnostics {
		p.dropped++
		return
	}
	p.diagnostics = append(p.diagnostics, d)
}

// mistake reports a mistake of structure. A second one on the same line is most
// likely a consequence, unless something was well-formed in between.
func (p *parser) mistake(code string, sp Span, message, remedy string, related ...Related) {
	if structural(code) {
		if p.panicLine == sp.Start.Line {
			return
		}
		p.panicLine = sp.Start.Line
		if len(p.broken) < maxDiagnostics {
			p.broken = append(p.broken, sp.Start.Line)
		}
	}
	p.report(Diagnostic{Severity: Error, Code: code, Span: sp, Message: message, Remedy: remedy, Related: related})
}

func (p *parser) count() int { return len(p.diagnostics) + p.dropped }

func (p *parser) finish() Diagnostics {
	all := slices.Concat(p.text.diagnostics, p.diagnostics)
	slices.SortStableFunc(all, func(a, b Diagnostic) int {
		return cmp.Compare(a.Span.Start.Offset, b.Span.Start.Offset)
	})
	if p.dropped > 0 {
		all = append(all, Diagnostic{
			Severity: Error, Code: codeTooMany, Span: p.s.span(p.tok.start, p.tok.end),
			Message: fmt.Sprintf("%d more mistakes aren't shown", p.dropped), Remedy: "correct the ones above first",
		})
	}
	return all
}

func (p *parser) span() Span { return p.s.span(p.tok.start, p.tok.end) }

// found names the current token in a message.
func (p *parser) found() string {
	if p.tok.kind == eof {
		return "the end of the file"
	}
	text, _, _ := strings.Cut(p.s.src[p.tok.start.Offset:p.tok.end.Offset], "\n")
	return quoteSource(text)
}

// keyed reports whether the current token is followed by `:` or `=` on its
// line.
func (p *parser) keyed() bool {
	if p.tok.kind != word && p.tok.kind != str {
		return false
	}
	c, _ := p.s.blankThen(p.tok.end.Offset)
	return c == ':' || c == '='
}

func (p *parser) file() {
	for p.next(keyMode); p.tok.kind != eof; {
		p.unwind = false
		p.decl()
	}
	p.accept()
}

// decl parses `name = head { … }`.
func (p *parser) decl() {
	if p.lost && p.tok.nl && p.tok.start.Column > p.column {
		p.skipLine(true, keyMode)
		return
	}
	if p.tok.nl {
		p.column = p.tok.start.Column
	}
	if p.tok.kind != word && p.tok.kind != str {
		p.stray()
		return
	}
	name, quoted := p.tok, p.tok.kind == str
	p.lost = p.lost || name.bad
	d := &Decl{Name: Word{Text: name.text, Quoted: quoted, Span: p.span()}}
	p.next(keyMode)
	switch p.tok.kind {
	case assign:
	case colon:
		if !p.headAhead(p.tok.end.Offset) {
			p.strayAt(d.Name.Span)
			return
		}
		p.mistake(codeExpectedAssign, p.span(), "a declaration is written with `=`, not with `:`",
			"write `"+name.text+" = …`")
	default:
		p.declWithoutAssign(d)
		return
	}
	p.lost = false
	p.checkName(d.Name)
	p.next(valueMode)
	p.declHead(d)
}

// headAhead reports whether the text at off is one or two words and an opening
// brace.
func (p *parser) headAhead(off int) bool {
	for range 2 {
		_, start := p.s.blankThen(off)
		off = start
		for off < len(p.s.src) && isWordByte(p.s.src[off]) {
			off++
		}
		if off == start {
			return false
		}
		if c, _ := p.s.blankThen(off); c == '{' {
			return true
		}
	}
	return false
}

func isWordByte(c byte) bool { return envByte(c, true) || c == '-' }

// checkName reports what can't name a declaration.
func (p *parser) checkName(w Word) {
	const rule = "a name consists of letters, digits, `_` and `-`, and starts with a letter or `_`"
	switch {
	case w.Quoted:
		p.mistake(codeInvalidName, w.Span, "the name of a declaration isn't quoted", "remove the quotes")
	case literal(w.Text):
		p.mistake(codeInvalidName, w.Span, quoteSource(w.Text)+" is a literal and can't be a name", "choose another name")
	case !isWord(w.Text):
		p.mistake(codeInvalidName, w.Span, quoteSource(w.Text)+" isn't a name", rule)
	}
}

func (p *parser) declWithoutAssign(d *Decl) {
	open := p.tok.kind == lbrace || p.tok.kind == word && !p.tok.nl && p.braceAhead()
	if !open {
		p.strayAt(d.Name.Span)
		return
	}
	p.lost = true
	p.mistake(codeExpectedAssign, d.Name.Span, "expected `=` after the name of a declaration", "write `name = kind type { … }`")
	p.skipLine(false, keyMode)
}

// braceAhead reports whether the current word is followed by `{`, or by another
// word and `{`.
func (p *parser) braceAhead() bool {
	c, _ := p.s.blankThen(p.tok.end.Offset)
	return c == '{' || p.headAhead(p.tok.end.Offset)
}

// declHead parses what follows the `=` of a declaration.
func (p *parser) declHead(d *Decl) {
	for p.tok.kind == word && (!p.tok.nl || len(d.Head) == 0 && !p.keyed()) && isWord(p.tok.text) {
		if len(d.Head) == 2 {
			p.mistake(codeHeadTooLong, p.span(), "a head has one or two words", "remove "+quoteSource(p.tok.text))
			p.skipWords()
			break
		}
		w := Word{Text: p.tok.text, Span: p.span()}
		if literal(w.Text) {
			p.mistake(codeInvalidName, w.Span, quoteSource(w.Text)+" is a literal and can't be a kind", "write a kind such as `llm`")
		}
		d.Head = append(d.Head, w)
		p.next(keyMode)
	}
	if len(d.Head) == 0 {
		p.noHead(d)
		return
	}
	p.decls = append(p.decls, d)
	if p.tok.kind == lbrace {
		d.Body = p.block(nil, keyMode)
		d.Span = p.s.span(d.Name.Span.Start, d.Body.Span.End)
		p.lost = slices.Contains(p.broken, d.Body.Span.End.Line)
		return
	}
	end := d.Head[len(d.Head)-1].Span.End
	d.Body = &Block{Span: p.s.span(end, end)}
	d.Span = p.s.span(d.Name.Span.Start, end)
	p.mistake(codeExpectedBlock, p.s.span(d.Head[0].Span.Start, end),
		"declaration "+quoteSource(d.Name.Text)+" has no block", "write `{ … }` after its head, or `{}` if there is nothing to say")
	if b := p.unopened(d.Name.Span.Start.Column, keyMode); b != nil {
		d.Body = b
		d.Span.End = b.Span.End
		return
	}
	p.lost = true
	p.skipLine(false, keyMode)
}

func (p *parser) skipWords() {
	for p.tok.kind == word && !p.tok.nl {
		p.next(keyMode)
	}
}

func (p *parser) noHead(d *Decl) {
	const remedy = "write `= kind { … }` or `= kind type { … }`, such as `= llm openai { … }`"
	name := quoteSource(d.Name.Text)
	p.lost = true
	switch {
	case p.tok.kind == lbrace:
		p.mistake(codeExpectedHead, d.Name.Span, "declaration "+name+" has no kind", remedy)
		p.block(nil, keyMode)
	case p.tok.nl || p.tok.kind == eof || p.tok.kind == rbrace || p.tok.kind == rbrack:
		p.mistake(codeExpectedHead, d.Name.Span, "declaration "+name+" has no kind and no block", remedy)
		if p.tok.kind == word {
			p.rescan(keyMode)
		}
	default:
		p.reject(codeExpectedHead, "expected the kind of "+name+", found "+p.found(), remedy)
		p.skipLine(true, keyMode)
	}
}
