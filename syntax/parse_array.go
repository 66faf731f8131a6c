package syntax

import "strings"

// array parses from `[` to behind `]`; m is the mode of what follows.
func (p *parser) array(m mode) *Array {
	a := &Array{Span: p.span()}
	if !p.push(m) {
		a.Span.End = p.lastEnd
		return a
	}
	for p.next(valueMode); p.inArray(); {
		if v := p.item(); v != nil {
			a.Items = append(a.Items, v)
			p.endOfItem()
		} else {
			p.skipItem()
		}
		if p.tok.kind == comma {
			p.next(valueMode)
		}
	}
	a.Span.End = p.lastEnd
	if p.closing {
		p.closing = false
		a.Span.End = p.tok.end
		p.pop()
		p.next(m)
		return a
	}
	p.pop()
	return a
}

// inArray moves to the next item of an array and reports whether there is one.
// If there is none, p.closing says whether the current token ends the array.
func (p *parser) inArray() bool {
	for !p.unwind {
		switch {
		case p.tok.kind == eof:
			p.unclosed(true)
			return false
		case p.tok.kind == rbrack:
			p.closing = true
			return false
		case p.tok.kind == rbrace && p.repeated():
			p.closer("the block before it is closed")
			p.skipCloser(valueMode)
		case p.tok.kind == rbrace:
			p.unclosed(false)
			p.closing = p.mistyped() || !p.closes(rbrace)
			return false
		case p.tok.kind == comma:
			p.mistake(codeUnexpectedComma, p.span(), "comma without a value before it", "remove it")
			p.next(valueMode)
		case p.entryAhead() && p.layout && p.tok.start.Column > p.s.open[len(p.s.open)-1].column:
			return true
		case p.entryAhead():
			p.unclosed(false)
			if p.tok.kind == word {
				p.rescan(keyMode)
			}
			return false
		default:
			return true
		}
	}
	return false
}

// entryAhead reports whether an entry starts at the current token, at the start
// of a line, and not one that was written where a value belongs.
func (p *parser) entryAhead() bool { return p.tok.nl && p.keyed() && !p.closesNext() }

// item parses one value. By the indentation, entries on lines of their own are
// a block without its opening brace.
func (p *parser) item() Value {
	if p.layout && p.entryAhead() && len(p.s.open) < maxDepth {
		p.mistake(codeExpectedValue, p.span(), "block in an array has no opening `{`", "add `{` before its first key")
		if p.tok.kind == word {
			p.rescan(keyMode)
		}
		if b := p.unopened(p.s.open[len(p.s.open)-1].column, valueMode); b != nil {
			return b
		}
	}
	return p.value(valueMode)
}

// closesNext reports whether the next bracket after the current token is a
// `]`: then entries in an array are entries where values belong, not those that
// follow an array that isn't closed.
func (p *parser) closesNext() bool {
	rest := p.s.src[p.tok.end.Offset:]
	i := strings.IndexAny(rest, "[]{}")
	return i >= 0 && rest[i] == ']'
}

// endOfItem reports what can't follow an item.
func (p *parser) endOfItem() {
	switch {
	case p.unwind || p.tok.nl:
	case p.tok.kind == colon || p.tok.kind == assign:
		p.reject(codeUnexpectedToken, "unexpected "+p.found()+" in an array", "an array holds values: write `{ key: value }`")
		for p.tok.kind != rbrack && p.tok.kind != rbrace && p.tok.kind != eof && !p.unwind {
			p.skipToken()
		}
	case p.tok.kind == comma:
		p.panicLine = 0
	case p.tok.kind == rbrack, p.tok.kind == rbrace, p.tok.kind == eof:
	case p.adjacent():
		p.skipItem()
	}
}

// skipItem passes the rest of an item with a reported mistake.
func (p *parser) skipItem() {
	for !p.tok.nl && !p.unwind {
		switch p.tok.kind {
		case comma, rbrack, rbrace, eof:
			return
		}
		p.skipToken()
	}
}

// skipToken passes one token, or a whole block or array.
func (p *parser) skipToken() {
	switch p.tok.kind {
	case lbrace:
		p.aside(func() { p.block(nil, valueMode) })
	case lbrack:
		p.aside(func() { p.array(valueMode) })
	default:
		p.quietly(valueMode)
	}
}
