package syntax

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for name, src := range map[string]string{
		"empty":               "",
		"only-comments":       "# one\n\n# two",
		"classic":             "m = memory short_term {}\nl = llm openai {\n    model: \"gpt-4o-mini\"\n    memory: m,\n    api_key: $OPENAI_API_KEY\n}",
		"new-dialect":         "deployment = docker {\n  message_bus = redis {\n    image = \"redis:alpine\"\n  }\n}\na = claude { to = [\"output\", metrics] }",
		"typed-values":        "d = docker {\n a = llm openai { model: \"x\" }\n b = redis {}\n c: [redis {}, llm openai { k: 1 } web]\n d = redis{url: r}\n}",
		"word-then-block":     "a = x y {\n t: [one\n {k: 1}\n two three\n {k: 2}]\n type = web {\n k: 1 } }",
		"same-line":           "a = x {\n}kb = memory short_term {} c = y {}",
		"literals":            "a = x { t: True, f: FALSE, n: Null, u: true, not: nullable, trueish: truth }",
		"keyword-names":       "llm = llm openai {}\nin = input command_line { to: input }\ninput = input api {}\nmemory = memory x {}",
		"numbers":             "a = x { i: 8080, n: -3, d: 1.50, z: 0, oct: 0644, exp: 1e5, plus: +1, dot: .5, dash: -, under: 1_000, ver: 1.2.3 }",
		"bare":                "a = x {\n p: ./tools/x.py\n q: ../local_data/chroma\n u: https://h:80/p?a=b&c=d#frag # comment\n d: 30s\n s: 256m\n i: a/b:1.2\n r: redis:7-alpine\n f: functions.py\n n: caf\u00e9\n t: ~/x\n g: *.py\n c: 30s# comment\n w: C:\\x}",
		"strings":             `a = x { d: "it's", s: 'say "hi"', e: "a\n\t\"\\\/\u00e9\ud83d\ude00", q: 'it\'s', z: "", y: '', h: "# no comment", b: "}" }`,
		"triple":              "a = x {\n p: \"\"\"\n      You are:\n        - kind\n\n      \"quoted\" \\u0041\n    \"\"\"\n o: \"\"\"one\"\"\"\n i: \"\"\"first\n      second\n        third\"\"\"\n e: \"\"\"\"\"\"\n n: \"\"\"\n\n\"\"\"\n}",
		"triple-crlf":         "a = x {\r\n p: \"\"\"\r\n    one\r\n    two\r\n    \"\"\"\r\n}\r\n",
		"env":                 "a = x { a: $A, b: ${B}, c: ${C:-de fault}, d: ${D-x}, e: ${E:?must be set}, f: ${F?no}, g: ${G:-}, h: ${H:-{\"k\": 1}}, i: [$I $J] }",
		"quoted-keys":         "a = x {\n ports = { \"6379\": \"6379\", 'b c' = 2 }\n \"K\" = \"v\"\n}",
		"commas":              "a = x { a: 1, b: 2 c: 3,\n d: [1, 2 3, [4,],],\n}",
		"spread-out":          "a\n=\nx y\n{\nk\n:\n[\n1\n]\nl:\n  {\n  }\nm:\n  some_ref\nn: # why\n  \"text\"\n}",
		"dense":               "a=x y{k:1,l=m,n:[o,p]q:{}r:redis{}}b=z{u:http://x/y,v:\"s\"}",
		"nested":              "a = x { b: { c: { d: [[{}], []] } } }",
		"comments":            "# top\na = x { # open\n # own\n k: 1 # after\n l: [ # in\n 1 # one\n ] # end\n # last\n} # close\n# bottom",
		"crlf":                "a = x {\r\n\tk: v # c\r\n}\r\n",
		"bom":                 "\uFEFFa = x { k: 1 }",
		"indentation-is-free": "a = x {\nb = y {\nc = z {\n}\n}\n}",
		"literal-keys":        "a = x { null: 1, true: 2 }",
	} {
		t.Run(name, func(t *testing.T) {
			f, ds := Parse("main.ww", []byte(src))
			if len(ds) > 0 {
				t.Errorf("diagnostics:\n%s", rendered(t, ds, "main.ww", []byte(src)))
			}
			golden(t, "parse/"+name+".golden", strings.ReplaceAll(src, "\r", "␍")+"\n----\n"+dump(f)+"----\n"+string(Print(f)))
		})
	}
}

func TestParseCorpus(t *testing.T) {
	for name, src := range corpus(t) {
		t.Run(name, func(t *testing.T) {
			f, ds := Parse(name, src)
			if len(ds) > 0 {
				t.Errorf("diagnostics:\n%s", rendered(t, ds, name, src))
			}
			golden(t, "tree/"+strings.TrimPrefix(name, "testdata/corpus/")+".golden", dump(f))
			golden(t, "print/"+strings.TrimPrefix(name, "testdata/corpus/"), string(Print(f)))
		})
	}
}
