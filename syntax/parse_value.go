package syntax

import "strings"

// block parses from `{` to behind `}`; m is the mode of what follows. The head
// has been parsed.
func (p *parser) block(head []Word, m mode) *Block {
	b := &Block{Head: head, Span: p.span()}
	if len(head) > 0 {
		b.Span.Start = head[0].Span.Start
	}
	if !p.push(m) {
		b.Span.End = p.lastEnd
		return b
	}
	p.next(keyMode)
	doubled := p.tok.kind == lbrace && p.tok.start.Offset == p.lastEnd.Offset
	if doubled {
		p.reject(codeExpectedKey, "expected a key, found `{`", "remove it")
		p.next(keyMode)
	}
	p.entries(b)
	if !p.closing {
		return b
	}
	p.closing = false
	b.Span.End = p.tok.end
	p.next(m)
	if doubled && p.tok.kind == rbrace && p.tok.start.Offset == p.lastEnd.Offset {
		p.next(m)
	}
	return b
}

// entries parses the entries of the block that was opened last, up to its
// closing brace.
func (p *parser) entries(b *Block) {
	for keys := (keySet{}); p.inBlock(); {
		p.entry(b, &keys)
	}
	b.Span.End = p.lastEnd
	p.pop()
}

// unopened parses a block whose opening brace is missing, which has been
// reported: lines that are indented deeper than what they belong to, which is
// at a column. It returns nil if there are none.
func (p *parser) unopened(column int, m mode) *Block {
	if !p.tok.nl || p.tok.start.Column <= column || !p.keyed() || len(p.s.open) >= maxDepth {
		return nil
	}
	p.unbalanced = true
	p.s.open = append(p.s.open, opening{kind: lbrace, span: p.s.span(p.tok.start, p.tok.start), column: column, absent: true})
	b := &Block{Span: p.span()}
	p.entries(b)
	if p.closing {
		p.closing = false
		b.Span.End = p.tok.end
		p.next(m)
	}
	return b
}

// dedented reports whether the current token ends a block without an opening
// brace. A closing brace at its indent is left to it.
func (p *parser) dedented() bool {
	o := p.s.open[len(p.s.open)-1]
	if !o.absent {
		return false
	}
	if p.tok.kind == rbrace {
		return !p.tok.nl || p.tok.start.Column < o.column
	}
	return p.tok.kind == eof || p.tok.kind == rbrack || p.tok.nl && p.tok.start.Column <= o.column
}

// inBlock moves to the next entry of a block and reports whether there is one.
// If there is none, p.closing says whether the current token is the block's
// closing brace.
func (p *parser) inBlock() bool {
	for !p.unwind {
		switch {
		case p.dedented():
			return false
		case p.tok.kind == eof:
			p.unclosed(true)
			return false
		case p.tok.kind == rbrace:
			leave, misplaced := p.misplaced()
			if leave {
				p.unclosed(false)
				return false
			}
			if !misplaced {
				p.closing = true
				return false
			}
			p.closer("no block is open at this indent")
			p.skipCloser(keyMode)
		case p.tok.kind == rbrack && !p.outdented():
			if p.closing = p.mistyped(); p.closing || p.closes(rbrack) {
				p.unclosed(false)
				return false
			}
			if !p.s.open[len(p.s.open)-1].keyless {
				p.closer("no array is open here")
			}
			p.skipCloser(keyMode)
		case p.tok.kind == comma && !p.outdented():
			p.mistake(codeUnexpectedComma, p.span(), "comma without an entry before it", "remove it")
			p.next(keyMode)
		case p.declAhead():
			p.unclosed(true)
			p.unwind = true
		case p.outdented():
			p.unclosed(false)
			return false
		default:
			return true
		}
	}
	return false
}

