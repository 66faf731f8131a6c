package syntax

import (
	"slices"
	"strings"
)

// stray reports a token that starts no declaration, and passes its line.
func (p *parser) stray() {
	if k := p.tok.kind; k == rbrace || k == rbrack {
		p.closer("nothing is open here")
		p.lost = true
		p.next(keyMode)
		return
	}
	p.strayAt(p.span())
}

// strayAt reports what stands between declarations: once for everything up to
// the next declaration.
func (p *parser) strayAt(sp Span) {
	p.unbalanced = true
	if !p.lost && !p.s.doubt {
		p.held = p.held[:0]
		p.mistake(codeExpectedDecl, sp, "expected a declaration",
			"write `name = kind type { … }`; settings belong inside the braces of a declaration")
	}
	p.lost = true
	p.skipLine(p.tok.start == sp.Start, keyMode)
}

// closer reports a closing bracket that closes nothing.
func (p *parser) closer(why string) {
	p.unbalanced = true
	if !p.lost && !p.s.doubt {
		p.mistake(codeUnexpectedCloser, p.span(), "unexpected "+p.found()+": "+why, "remove it, or add what it is to close")
	}
}

// skipLine passes the rest of a line with a reported mistake. It stops early
// before a bracket that closes an open one, and before an entry after a comma.
// Blocks and arrays on its way are parsed, so that the mistakes in them are
// reported. With force it passes the current token in any case.
func (p *parser) skipLine(force bool, m mode) {
	if !p.tok.nl {
		p.held = p.held[:0]
	}
	for ; p.tok.kind != eof && !p.unwind && (force || !p.tok.nl); force = false {
		switch p.tok.kind {
		case lbrace:
			p.aside(func() { p.block(nil, m) })
			continue
		case lbrack:
			p.aside(func() { p.array(m) })
			continue
		case rbrace, rbrack:
			if p.closes(p.tok.kind) && !(p.layout && p.s.openedHere() == 0 && !p.tok.nl) {
				return
			}
		case comma:
			p.quietly(m)
			if p.keyed() && m == keyMode && len(p.s.open) > 0 {
				return
			}
			continue
		}
		p.quietly(m)
	}
}

// quietly moves on, dropping what the scanner finds on this line.
func (p *parser) quietly(m mode) {
	p.muted = true
	p.next(m)
	p.muted = false
}

// aside parses a block or an array in the midst of what is being skipped.
func (p *parser) aside(parse func()) {
	muted := p.muted
	p.muted = false
	parse()
	p.muted = muted
}

// closes reports whether a closing bracket of this kind has one to close.
func (p *parser) closes(k kind) bool {
	want := lbrace
	if k == rbrack {
		want = lbrack
	}
	for _, o := range p.s.open {
		if o.kind == want {
			return true
		}
	}
	return false
}

// mistyped reports whether the current closing bracket is of the wrong kind for
// the innermost open one, but most likely meant for it: no other was opened on
// this line.
func (p *parser) mistyped() bool {
	n := len(p.s.open)
	line := p.tok.start.Line
	return p.s.open[n-1].span.Start.Line == line && (n == 1 || p.s.open[n-2].span.Start.Line != line)
}

// push opens the current bracket, or reports false and passes all of it when it
// is too deep.
func (p *parser) push(m mode) bool {
	if len(p.s.open) < maxDepth {
		p.s.open = append(p.s.open, opening{kind: p.tok.kind, span: p.span(), column: p.s.firstColumn})
		return true
	}
	if !p.deep {
		p.mistake(codeTooDeep, p.span(), "blocks and arrays are nested more than 200 levels deep", "flatten the structure")
	}
	p.deep = true
	for depth := 0; p.tok.kind != eof; {
		switch p.tok.kind {
		case lbrace, lbrack:
			depth++
		case rbrace, rbrack:
			depth--
		}
		if depth == 0 {
			p.next(m)
			return false
		}
		p.tok = p.s.scan(valueMode)
		p.s.pending = p.s.pending[:0]
	}
	p.s.atEnd = true
	p.lastEnd = p.tok.start
	return false
}

