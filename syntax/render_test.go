package syntax

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func at(line, column, offset int) Pos { return Pos{Offset: offset, Line: line, Column: column} }

func example() (Diagnostics, map[string][]byte) {
	src := "a = x {\n\tmodel: gtp\n}\n"
	return Diagnostics{
		{Severity: Error, Code: "unknown-reference", Span: Span{"main.ww", at(2, 9, 16), at(2, 12, 19)}, Message: "no declaration `gtp`",
			Remedy: "did you mean `gpt`?", Related: []Related{{Span: Span{"main.ww", at(1, 1, 0), at(1, 2, 1)}, Message: "in this <component>"}}},
		{Severity: Warning, Code: "other", Span: Span{"other.ww", at(1, 1, 0), at(1, 1, 0)}, Message: "file\x1b[31m \"other\""},
		{Severity: Error, Code: "no-place", Message: "nothing is declared"},
	}, map[string][]byte{"main.ww": []byte(src)}
}

func TestRender(t *testing.T) {
	ds, sources := example()
	for name, color := range map[string]bool{"plain": false, "color": true} {
		var b strings.Builder
		if err := Render(&b, ds, sources, color); err != nil {
			t.Fatal(err)
		}
		golden(t, "render/"+name+".golden", b.String())
	}
	if got, want := ds[1].String(), `other.ww:1:1: warning: file\u001b[31m "other"`; got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
}

// Spans that don't fit the source must not break the report of the mistake.
func TestRenderOddSpans(t *testing.T) {
	src := []byte("one\r\ntwo\n")
	for name, test := range map[string]struct {
		span Span
		want string
	}{
		"at the end":    {Span{"f", at(3, 1, 9), at(3, 1, 9)}, "f:3:1: error: m\n\n^\n"},
		"several lines": {Span{"f", at(1, 2, 1), at(2, 3, 7)}, "f:1:2: error: m\none\n ^~\n"},
		"line end":      {Span{"f", at(1, 4, 3), at(2, 1, 5)}, "f:1:4: error: m\none\n   ^\n"},
		"beyond":        {Span{"f", at(9, 1, 90), at(9, 1, 95)}, "f:9:1: error: m\n"},
		"negative":      {Span{"f", at(1, 1, -1), at(1, 1, 0)}, "f:1:1: error: m\n"},
		"reversed":      {Span{"f", at(2, 1, 5), at(1, 1, 0)}, "f:2:1: error: m\ntwo\n^\n"},
		"file only":     {Span{File: "f"}, "f: error: m\n"},
		"nothing in it": {Span{"empty", at(1, 1, 0), at(1, 1, 0)}, "empty:1:1: error: m\n"},
	} {
		var b strings.Builder
		if err := Render(&b, Diagnostics{{Severity: Error, Message: "m", Span: test.span}}, map[string][]byte{"f": src, "empty": {}}, false); err != nil {
			t.Fatal(err)
		}
		if b.String() != test.want {
			t.Errorf("%s:\n%q, want\n%q", name, b.String(), test.want)
		}
	}
}

func TestRenderWriteError(t *testing.T) {
	r, w := io.Pipe()
	broken := errors.New("broken")
	r.CloseWithError(broken)
	ds, _ := example()
	if err := Render(w, ds, nil, false); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func TestJSON(t *testing.T) {
	ds, _ := example()
	golden(t, "render/json.golden", string(JSON(ds)))
	if got := string(JSON(nil)); got != "[]\n" {
		t.Errorf("JSON(nil) = %q", got)
	}
	var back []struct {
		Line    int
		Related []struct{ Message string }
	}
	if err := json.Unmarshal(JSON(ds), &back); err != nil || len(back) != 3 || back[0].Line != 2 || back[1].Related == nil {
		t.Errorf("read back %+v, %v", back, err)
	}
	nested, err := json.Marshal(map[string]any{"diagnostics": ds[:1]})
	if err != nil || !strings.Contains(string(nested), `"end_column":12`) {
		t.Errorf("inside another object: %s, %v", nested, err)
	}
}
