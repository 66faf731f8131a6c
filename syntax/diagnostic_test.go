package syntax

import (
	goast "go/ast"
	goparser "go/parser"
	gotoken "go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mistakes are broken files with the codes of what is to be reported: exactly
// one for each mistake.
var mistakes = map[string]struct {
	src   string
	codes string
}{
	"control":                  {"a = x {\n k: \"a\x00b\"\n}\x1b[2J", "control-character control-character"},
	"control-in-word":          {"a\x00b = x {\n k\x01: v\x02w\n l: 1\n}", "control-character control-character"},
	"lone-cr":                  {"a = x {\n k: 1\r l: 2\n}", "control-character"},
	"utf8":                     {"a = x {\n # caf\xe9\n k: \"na\xefve\"\n l: \xff\n}", "invalid-utf8"},
	"utf8-once":                {"a = x {\n k: \"\xe9\"\n}", "invalid-utf8"},
	"utf16":                    {"\xff\xfea\x00 \x00=\x00", "invalid-utf8"},
	"binary":                   {strings.Repeat("\x00\xff\n", 2000), "not-text"},
	"nbsp":                     {"a = x {\n\u00a0\u00a0k:\u00a01\n l:\u202e 2\n}", "unexpected-character unexpected-character"},
	"deep":                     {"a = x { k: " + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "\n l 1 }", "too-deep expected-colon"},
	"deep-unclosed":            {"a = x { k: " + strings.Repeat("[", 300), "too-deep"},
	"deep-blocks":              {"a = x " + strings.Repeat("{ k: ", 300), "too-deep"},
	"string-unclosed":          {"a = x {\n k: \"abc\n l: 1\n}", "unterminated-string"},
	"string-unclosed-inline":   {"a = x {\n k: { l: [\"abc], }\n m: 1\n}\nb = y {}", "unterminated-string"},
	"string-unclosed-inline-2": {"a = x { k: 'abc }\nb = y { l: \"} }", "unterminated-string unterminated-string"},
	"string-unclosed-brackets": {"a = x {\n k: {\n l: \"a} \n m: [\"]\n}\n}\nb = y {", "unterminated-string unterminated-string unterminated-block"},
	"string-unclosed-key":      {"a = x {\n \"k: 1\n l: 2\n}", "unterminated-string"},
	"string-missing-open":      {"a = x {\n k: abc\"\n l: [a, b\", c]\n}", "unexpected-token unexpected-token"},
	"string-inner-quotes":      {"a = x {\n k: \"say \"hi\" now\"\n l: 1\n}", "unexpected-token"},
	"string-inner-quotes-2":    {"a = x {\n k: ['it's', 'b']\n l: 1\n}", "unexpected-token"},
	"string-over-lines":        {"a = x {\n k: \"one\ntwo, (2)\nthree\"\n l: [ 'a\n b', c]\n m 1\n}", "unterminated-string unterminated-string expected-colon"},
	"brace-missing":            {"a = x y\n  k: 1\n  l 2\n}\nb = x {\n  k: z\n  l:\n    m: 1\n  }\n}\nc = x {}", "expected-block expected-colon expected-value"},
	"brace-twice":              {"a = x {{\n  k: 1\n}}\nb = x {}}", "expected-key unexpected-closer"},
	"brace-missing-in-array":   {"a = x {\n  k: [\n    {\n      l: 1\n    },\n      l: 2\n    }\n  ]\n}\nb = x {}", "expected-value"},
	"bracket-missing":          {"a = x {\n  k:\n    { l: 1 },\n    { l: 2 },\n    { l: 3 }\n  ]\n  m: 1\n}", "expected-key"},
	"triple-unclosed":          {"a = x {\n k: \"\"\"\n text\n}\n", "unterminated-string"},
	"escape":                   {"a = x {\n k: \"C:\\Users\\qux\"\n l: '\\u12'\n m: \"\\ud800\"\n n: \"\"\"\n  a\n  é\\x\n \"\"\"\n o: \"\"\"\\y\n z\"\"\"\n}", strings.Repeat("invalid-escape ", 5)},
	"env":                      {"a = x {\n a: $\n b: $1\n c: ${}\n d: ${A\n e: ${A^^}\n f: ${A:-${B}}\n g: $A/x\n h: x$A\n i: 1\n}", strings.Repeat("invalid-env ", 6) + "unexpected-token unexpected-token"},
	"env-inline":               {"a = x { k: ${A }\nb = x { k: ${ }", "invalid-env invalid-env"},
	"env-key":                  {"a = x {\n $A: 1\n l: 1\n}", "expected-key"},
	"block-unclosed":           {"a = x {\n k: 1\n\nb = y {\n l: 2\n}\n\nc = z {\n m: a\n}\n", "unterminated-block"},
	"block-unclosed-inner":     {"a = x {\n    b = y {\n        l: 2\n}\nc = z {\n}\n", "unterminated-block"},
	"block-unclosed-last":      {"a = x {\n b: {\n  l: 2\n", "unterminated-block"},
	"block-unclosed-unindent":  {"a = x {\nb = y {\n}\nc = {\n}\n", "unterminated-block"},
	"block-unclosed-inline":    {"a = x { k: 1\nb = y {}\nc = y {}\n", "unterminated-block"},
	"block-unclosed-value":     {"a = x { k:", "unterminated-block"},
	"block-unclosed-in-array":  {"a = x {\n k: [{ l: 1 ]\n m: 2\n}", "unterminated-block"},
	"block-commented":          {"a = x { k: 1 # }\nb = y {}", "unterminated-block"},
	"array-unclosed":           {"a = x {\n k: [a, b\n l: 1\n}\nb = y {}", "unterminated-array"},
	"array-unclosed-last":      {"a = x {\n k: [a, b\n}\nb = y {}", "unterminated-array"},
	"array-unclosed-next":      {"a = x {\n k: [a, \"b\"\n l: [c]\n \"m\": 1\n}", "unterminated-array"},
	"array-unclosed-end":       {"a = x {\n k: [a,", "unterminated-array"},
	"array-closed-by-brace":    {"a = x {\n k: [a, b}\n l: 1\n}", "unterminated-array"},
	"block-closed-by-bracket":  {"a = x {\n k: { l: 1 ]\n m: 1\n}", "unterminated-block"},
	"closer":                   {"a = x {\n}\n}\n}\nb = y {}\n]\nc = z {}", "unexpected-closer unexpected-closer"},
	"closer-inside":            {"a = x {\n    b: {\n    }\n    }\n    k: 1\n    l: 2\n}\nb = y {}", "unexpected-closer"},
	"closer-bracket":           {"a = x {\n k: a]\n l: ]\n m: 1\n}", "unexpected-closer expected-value"},
	"comma":                    {"a = x {\n , k: 1,, l: [,1,,2]\n}", "unexpected-comma unexpected-comma unexpected-comma unexpected-comma"},
	"comma-between":            {"a = x {},\nb = y {}", "expected-declaration"},
	"name-literal":             {"true = x {}\nNULL = y {}\na = False {}\nb = x { k: true { l: 1 } }", strings.Repeat("invalid-name ", 4)},
	"name-quoted":              {"\"a\" = x { k 1 }", "invalid-name expected-colon"},
	"name-invalid":             {"a.b = x {}\n1a = x {}\nc\u00e9 = x {}", strings.Repeat("invalid-name ", 3)},
	"key-invalid":              {"a = x {\n a.b: 1\n 80: 2\n c/d = { e@f: 1 }\n}", strings.Repeat("invalid-name ", 4)},
	"key-missing":              {"a = x {\n : 1\n = 2\n [1, 2]\n { l: 1 }\n m: 1\n}", strings.Repeat("expected-key ", 4)},
	"block-on-next-line":       {"a = x {\n k: redis\n {\n  l 1\n }\n m: 1\n}", "expected-key expected-colon"},
	"value-start":              {"a = x {\n k: (1 + 2)\n l: |\n m: [<a> b, c]\n n: 1\n}", strings.Repeat("invalid-value ", 3)},
	"value-missing":            {"a = x {\n k:\n l: 1\n m =\n n: { o: }\n p: , q: 1\n \"r\":\n \"s\": 1\n t:\n}", strings.Repeat("expected-value ", 6)},
	"value-operator":           {"a = x {\n k := 1\n l == 2\n m: : 3\n n: 1\n}", strings.Repeat("expected-value ", 3)},
	"value-text":               {"a = x {\n k: hello big world\n l: to be, or not to be\n m: a: b: c\n n: \"a\" \"b\"\n o: 1\n}", strings.Repeat("unexpected-token ", 4)},
	"value-text-comma":         {"a = x { k: two words, l: 1, m: a b, n }", "unexpected-token unexpected-token"},
	"value-three-words":        {"a = x {\n k: a b c {\n  d 1\n }\n l: 1\n}", "unexpected-token expected-colon"},
	"value-bare-block":         {"a = x {\n k: b/c { l: 1 }\n d: e/f{ g: 1 }\n m: 1\n}", "unexpected-token unexpected-token"},
	"colon-missing":            {"a = x {\n k 1\n l { m: 1 }\n n \"x\"\n o [1]\n p\n q: 1\n}", strings.Repeat("expected-colon ", 5)},
	"array-entries":            {"a = x {\n k: [b: 1, c: 2]\n l: [\n  d: 1\n  e: 2\n ]\n m: { f: 1 }\n}", "unexpected-token unexpected-token"},
	"array-adjacent":           {"a = x {\n k: [a\"b\", c]\n l: [a[0], b]\n m: [\"a\"b]\n}", strings.Repeat("unexpected-token ", 3)},
	"array-colon":              {"a = x {\n k: [\n : a, b]\n l: 1\n}", "expected-value"},
	"declaration-colon":        {"a: x y {\n k: 1\n}\nb: z {}", "expected-assign expected-assign"},
	"declaration-no-assign":    {"a x {\n k 1\n}\nb x y {}\nc {}\nd = z {}", "expected-assign expected-colon expected-assign expected-assign"},
	"declaration-text":         {"hello world, this\nis text\n\na = x {}\n---\nk: 1\nl: { m: 1 }", "expected-declaration expected-declaration"},
	"declaration-punctuation":  {"= x {}\na = y {}\n{ k: 1 }", "expected-declaration expected-declaration"},
	"head-missing":             {"a = {\n k: 1\n}\nb =\nc = x {}\nd = 5\ne = \"s\" {}\nf = [\n 1\n]\ng =", strings.Repeat("expected-head ", 6)},
	"head-long":                {"a = x y z {\n k 1\n}\nb = 1 {}", "head-too-long expected-colon expected-head"},
	"block-missing":            {"a = llm openai\nb = x\nc = y\n{}\nd = z k: 1\ne = w", strings.Repeat("expected-block ", 4)},
	"duplicate":                {"a = x {\n k: 1\n k: 2\n \"k\" = 3\n l: { k: 1, m: 2, m: 3 }\n}", strings.Repeat("duplicate-key ", 3)},
	"duplicate-many":           {"a = x { " + manyKeys(20) + " k3: 1, k19: 2, k19: 3 }", strings.Repeat("duplicate-key ", 3)},
	"many":                     {"a = x {\n" + strings.Repeat("k\n", 1100) + "}", strings.Repeat("expected-colon ", 1000) + "too-many-errors"},
	"long-line":                {"a = x { " + manyKeys(200) + " bad, " + strings.Repeat("\t\u00e9\u65e5", 200) + " }", "expected-colon"},
	"wide":                     {"a = x {\n\tk: \"\u65e5\u672c\u8a9e e\u0301 \U0001F600\" \u4e16\u754c\n}", "unexpected-token"},
	"everything":               {"a = llm openai {\n model \"x\"\n to: [b, c\n key:\n key: \"x\n}\nb = {\n}\nc = x y z {}\n", "expected-colon unterminated-array expected-value unterminated-string expected-head head-too-long"},
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("k" + strconv.Itoa(i) + ": 1, ")
	}
	return b.String()
}

