package syntax

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// checkPrint prints a file without errors and checks what Print guarantees.
func checkPrint(t *testing.T, f *File) {
	t.Helper()
	once := Print(f)
	again, ds := Parse(f.Name, once)
	if len(ds) > 0 {
		t.Fatalf("what was printed has mistakes:\n%s\n%s", rendered(t, ds, f.Name, once), once)
	}
	if got, want := dump(again), dump(f); got != want {
		t.Fatalf("the tree of what was printed differs:\n%s\ngot:\n%s\nwant:\n%s", once, got, want)
	}
	if got, want := commentTexts(again), commentTexts(f); got != want {
		t.Fatalf("comments were lost or moved past each other:\n%s\ngot:\n%s\nwant:\n%s", once, got, want)
	}
	if twice := Print(again); !bytes.Equal(once, twice) {
		t.Fatalf("printing again changes the file:\n%s\nbecomes:\n%s", once, twice)
	}
}

func commentTexts(f *File) string {
	var b strings.Builder
	for _, c := range f.comments {
		fmt.Fprintln(&b, c.text)
	}
	return b.String()
}

func TestPrint(t *testing.T) {
	for name, src := range map[string]string{
		"blank-lines":      "\n\n# a\n\n\n# b\na = x {\n\n\n k: 1\n\n\n\n l: 2\n # c\n\n # d\n\n m: 3\n\n}\n# e\nb = x {}\n\n\n",
		"comments-empty":   "a = x { # one\n}\nb = x {\n # two\n\n # three\n}\nc = x {\n k: [ # four\n ]\n l: [\n # five\n ]\n m: y { # six\n }\n}\n# seven\n\n\n# eight",
		"comments-moved":   "a = # one\n x y # two\n{\n k: # three\n\n # four\n [1] # five\n l # six\n : # seven\n {} # eight\n}",
		"comments-items":   "a = x {\n k: [1, # one\n 2 # two\n , 3, 4] # three\n l: 1, # four\n m: { n: 1 } # five\n} # six\n# seven\n# eight\nb = x {} c = x {} # nine",
		"comment-text":     "#!/usr/bin/env ww   \n#no space\n##  two\t\na = x {}  #last",
		"inline":           "a = x { k: 1, l = m }\nb = x { k: [1] }\nc = x {\n k: { l: 1, m: 2 }\n n: [{ o: 1 }, 2]\n p: [1\n,2]\n q: { r: [] }\n s: [{}, []]\n t: {\n}\n}",
		"too-long":         "a = x {\n k: [" + strings.Repeat("abcdefgh, ", 9) + "i]\n l: [" + strings.Repeat("abcdefgh, ", 9) + "ij]\n m: { n: \"" + strings.Repeat("é", 85) + "\" }\n}",
		"strings":          `a = x { k: 'single', l: "\u0041\/\u001b\u202e\ufeff\u0085", m: "\ud83d\ude00\t\u00e9", n: "a\nb" }`,
		"triple":           "a = x { k: [\"\"\"\n  one\n   two\"\"\"], l: \"\"\"\n\\u0020 a\n  b\"\"\" }\nb = x {\n k: \"\"\"\n\t\\tx\n\t\\\"\\\"\\\"\\\"\"\"\"\n}",
		"dialects":         "a = x { k = 1, l: 2, \"m\" = 3 }",
		"literals-and-env": "a = x { k: TRUE, l: False, m: NULL, n: ${A}, o: ${A:-b c} }",
	} {
		t.Run(name, func(t *testing.T) {
			f, ds := Parse("main.ww", []byte(src))
			if len(ds) > 0 {
				t.Fatalf("diagnostics:\n%s", rendered(t, ds, "main.ww", []byte(src)))
			}
			checkPrint(t, f)
			golden(t, "print/"+name+".golden", string(Print(f)))
		})
	}
}

func TestPrintCorpus(t *testing.T) {
	for name, src := range corpus(t) {
		f, ds := Parse(name, src)
		if len(ds) > 0 {
			t.Fatal(ds)
		}
		checkPrint(t, f)
	}
}

func TestPrintGenerated(t *testing.T) {
	for seed := range uint64(3000) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		f := &File{Name: "main.ww"}
		for range g.IntN(4) {
			f.Decls = append(f.Decls, &Decl{Name: g.name(), Head: g.head(), Body: g.block(3)})
		}
		checkPrint(t, f)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// generator builds random trees.
type generator struct{ *rand.Rand }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

func (g generator) name() Word {
	return Word{Text: pick(g, "a", "llm", "in", "message_bus", "x-1", "_", "trueish")}
}

func (g generator) head() []Word {
	if g.IntN(2) == 0 {
		return []Word{g.name()}
	}
	return []Word{g.name(), g.name()}
}

func (g generator) block(depth int) *Block {
	b := &Block{}
	for i := range g.IntN(5) {
		e := &Entry{Key: Word{Text: "k" + strconv.Itoa(i)}, Assign: g.IntN(2) == 0, Value: g.value(depth)}
		if g.IntN(4) == 0 {
			e.Key = Word{Text: strconv.Itoa(i) + g.text(), Quoted: true}
		}
		g.lines(&e.Span)
		b.Entries = append(b.Entries, e)
	}
	g.lines(&b.Span)
	return b
}

// lines says sometimes that a node was on several lines.
func (g generator) lines(sp *Span) {
	if g.IntN(3) == 0 {
		sp.End.Line = 1
	}
}

func (g generator) value(depth int) Value {
	n := 9
	if depth == 0 {
		n = 7
	}
	switch g.IntN(n) {
	case 0:
		text := g.text()
		return &String{Text: text, Multiline: strings.Contains(text, "\n") && g.IntN(2) == 0}
	case 1:
		return &Number{Text: pick(g, "0", "-1", "8080", "1.50")}
	case 2:
		return &Bool{Value: g.IntN(2) == 0}
	case 3:
		return &Null{}
	case 4:
		e := &Env{Name: "HOME", Op: pick(g, "", ":-", "-", ":?", "?")}
		if e.Op != "" {
			e.Arg = pick(g, "", "a b", "{}", "-", "\"#'")
		}
		return e
	case 5:
		return &Ref{Name: g.name().Text}
	case 6:
		return &Bare{Text: pick(g, "./a/b.py", "30s", "256m", "http://h:1/p?q=r#s", "redis:7", "1.2.3", "~/x", "a.b")}
	case 7:
		a := &Array{}
		for range g.IntN(4) {
			a.Items = append(a.Items, g.value(depth-1))
		}
		g.lines(&a.Span)
		return a
	}
	b := g.block(depth - 1)
	if g.IntN(2) == 0 {
		b.Head = g.head()
	}
	return b
}

func (g generator) text() string {
	var b strings.Builder
	for range g.IntN(12) {
		b.WriteString(pick(g, "a", " ", "  ", "\n", "\n", "\t", `"`, `"""`, `\`, `'`, "#", "é", "日", "\U0001F600", "\r", "\x00", "\u2028", "${A}", "}"))
	}
	return b.String()
}
