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
	keys := keySet{}
	for p.next(keyMode); p.inBlock(); {
		p.entry(b, &keys)
	}
	b.Span.End = p.lastEnd
	if p.closing {
		p.closing = false
		b.Span.End = p.tok.end
		p.pop()
		p.next(m)
		return b
	}
	p.pop()
	return b
}

// inBlock moves to the next entry of a block and reports whether there is one.
// If there is none, p.closing says whether the current token is the block's
// closing brace.
func (p *parser) inBlock() bool {
	for !p.unwind {
		switch {
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
			p.next(keyMode)
		case p.tok.kind == rbrack:
			if p.closing = p.mistyped(); p.closing || p.closes(rbrack) {
				p.unclosed(false)
				return false
			}
			p.closer("no array is open here")
			p.next(keyMode)
		case p.tok.kind == comma:
			p.mistake(codeUnexpectedComma, p.span(), "comma without an entry before it", "remove it")
			p.next(keyMode)
		case p.declAhead():
			p.unclosed(true)
			p.unwind = true
		default:
			return true
		}
	}
	return false
}

// entry parses `key: value` or `key = value`, and the comma after it.
func (p *parser) entry(b *Block, keys *keySet) {
	if p.tok.kind != word && p.tok.kind != str {
		p.reject(codeExpectedKey, "expected a key, found "+p.found(),
			"write `key: value`; a value starts on the line of its key, and a block on the line of its head")
		p.skipLine(true, keyMode)
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
	case lbrace, lbrack, str, env:
		return !p.tok.nl
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
		p.mistake(codeExpectedValue, e.Key.Span, "key "+quoteSource(e.Key.Text)+" has no value", `write one, such as "" or null, or remove the key`)
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
	case p.tok.kind == eof, p.tok.kind == rbrace, p.tok.kind == rbrack:
	case p.adjacent():
		p.skipLine(true, keyMode)
	case p.keyed():
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
