package exec

import (
	"slices"
	"testing"
)

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		``:                     nil,
		` a  b	c `:             {"a", "b", "c"},
		`'a b' "c d"`:          {"a b", "c d"},
		`a'b'"c"`:              {"abc"},
		`"a\"b" 'a\b' "\n"`:    {`a"b`, `a\b`, `\n`},
		`a\ b \' ''`:           {"a b", "'", ""},
		`python -c 'print(1)'`: {"python", "-c", "print(1)"},
		`$HOME *`:              {"$HOME", "*"},
	} {
		if got, err := split(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v", line, got, err)
		}
	}
	for _, line := range []string{`'a`, `"a`, `a\`, `"a\`} {
		if got, err := split(line); err == nil {
			t.Errorf("%s: got %q", line, got)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`a "b c" 'd' \e`)
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line)
		total := 0
		for _, w := range words {
			total += len(w)
		}
		if err == nil && total > len(line) {
			t.Errorf("%q became %q", line, words)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("{\"id\":\"1\",\"payload\":1}\n"), 3)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var got []byte
		s := &splitter{max: 16, line: func(b []byte) { got = append(got, b...) }}
		cut = min(max(cut, 0), len(data))
		for _, part := range [][]byte{data[:cut], data[cut:], {'\n'}} {
			if n, err := s.Write(part); err != nil || n != len(part) {
				t.Fatalf("%d, %v", n, err)
			}
		}
		if len(got) > len(data) || len(s.rest) != 0 {
			t.Errorf("%q became %q, %q", data, got, s.rest)
		}
	})
}