func (p *parser) pop() opening {
	o := p.s.open[len(p.s.open)-1]
	p.s.open = p.s.open[:len(p.s.open)-1]
	return o
}

// unclosed reports the innermost open bracket, which has no closing one before
// the current token. At the end of the file and before the next declaration,
// where all that is open ends, the outer ones are part of the same mistake.
func (p *parser) unclosed(all bool) {
	p.unbalanced = true
	if p.s.doubt || p.s.atEnd {
		return
	}
	p.s.atEnd = p.tok.kind == eof
	o := p.s.open[len(p.s.open)-1]
	keyless := func(o opening) bool { return o.keyless } // its braces explain the lack of others
	if slices.ContainsFunc(p.s.open, keyless) || slices.Contains(p.broken, o.span.Start.Line) {
		return
	}
	var related []Related
	for i := len(p.s.open) - 2; all && i >= 0 && len(related) < 3; i-- {
		related = append(related, Related{Span: p.s.open[i].span, Message: "this isn't closed either"})
	}
	if o.kind == lbrace {
		p.mistake(codeUnterminatedBlock, o.span, "block has no closing `}`", "add `}` at its end", related...)
	} else {
		p.mistake(codeUnterminatedArray, o.span, "array has no closing `]`", "add `]` at its end", related...)
	}
}

// misplaced judges a closing brace by the indentation.
// It reports whether the brace isn't the one of the innermost block: then
// either leave says that the block ends here, unclosed, or the brace is one too
// many.
func (p *parser) misplaced() (leave, misplaced bool) {
	inner, column := p.s.open[len(p.s.open)-1], p.tok.start.Column
	if !p.layout || inner.absent {
		return false, false
	}
	if !p.tok.nl {
		return false, p.repeated()
	}
	if column > inner.column && inner.span.Start.Line < p.tok.start.Line {
		return false, true
	}
	if column < inner.column {
		for _, o := range p.s.open[:len(p.s.open)-1] {
			if o.column == column && o.kind == lbrace {
				return true, true
			}
		}
	}
	return false, false
}

// outdented reports whether the current token isn't indented as deep as what is
// in the innermost block.
func (p *parser) outdented() bool {
	o := p.s.open[len(p.s.open)-1]
	return p.layout && p.tok.nl && len(p.s.open) > 1 && p.tok.start.Column <= o.column
}

// repeated reports whether the current brace comes right after one that closes
// what the indent of its line says, and closes something further out.
func (p *parser) repeated() bool {
	o := p.s.open[len(p.s.open)-1]
	return p.layout && !p.tok.nl && p.last == rbrace && o.span.Start.Line < p.tok.start.Line && o.column < p.s.firstColumn
}

// skipCloser passes a closing bracket that has been reported, and its comma.
func (p *parser) skipCloser(m mode) {
	if p.next(m); p.tok.kind == comma {
		p.next(m)
	}
}

// declAhead reports whether the current token starts a declaration by its
// looks, at the start of a line inside a block.
func (p *parser) declAhead() bool {
	if !p.layout || !p.tok.nl || p.tok.start.Column != 1 || p.tok.kind != word {
		return false
	}
	c, off := p.s.blankThen(p.tok.end.Offset)
	return c == '=' && p.headAhead(off+1)
}

// quoteSource quotes a piece of the source in a message, shortened.
func quoteSource(s string) string {
	const limit = 40
	if runes := []rune(s[:min(len(s), 4*limit)]); len(runes) > limit || len(s) > 4*limit {
		s = string(runes[:min(limit, len(runes))]) + "…"
	}
	return "`" + strings.ToValidUTF8(s, "\uFFFD") + "`"
}
