package syntax

// Pos is a place in a source file.
type Pos struct {
	Offset int // bytes from the start of the file
	Line   int // from 1
	Column int // from 1, counted in runes
}

// Span is a stretch of a source file; End is just past its last byte.
type Span struct {
	File  string
	Start Pos
	End   Pos
}

// File is a parsed .ww file. Parse always returns one, holding what could be
// understood, however broken the source was.
type File struct {
	Name   string
	Source []byte
	Decls  []*Decl

	// comments holds every comment in order of appearance; only the printer
	// looks at them.
	comments []comment
}

// Word is an unquoted identifier, or (as an entry's key) a quoted one.
type Word struct {
	Text   string
	Quoted bool
	Span   Span
}

// Decl is a declaration: `name = head { … }`.
type Decl struct {
	Name Word
	Head []Word // one or two words
	Body *Block // without a head of its own; never nil
	Span Span
}

// Entry is a `key: value` or `key = value` in a block.
type Entry struct {
	Key    Word
	Assign bool // written with `=`
	Value  Value
	Span   Span
}

// Value is one of *String, *Number, *Bool, *Null, *Env, *Ref, *Bare, *Array
// and *Block.
type Value interface {
	Pos() Span
	value()
}

type (
	// String is a quoted string; Text has its escapes resolved. Multiline says
	// that it was written as a """ string and that its text has a line break.
	String struct {
		Text      string
		Multiline bool
		Span      Span
	}
	// Number is an integer or a decimal, as it was written.
	Number struct {
		Text string
		Span Span
	}
	// Bool is true or false, in any case.
	Bool struct {
		Value bool
		Span  Span
	}
	// Null is null, in any case.
	Null struct{ Span Span }
	// Env is `$NAME` or `${NAME…}`. Op is "", ":-", "-", ":?" or "?", and Arg
	// is what follows it.
	Env struct {
		Name string
		Op   string
		Arg  string
		Span Span
	}
	// Ref is a word used as a value: a reference to a declaration.
	Ref struct {
		Name string
		Span Span
	}
	// Bare is an unquoted value that is no word (a path, a URL, a duration, a
	// size, a version): a string.
	Bare struct {
		Text string
		Span Span
	}
	// Array is `[ … ]`.
	Array struct {
		Items []Value
		Span  Span
	}
	// Block is `{ … }`, with the words of its head when it is a typed one, as
	// in `redis { … }` or `llm openai { … }`.
	Block struct {
		Head    []Word
		Entries []*Entry
		Span    Span // from the head, when there is one, to the closing brace
	}
)

func (v *String) Pos() Span { return v.Span }
func (v *Number) Pos() Span { return v.Span }
func (v *Bool) Pos() Span   { return v.Span }
func (v *Null) Pos() Span   { return v.Span }
func (v *Env) Pos() Span    { return v.Span }
func (v *Ref) Pos() Span    { return v.Span }
func (v *Bare) Pos() Span   { return v.Span }
func (v *Array) Pos() Span  { return v.Span }
func (v *Block) Pos() Span  { return v.Span }

func (*String) value() {}
func (*Number) value() {}
func (*Bool) value()   {}
func (*Null) value()   {}
func (*Env) value()    {}
func (*Ref) value()    {}
func (*Bare) value()   {}
func (*Array) value()  {}
func (*Block) value()  {}

// Get returns the entry of a key, or nil.
func (b *Block) Get(key string) *Entry {
	if b == nil {
		return nil
	}
	for _, e := range b.Entries {
		if e.Key.Text == key {
			return e
		}
	}
	return nil
}
