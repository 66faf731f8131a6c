package syntax

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// system is a file of n components.
func system(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "agent_%d = agent llm {\n    model: llm_%d  # the model\n    prompt: \"You are number %d\"\n"+
			"    tools: [tool_a, tool_b, \"topic\"]\n    api_key: $OPENAI_API_KEY\n}\n\n", i, i, i)
	}
	return b.Bytes()
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			src := system(n)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if f, ds := Parse("main.ww", src); len(f.Decls) != n || len(ds) > 0 {
					b.Fatal(len(f.Decls), ds)
				}
			}
		})
	}
}

func BenchmarkPrint(b *testing.B) {
	f, _ := Parse("main.ww", system(10000))
	b.ReportAllocs()
	for b.Loop() {
		Print(f)
	}
}

func BenchmarkSuggest(b *testing.B) {
	candidates := make([]string, 10000)
	for i := range candidates {
		candidates[i] = fmt.Sprintf("component_%d", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		Suggest("komponent_x9999", candidates)
	}
}

// Thirty times the file must not take much more than thirty times as long,
// whatever the file is made of. What doesn't fit into the processor's caches any
// more takes up to six times as long for each part; a square would take thirty
// times as long for each, which a smaller step doesn't tell apart for certain.
func TestLinearTime(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	repeat := func(pattern string) func(int) []byte {
		return func(n int) []byte { return []byte(strings.Repeat(pattern, n)) }
	}
	inside := func(pattern string) func(int) []byte {
		return func(n int) []byte { return []byte("a = x {" + strings.Repeat(pattern, n) + "}") }
	}
	for name, make := range map[string]func(int) []byte{
		"components":       system,
		"one line":         inside(" k: \"\u00e9\","),
		"keys":             func(n int) []byte { return bytes.ReplaceAll(system(n), []byte("\n\n"), []byte("\n")) },
		"distinct keys":    func(n int) []byte { return []byte("a = x {\n" + manyKeys(10*n) + "}") },
		"duplicate keys":   inside("\nkey: 1\nkey: 2"),
		"items":            func(n int) []byte { return []byte("a = x { k: [" + strings.Repeat("a ", 20*n) + "] }") },
		"open brackets":    repeat("[[{["),
		"open blocks":      repeat("a = x {\n"),
		"open arrays":      inside("\nk: [\nl: 1"),
		"open strings":     inside("\nk: \"abc { [ "),
		"open triples":     inside(` """ `),
		"quotes":           repeat(`"'`),
		"stray closers":    repeat("}\n]\n"),
		"backslashes":      func(n int) []byte { return []byte("a = x { k: \"" + strings.Repeat(`\q`, 50*n) + "\" }") },
		"open variables":   inside("\nk: ${A:-{{"),
		"newlines":         inside("k\n\n\n\n"),
		"comments":         repeat("# c\n\n"),
		"inner comments":   inside("k: # c\n# d\n1\n"),
		"bad bytes":        repeat("a\xff\x00 ="),
		"invisible":        repeat("\u00a0a \u202e"),
		"nested and back":  inside("k: {{[{}]}\n"),
		"deep then broken": repeat("a = x {\n{[{[{[\n"),
		"multiline text": func(n int) []byte {
			return []byte("a = x { k: \"\"\"" + strings.Repeat("\n  line \\q", 10*n) + "\"\"\" }")
		},
	} {
		t.Run(name, func(t *testing.T) {
			const few, many, limit = 1000, 30000, 300 // the square would be 900
			measure := func(src []byte) time.Duration {
				best := time.Duration(1 << 62)
				for range 3 {
					runtime.GC() // of the large file every one would have collections in it, of the small one few
					start := time.Now()
					f, ds := Parse("main.ww", src)
					if !ds.HasErrors() {
						Print(f)
					}
					best = min(best, time.Since(start))
				}
				return best
			}
			small, large := make(few), make(many)
			ratio, took := 0.0, [2]time.Duration{1 << 62, 1 << 62}
			for range 10 { // a busy machine may spoil some measurements
				took[0], took[1] = min(took[0], measure(small)), min(took[1], measure(large))
				ratio = float64(took[1]) / float64(max(took[0], 20*time.Microsecond))
				if ratio < limit {
					return
				}
			}
			t.Errorf("%d take %.1f times as long as %d", many, ratio, few)
		})
	}
}