func TestDiagnostics(t *testing.T) {
	for name, test := range mistakes {
		t.Run(name, func(t *testing.T) {
			_, ds := Parse("main.ww", []byte(test.src))
			var codes []string
			for _, d := range ds {
				codes = append(codes, d.Code)
			}
			if want := strings.Fields(test.codes); !slices.Equal(codes, want) {
				t.Errorf("codes %v, want %v", codes, want)
			}
			if len(ds) > 20 {
				ds = append(ds[:2:2], ds[len(ds)-1])
			}
			golden(t, "diagnostics/"+name+".golden", rendered(t, ds, "main.ww", []byte(test.src)))
		})
	}
}

// Every code has a case above, except for the one that needs a large file.
func TestEveryCodeIsTested(t *testing.T) {
	tested := map[string]bool{codeFileTooLarge: true}
	for _, m := range mistakes {
		for code := range strings.FieldsSeq(m.codes) {
			tested[code] = true
		}
	}
	file, err := goparser.ParseFile(gotoken.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	goast.Inspect(file, func(n goast.Node) bool {
		if lit, ok := n.(*goast.BasicLit); ok {
			if code, err := strconv.Unquote(lit.Value); err != nil || !tested[code] {
				t.Errorf("no test for the code %s", lit.Value)
			}
		}
		return true
	})
}

func TestLargeFile(t *testing.T) {
	f, ds := Parse("main.ww", make([]byte, MaxFileSize+1))
	if len(ds) != 1 || ds[0].Code != codeFileTooLarge || len(f.Decls) != 0 {
		t.Errorf("diagnostics %v, declarations %d", ds, len(f.Decls))
	}
	comments := []byte(strings.Repeat("# comment\n", MaxFileSize/10))
	if _, ds := Parse("main.ww", comments); len(ds) != 0 {
		t.Errorf("a file under the limit: %v", ds)
	}
}

// A punctuation mark that is missing or written twice is one mistake, wherever
// it is, and has at most one message.
func TestOneMistakeOneMessage(t *testing.T) {
	for name, src := range corpus(t) {
		for i, c := range string(src) {
			if !strings.ContainsRune("{}[]:=\"$,", c) {
				continue
			}
			missing := string(src[:i]) + string(src[i+1:])
			twice := string(src[:i]) + string(c) + string(src[i:])
			for _, broken := range []string{missing, twice} {
				if _, ds := Parse(name, []byte(broken)); len(ds) > 1 {
					t.Errorf("%q at %d:\n%s\n%s", c, i, rendered(t, ds, name, []byte(broken)), broken)
				}
			}
		}
	}
}

// A mistake must not cost what is around it.
func TestRecovery(t *testing.T) {
	for name, test := range map[string]struct{ src, want string }{
		"unclosed block":    {mistakes["block-unclosed"].src, "decl a = x block\n  k : number 1\ndecl b = y block\n  l : number 2\ndecl c = z block\n  m : ref a\n"},
		"unclosed inner":    {mistakes["block-unclosed-inner"].src, "decl a = x block\n  b = y block\n    l : number 2\ndecl c = z block\n"},
		"unclosed array":    {mistakes["array-unclosed"].src, "decl a = x block\n  k : array\n    - ref a\n    - ref b\n  l : number 1\ndecl b = y block\n"},
		"stray brace":       {mistakes["closer-inside"].src, "decl a = x block\n  b : block\n  k : number 1\n  l : number 2\ndecl b = y block\n"},
		"unclosed string":   {mistakes["string-unclosed-inline"].src, "decl a = x block\n  k : block\n    l : array\n      - string \"abc\"\n  m : number 1\ndecl b = y block\n"},
		"missing block":     {"a = x\nb = y {}", "decl a = x block\ndecl b = y block\n"},
		"invalid character": {"a = x {\n k: \"\xff\"\n}", "decl a = x block\n  k : string \"\uFFFD\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f, ds := Parse("main.ww", []byte(test.src))
			if !ds.HasErrors() {
				t.Error("no error was reported")
			}
			if got := dump(f); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}