// entry parses `key: value` or `key = value`, and the comma after it.
func (p *parser) entry(b *Block, keys *keySet) {
	if p.tok.kind != word && p.tok.kind != str {
		p.noKey()
		return
	}
	e := &Entry{Key: Word{Text: p.tok.text, Quoted: p.tok.kind == str, Span: p.span()}}
	broken := p.tok.bad
	p.next(keyMode)
	if broken || !p.assignment(e) {
		p.skipLine(false, keyMode)
		return
	}
	if e.Value = p.entryValue(e); e.Value == nil {
		return
	}
	e.Span = p.s.span(e.Key.Span.Start, e.Value.Pos().End)
	if first, ok := keys.add(b, e); !ok {
		p.mistake(codeDuplicateKey, e.Key.Span, "duplicate key "+quoteSource(e.Key.Text), "keep one of the two",
			Related{Span: first.Key.Span, Message: "it is first set here"})
	}
	b.Entries = append(b.Entries, e)
	p.endOfEntry()
}

// noKey reports what starts no entry; several blocks without a key are one
// mistake, a list without its `[`.
func (p *parser) noKey() {
	o := &p.s.open[len(p.s.open)-1]
	if p.tok.kind != lbrace || !o.keyless {
		p.reject(codeExpectedKey, "expected a key, found "+p.found(),
			"write `key: value`; a block starts on the line of its head, and a list of values is put in `[` and `]`")
	}
	o.keyless = o.keyless || p.tok.kind == lbrace
	p.skipLine(true, keyMode)
}

// assignment parses the `:` or `=` of an entry. Where it is missing but a value
// follows that can't be anything else, the entry is parsed all the same.
func (p *parser) assignment(e *Entry) bool {
	switch p.tok.kind {
	case colon, assign:
		e.Assign = p.tok.kind == assign
		if !e.Key.Quoted && !isWord(e.Key.Text) {
			p.mistake(codeInvalidName, e.Key.Span, quoteSource(e.Key.Text)+" can't be a key without quotes", "put it in quotes")
		}
		p.next(valueMode)
		return true
	}
	p.mistake(codeExpectedColon, e.Key.Span, "expected `:` or `=` after the key "+quoteSource(e.Key.Text),
		"write `key: value`, and put a text in quotes")
	switch p.tok.kind {
	case lbrace, lbrack:
		return !p.tok.nl
	case str, env:
		if p.tok.nl {
			return false
		}
		if p.tok.start.Offset > p.lastEnd.Offset {
			return true
		}
		p.held = p.held[:0]
	}
	return false
}

func (p *parser) entryValue(e *Entry) Value {
	missing := false
	switch p.tok.kind {
	case eof:
		return nil // the block that isn't closed is what is wrong
	case rbrace, rbrack, comma:
		missing = true
	case word:
		if p.tok.nl {
			p.rescan(keyMode)
			if missing = p.keyed(); !missing {
				p.rescan(valueMode)
			}
		}
	case str:
		missing = p.tok.nl && p.keyed()
	}
	if missing {
		p.mistake(codeExpectedValue, e.Key.Span, "key "+quoteSource(e.Key.Text)+" has no value",
			`write one, such as "", null or { … }, or remove the key`)
		if b := p.unopened(e.Key.Span.Start.Column, keyMode); b != nil {
			return b
		}
		if p.tok.kind == comma || p.tok.kind == rbrack && !p.closes(rbrack) {
			p.next(keyMode)
		}
		return nil
	}
	v := p.value(keyMode)
	if v == nil {
		p.skipLine(false, keyMode)
	}
	return v
}

// endOfEntry passes the comma after a value, and reports what can't follow one.
func (p *parser) endOfEntry() {
	switch {
	case p.unwind || p.tok.nl:
	case p.tok.kind == comma:
		p.next(keyMode)
		p.panicLine = 0
	case p.tok.kind == eof, p.tok.kind == rbrace, p.tok.kind == rbrack:
	case p.adjacent():
		p.skipLine(true, keyMode)
	case p.keyed():
		p.panicLine = 0
	default:
		p.reject(codeUnexpectedToken, "unexpected "+p.found()+" after a value",
			"put a text of several words in quotes; start the next entry on a new line")
		p.skipLine(true, keyMode)
	}
}

