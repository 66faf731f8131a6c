package syntax

import (
	"testing"
)

// seeds adds the corpus and the broken files of the tests to a fuzz target.
func seeds(f *testing.F) {
	for _, src := range corpus(f) {
		f.Add(src)
	}
	for _, m := range mistakes {
		if len(m.src) < 2000 {
			f.Add([]byte(m.src))
		}
	}
	for _, src := range []string{
		"a = x { k: \"\"\"\n  b\n \\u0020 c\n\"\"\", l: '\\'' }",
		"a = # c\nx y # d\n{ k # e\n: # f\n[ # g\n] } # h",
		"a=x{k:http://[::1]:80#f,l:redis:7{m:1}}b=y z{}",
		"\uFEFFa = x {\r\n\tk = ${A:-{}}\r\n}\r",
		"a = x { k: [a b {c: 1} d\n{}] }",
	} {
		f.Add([]byte(src))
	}
}

func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		file, ds := Parse("main.ww", src)
		spans := spanCheck{t: t, size: len(src)}
		for _, d := range file.Decls {
			spans.decl(d)
		}
		last := 0
		for _, d := range ds {
			if d.Code == "" || d.Message == "" || d.Remedy == "" || d.Severity != Error {
				t.Errorf("incomplete diagnostic %+v", d)
			}
			if d.Span.Start.Offset < last {
				t.Errorf("diagnostics aren't in order: %v", d)
			}
			last = d.Span.Start.Offset
			spans.within(d.Span, 0, len(src))
			for _, r := range d.Related {
				spans.within(r.Span, 0, len(src))
			}
		}
		rendered(t, ds, "main.ww", src)
		JSON(ds)
		if !ds.HasErrors() {
			checkPrint(t, file)
		}
	})
}

func FuzzPrint(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		file, ds := Parse("main.ww", src)
		if ds.HasErrors() {
			t.Skip()
		}
		checkPrint(t, file)
	})
}

// spanCheck checks that spans are within those of their parents, in order.
type spanCheck struct {
	t    *testing.T
	size int
}

func (c spanCheck) within(sp Span, low, high int) {
	c.t.Helper()
	if sp.Start.Offset < low || sp.End.Offset < sp.Start.Offset || sp.End.Offset > high || high > c.size {
		c.t.Fatalf("span %+v isn't within %d and %d of %d", sp, low, high, c.size)
	}
	if sp.Start.Line < 1 || sp.Start.Column < 1 || sp.End.Line < sp.Start.Line ||
		sp.End.Line == sp.Start.Line && sp.End.Column < sp.Start.Column {
		c.t.Fatalf("span %+v isn't ordered", sp)
	}
}

func (c spanCheck) decl(d *Decl) {
	c.within(d.Span, 0, c.size)
	low := c.words(append([]Word{d.Name}, d.Head...), d.Span.Start.Offset, d.Span.End.Offset)
	if len(d.Head) < 1 || len(d.Head) > 2 || d.Body == nil {
		c.t.Fatalf("declaration %q has %d words and body %v", d.Name.Text, len(d.Head), d.Body)
	}
	c.value(d.Body, low, d.Span.End.Offset)
}

func (c spanCheck) words(ws []Word, low, high int) (end int) {
	for _, w := range ws {
		c.within(w.Span, low, high)
		low = w.Span.End.Offset
	}
	return low
}

func (c spanCheck) value(v Value, low, high int) {
	sp := v.Pos()
	c.within(sp, low, high)
	low, high = sp.Start.Offset, sp.End.Offset
	switch v := v.(type) {
	case *Block:
		low = c.words(v.Head, low, high)
		for _, e := range v.Entries {
			c.within(e.Span, low, high)
			low = c.words([]Word{e.Key}, e.Span.Start.Offset, e.Span.End.Offset)
			c.value(e.Value, low, e.Span.End.Offset)
			low = e.Span.End.Offset
		}
	case *Array:
		for _, item := range v.Items {
			c.value(item, low, high)
			low = item.Pos().End.Offset
		}
	}
}
