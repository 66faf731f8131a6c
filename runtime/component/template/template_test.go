package template_test

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/memory"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/componenttest"
	"woodwork.dev/ww/runtime/component/template"
)

func build(t *testing.T, settings any) (*component.Instance, error) {
	t.Helper()
	raw, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	env, _ := componenttest.Env(t, "core", "template", string(raw))
	b := memory.New(memory.Options{})
	t.Cleanup(func() { _ = b.Close() })
	env.Gather = func(ctx context.Context, key, part string, value json.RawMessage) (map[string]json.RawMessage, error) {
		return b.Gather(ctx, key, part, value, time.Minute)
	}
	return template.Build(t.Context(), env)
}

func mustBuild(t *testing.T, settings any) *component.Instance {
	t.Helper()
	in, err := build(t, settings)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestTemplate(t *testing.T) {
	const payload = `{"name":"ada","n":1000000,"big":9007199254740993,"f":1.5,"list":["a","b",3],"empty":"","o":{"k":"<v>"}}`
	for text, want := range map[string]string{
		`plain`: `plain`,
		`{{.payload.name}} {{.session}} {{.sender}}`:                             `ada s1 in`,
		`{{.payload.n}} {{.payload.big}} {{.payload.f}}`:                         `1000000 9007199254740993 1.5`,
		`{{gt .payload.n 3}}`:                                                    `true`,
		`{{.payload.name | upper | lower | title}}`:                              `Ada`,
		`{{title "hello big world"}}`:                                            `Hello Big World`,
		`[{{trim "  x "}}]`:                                                      `[x]`,
		`{{json .payload.o}}`:                                                    `{"k":"<v>"}`,
		`{{join ", " .payload.list}}`:                                            `a, b, 3`,
		`{{range split "," "x,y"}}<{{.}}>{{end}}`:                                `<x><y>`,
		`{{"a-b" | replace "-" "+"}}`:                                            `a+b`,
		`{{contains "d" .payload.name}} {{contains 3 .payload.list}}`:            `true true`,
		`{{.payload.none | default "x"}} {{.payload.empty | default "y"}}`:       `x y`,
		`{{.payload.name | default "x"}}`:                                        `ada`,
		`{{define "t"}}[{{.}}]{{end}}{{template "t" .session}}`:                  `[s1]`,
		`{{if .payload.none}}a{{else}}{{with .payload.name}}{{.}}{{end}}{{end}}`: `ada`,
		`{{len .parts}}`:                                                         `0`,
	} {
		in := mustBuild(t, map[string]any{"template": text})
		got, err := in.Handle(t.Context(), bus.Message{Payload: json.RawMessage(payload), SessionID: "s1", Sender: "in"}, nil)
		if err != nil || component.Text(got) != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestJSON(t *testing.T) {
	in := mustBuild(t, map[string]any{"template": ` {"v": {{json .payload}}} `, "format": "json"})
	got, err := in.Handle(t.Context(), bus.Message{Payload: json.RawMessage(`"a\"b"`)}, nil)
	if err != nil || string(got) != `{"v": "a\"b"}` {
		t.Errorf("got %s, %v", got, err)
	}
	in = mustBuild(t, map[string]any{"template": `{{.payload}}`, "format": "json"})
	if _, err := in.Handle(t.Context(), bus.Message{Payload: json.RawMessage(`"{"`)}, nil); !bus.IsPermanent(err) {
		t.Errorf("output that is no JSON: %v", err)
	}
}

func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		settings map[string]any
		want     string
	}{
		{map[string]any{}, `setting "template" is missing`},
		{map[string]any{"template": "a\nb\n{{.payload"}, `setting "template": line 3: unclosed action`},
		{map[string]any{"template": "\n{{now}}"}, `setting "template": line 2: function "now" not defined`},
		{map[string]any{"template": 1}, `setting "template": want a string`},
		{map[string]any{"template": "", "format": "xml"}, `setting "format": want "text" or "json"`},
		{map[string]any{"template": "", "timeout": "x"}, `setting "timeout": want a duration`},
	} {
		if _, err := build(t, tt.settings); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %s", tt.settings, err, tt.want)
		}
	}
}

func TestRunsAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"silent loop":    `{{range 1000000000000}}{{end}}`,
		"loop in a loop": `{{range 1000000}}{{range 1000000}}{{if true}}{{end}}{{end}}{{end}}`,
		"endless output": `{{range 1000000000000}}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{{end}}`,
		"recursion":      `{{define "a"}}{{template "a"}}{{template "a"}}{{end}}{{template "a"}}`,
		"grown text":     `{{replace "a" (printf "%100000d" 1) "aaaaaaaaaaaaaaaaaaaaa"}}`,
		"wrong type":     `{{index .payload 7}}`,
	} {
		in := mustBuild(t, map[string]any{"template": text, "timeout": "50ms"})
		began := time.Now()
		_, err := in.Handle(t.Context(), bus.Message{Payload: json.RawMessage(`"p"`)}, nil)
		if !bus.IsPermanent(err) {
			t.Errorf("%s: got %v, want a permanent error", name, err)
		}
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("%s took %s", name, d)
		}
	}
}

const trace = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

func part(id, sender, payload string) bus.Message {
	return bus.Message{ID: id, Sender: sender, Payload: json.RawMessage(payload), TraceParent: trace}
}

func TestJoin(t *testing.T) {
	in := mustBuild(t, map[string]any{"template": `{{.parts.a}}+{{.parts.b.x}}`, "join": []string{"a", "b"}})
	ctx := t.Context()
	if got, err := in.Handle(ctx, part("1", "a", `"A"`), nil); err != nil || got != nil {
		t.Fatalf("after one part: %s, %v", got, err)
	}
	other := part("9", "b", `{"x":"other"}`)
	other.TraceParent = strings.Replace(trace, "0123", "ffff", 1)
	if got, err := in.Handle(ctx, other, nil); err != nil || got != nil {
		t.Fatalf("a part of another request: %s, %v", got, err)
	}
	want := `"A+B"`
	for range 2 { // the second time is a redelivery
		if got, err := in.Handle(ctx, part("2", "b", `{"x":"B"}`), nil); err != nil || string(got) != want {
			t.Fatalf("after both: %s, %v", got, err)
		}
	}
	if got, err := in.Handle(ctx, part("1", "a", `"A"`), nil); err != nil || got != nil {
		t.Fatalf("a redelivered first part answers as well: %s, %v", got, err)
	}
	if _, err := in.Handle(ctx, part("3", "c", `1`), nil); !bus.IsPermanent(err) {
		t.Errorf("a stranger's part: %v", err)
	}
}

func TestJoinAtTheSameTime(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	in := mustBuild(t, map[string]any{"template": `{{range $k, $v := .parts}}{{$k}}{{end}}`, "join": names})
	var mu sync.Mutex
	results := map[string]int{}
	var wg sync.WaitGroup
	for _, name := range names {
		for range 5 {
			wg.Go(func() {
				got, err := in.Handle(t.Context(), part("id-"+name, name, `1`), nil)
				if err != nil {
					t.Error(err)
				}
				if got != nil {
					mu.Lock()
					results[name+string(got)]++
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	if len(results) != 1 {
		t.Errorf("want the answer of exactly one message, got %v", results)
	}
	for k := range maps.Keys(results) {
		if !strings.HasSuffix(k, `"abcd"`) {
			t.Errorf("got %s", k)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`{{.payload}}`, `"x"`)
	f.Add(`{{range .payload}}{{join "," .}}{{end}}`, `[["a"]]`)
	f.Add(`{{contains .payload .payload | default "x"}}`, `{"a":[1]}`)
	f.Fuzz(func(t *testing.T, text, payload string) {
		if strings.Contains(text, "printf") || !json.Valid([]byte(payload)) {
			t.Skip()
		}
		in, err := build(t, map[string]any{"template": text, "timeout": "20ms"})
		if err != nil {
			return
		}
		got, err := in.Handle(t.Context(), bus.Message{Payload: json.RawMessage(payload)}, nil)
		if err == nil && !json.Valid(got) {
			t.Errorf("result %q", got)
		}
	})
}