// adjacent reports a token that sticks to the scalar before it.
func (p *parser) adjacent() bool {
	if p.tok.start.Offset != p.lastEnd.Offset {
		return false
	}
	switch p.last {
	case word:
		p.reject(codeUnexpectedToken, "unquoted value can't hold "+quoteSource(p.s.src[p.lastEnd.Offset:][:1]), "put the whole value in quotes")
	case str:
		p.reject(codeUnexpectedToken, "unexpected "+p.found()+" after a string",
			`write a comma or a blank between two values, and \" for a quote inside a string`)
	case env:
		p.reject(codeUnexpectedToken, "unexpected "+p.found()+" after an environment variable",
			"a `$NAME` is a value of its own: put the whole text into the variable")
	default:
		return false
	}
	return true
}

// keySet finds duplicate keys without comparing each with each.
type keySet struct{ seen map[string]*Entry }

func (k *keySet) add(b *Block, e *Entry) (first *Entry, ok bool) {
	const few = 8
	if len(b.Entries) < few {
		first = b.Get(e.Key.Text)
		return first, first == nil
	}
	if k.seen == nil {
		k.seen = make(map[string]*Entry, 2*few)
		for _, old := range b.Entries {
			if k.seen[old.Key.Text] == nil {
				k.seen[old.Key.Text] = old
			}
		}
	}
	if first = k.seen[e.Key.Text]; first != nil {
		return first, false
	}
	k.seen[e.Key.Text] = e
	return nil, true
}

// value parses a value; m is the mode of what follows. It returns nil when
// there is none, which has been reported.
func (p *parser) value(m mode) Value {
	t, sp := p.tok, p.span()
	switch t.kind {
	case lbrace:
		return p.block(nil, m)
	case lbrack:
		return p.array(m)
	case word:
		return p.wordValue(m)
	case str:
		p.next(m)
		return &String{Text: t.text, Multiline: t.multiline, Span: sp}
	case env:
		p.next(m)
		if t.bad {
			return nil
		}
		return &Env{Name: t.text, Op: t.op, Arg: t.arg, Span: sp}
	}
	p.reject(codeExpectedValue, "expected a value, found "+p.found(),
		"write one value after `:` or `=`, and put a text in quotes")
	p.quietly(m)
	return nil
}

// wordValue parses what starts with an unquoted word: a typed block or a
// scalar.
func (p *parser) wordValue(m mode) Value {
	t, sp := p.tok, p.span()
	p.next(m)
	if !isWord(t.text) || p.tok.nl {
		return p.scalar(t, sp)
	}
	head := []Word{{Text: t.text, Span: sp}}
	if p.tok.kind == word && isWord(p.tok.text) {
		if c, _ := p.s.blankThen(p.tok.end.Offset); c == '{' {
			head = append(head, Word{Text: p.tok.text, Span: p.span()})
			p.next(m)
		}
	}
	if p.tok.kind != lbrace {
		return p.scalar(t, sp)
	}
	for _, w := range head {
		if literal(w.Text) {
			p.mistake(codeInvalidName, w.Span, quoteSource(w.Text)+" is a literal and can't be a kind", "write a kind such as `redis`")
			break
		}
	}
	return p.block(head, m)
}

func (p *parser) scalar(t token, sp Span) Value {
	switch {
	case strings.EqualFold(t.text, "true"), strings.EqualFold(t.text, "false"):
		return &Bool{Value: len(t.text) == len("true"), Span: sp}
	case literal(t.text):
		return &Null{Span: sp}
	case isWord(t.text):
		return &Ref{Name: t.text, Span: sp}
	case isNumber(t.text):
		return &Number{Text: t.text, Span: sp}
	case startsBare(t.text[0]):
		return &Bare{Text: t.text, Span: sp}
	}
	remedy := "put it in quotes"
	if t.text == "|" || t.text == ">" {
		remedy = `write a text of several lines between """ and """`
	}
	p.mistake(codeInvalidValue, sp, quoteSource(t.text)+" can't start a value", remedy)
	return nil
}
