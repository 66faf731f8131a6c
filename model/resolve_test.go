package model

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/syntax"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// resolve parses and resolves one source, which must parse.
func resolve(t testing.TB, src string) (*Project, syntax.Diagnostics) {
	t.Helper()
	f, diags := syntax.Parse("main.ww", []byte(src))
	if diags.HasErrors() {
		t.Fatalf("the source doesn't parse: %v", diags)
	}
	return Resolve(f)
}

func TestCorpusResolves(t *testing.T) {
	files, err := filepath.Glob("../syntax/testdata/corpus/*/*.ww")
	if err != nil || len(files) < 9 {
		t.Fatalf("the corpus isn't there: %v, %v", files, err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, diags := syntax.Parse(name, src)
		p, more := Resolve(f)
		if all := append(diags, more...); all.HasErrors() {
			t.Errorf("%s: %v", name, all)
		}
		if got, want := len(p.Order()), len(p.Components); got != want {
			t.Errorf("%s: %d of %d components are in order", name, got, want)
		}
	}
}

// TestDiagnostics compares what is said of each file in testdata/bad with the
// text beside it.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.ww")
	if err != nil || len(files) == 0 {
		t.Fatal("no test files")
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f, diags := syntax.Parse(filepath.Base(name), src)
			_, more := Resolve(f)
			var got bytes.Buffer
			if err := syntax.Render(&got, append(diags, more...), map[string][]byte{f.Name: src}, false); err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(name, ".ww") + ".txt"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
			}
		})
	}
}

func TestStrict(t *testing.T) {
	_, diags := resolve(t, "a = llm openai {\n  model: \"m\"\n  modle: \"m\"\n}\nb = lllm openai {}\n")
	if diags.HasErrors() || len(diags) != 2 {
		t.Fatalf("two warnings are wanted, got %v", diags)
	}
	if got := Strict(diags); !got.HasErrors() || diags.HasErrors() {
		t.Errorf("strict: %v, and the original: %v", got, diags)
	}
}

func TestDeployments(t *testing.T) {
	p, diags := resolve(t, `
deployment = local {}
edge = server { components: [in]  port: 80 }
box = docker { components = { b = { environment = { X = "1" } }  own = { image = "x" } } }
in = input api { to: [b, c] }
b = output console {}
c = output console {}
`)
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	for name, want := range map[string]string{"in": "edge", "b": "box", "own": "box", "c": "deployment"} {
		if got := p.Component(name).Deployment; got == nil || got.Name != want {
			t.Errorf("%s is in %v, want %s", name, got, want)
		}
	}
	if p.Component("own").Kind != "container" || p.Component("b").Override == nil {
		t.Error("the containers of the docker deployment aren't taken up")
	}
}

func TestBus(t *testing.T) {
	for src, want := range map[string]string{
		"message_bus = redis {}":                              "redis <nil>",
		"d = docker { message_bus = redis { } }":              "redis <nil>",
		`d = server { message_bus = "redis://h:1" }`:          "redis redis://h:1",
		`d = server { message_bus = "nats://h:1" }`:           "nats nats://h:1",
		"d = local { message_bus = redis { url = $R } }":      "redis ${R}",
		"d = local { message_bus = redis { redis_url: $R } }": "redis ${R}",
		"d = local { message_bus = memory {} }":               "memory <nil>",
	} {
		p, diags := resolve(t, src)
		if diags.HasErrors() || p.Bus == nil {
			t.Errorf("%s: %v", src, diags)
			continue
		}
		if got := fmt.Sprint(p.Bus.Kind, " ", p.Bus.URL); got != want {
			t.Errorf("%s: got %s, want %s", src, got, want)
		}
	}
}

func TestOrderOfPipeline(t *testing.T) {
	p, diags := resolve(t, `
in = input api { to: [a, b] }
a = core template { template: "x"  to: join }
b = core template { template: "x"  to: join }
join = core template { template: "x"  join: [a, b]  to: out }
out = output console {}
`)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for name, want := range map[string][]string{
		"in": {"a", "b"}, "a": nil, "b": nil, "join": {"a", "b", "out"}, "out": nil,
	} {
		if got := p.DependsOn(name); !slices.Equal(got, want) {
			t.Errorf("%s depends on %v, want %v", name, got, want)
		}
	}
}

// TestDependenciesAreOrdered holds for any graph: what a component waits for
// comes before it, every reference is kept, and so is every route that makes
// no circle with what is kept already.
func TestDependenciesAreOrdered(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		n := 1 + rnd.IntN(12)
		var src strings.Builder
		acyclic := true
		for i := range n {
			var to, tools []string
			for j := range n {
				if rnd.IntN(4) == 0 && i != j {
					to = append(to, fmt.Sprintf("c%d", j))
					acyclic = acyclic && j > i
				}
				if j > i && rnd.IntN(5) == 0 {
					tools = append(tools, fmt.Sprintf("c%d", j))
				}
			}
			fmt.Fprintf(&src, "c%d = agent llm { to: [%s]  tools: [%s] }\n", i, strings.Join(to, ", "), strings.Join(tools, ", "))
		}
		p, diags := resolve(t, src.String())
		if diags.HasErrors() {
			t.Fatalf("%s%v", src.String(), diags)
		}
		place := map[string]int{}
		for i, name := range p.Order() {
			place[name] = i
		}
		if len(place) != n {
			t.Fatalf("%s%d of %d are in order", src.String(), len(place), n)
		}
		for _, c := range p.Components {
			deps := p.DependsOn(c.Name)
			for _, d := range deps {
				if place[d] >= place[c.Name] {
					t.Fatalf("%s%s depends on %s, which comes later", src.String(), c.Name, d)
				}
			}
			for _, need := range c.Needs {
				if !slices.Contains(deps, need) {
					t.Fatalf("%s%s doesn't wait for %s, which it refers to", src.String(), c.Name, need)
				}
			}
			for _, to := range c.To {
				if !slices.Contains(deps, to) && (acyclic || place[to] < place[c.Name]) {
					t.Fatalf("%s%s doesn't wait for its receiver %s", src.String(), c.Name, to)
				}
			}
		}
	}
}

func system(n int) []byte {
	var b bytes.Buffer
	b.WriteString("out = output console {}\n")
	for i := range n {
		next := "out"
		if i > 0 {
			next = fmt.Sprintf("c%d", i-1)
		}
		fmt.Fprintf(&b, "c%d = core template {\n    template: \"hello {{ .payload }}\"\n    concurrency: 4\n    resources: { memory: 64m }\n    to: %s\n}\n\n", i, next)
	}
	return b.Bytes()
}

func parseAndResolve(tb testing.TB, src []byte) time.Duration {
	tb.Helper()
	begin := time.Now()
	f, diags := syntax.Parse("main.ww", src)
	_, more := Resolve(f)
	if len(diags)+len(more) > 0 {
		tb.Fatal(append(diags, more...)[0])
	}
	return time.Since(begin)
}

// TestGrowsLinearly compares the best of several runs of one size with ten
// times as much: quadratic growth would make it a hundredfold.
func TestGrowsLinearly(t *testing.T) {
	best := func(n int) time.Duration {
		src := system(n)
		d := time.Hour
		for range 5 {
			d = min(d, parseAndResolve(t, src))
		}
		return d
	}
	small, large := best(1000), best(10000)
	if ratio := float64(large) / float64(small); ratio > 30 {
		t.Errorf("10,000 components take %.0f times as long as 1,000 (%v, %v)", ratio, large, small)
	}
}

func BenchmarkResolve(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			src := system(n)
			for b.Loop() {
				parseAndResolve(b, src)
			}
		})
	}
}
