package component_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/componenttest"
)

type all struct {
	Text  string             `json:"text"`
	Count int                `json:"count"`
	Ratio *float64           `json:"ratio"`
	On    bool               `json:"on"`
	Wait  component.Duration `json:"wait"`
	Names component.Strings  `json:"names"`
	Map   map[string]string  `json:"map"`
}

func TestDecode(t *testing.T) {
	env, logged := componenttest.Env(t, "core", "x", `{"text":{"$secret":"KEY"},"count":3,"ratio":0.5,"on":true,
		"wait":"1m30s","names":"one","map":{"a":{"$secret":"NONE","default":"d"}},"later":1}`)
	var got all
	if err := env.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Text != "topsecret" || got.Count != 3 || *got.Ratio != 0.5 || !got.On || time.Duration(got.Wait) != 90*time.Second ||
		len(got.Names) != 1 || got.Map["a"] != "d" {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(logged.String(), "setting=later") {
		t.Errorf("the unknown setting is not in the log: %s", logged)
	}
}

func TestDecodeKeepsDefaults(t *testing.T) {
	for _, settings := range []string{``, `null`, `{}`, `{"text":null}`} {
		env, _ := componenttest.Env(t, "core", "x", settings)
		got := all{Text: "before"}
		if err := env.Decode(&got); err != nil || got.Text != "before" {
			t.Errorf("%s: %+v, %v", settings, got, err)
		}
	}
}

func TestDecodeNamesTheSetting(t *testing.T) {
	for _, tt := range []struct{ settings, want string }{
		{`{"text":12345}`, `setting "text": want a string, got a number`},
		{`{"text":["topsecret"]}`, `setting "text": want a string, got an array`},
		{`{"count":"topsecret"}`, `setting "count": want a whole number, got a string`},
		{`{"count":1.5}`, `setting "count": want a whole number, got a number`},
		{`{"ratio":true}`, `setting "ratio": want a number, got a boolean`},
		{`{"on":"yes"}`, `setting "on": want true or false, got a string`},
		{`{"wait":"soon"}`, `setting "wait": want a duration of more than zero such as "60s" or "1m30s", got a string`},
		{`{"wait":-1}`, `setting "wait": want a duration of more than zero such as "60s" or "1m30s", got a number`},
		{`{"names":[1]}`, `setting "names": want a string or an array of strings, got an array`},
		{`{"map":7}`, `setting "map": want an object, got a number`},
		{`{"text":{"$secret":"NONE"}}`, `setting "text": secret NONE: not here: file does not exist`},
		{`{"text":{"$secret":"NONE","else":1}}`, `setting "text": a secret is written {"$secret":"NAME"} or {"$secret":"NAME","default":"text"}`},
		{`[1]`, `settings: want a JSON object`},
	} {
		env, _ := componenttest.Env(t, "core", "x", tt.settings)
		err := env.Decode(&all{})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s:\n got %v\nwant %s", tt.settings, err, tt.want)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "KEY"), []byte(" value \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := component.NewSecrets(component.SecretFiles(dir))
	if v, err := s.Lookup("KEY"); err != nil || v != " value " {
		t.Errorf("got %q, %v", v, err)
	}
	_, err := s.Lookup("NONE")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "NONE") || !strings.Contains(err.Error(), dir) {
		t.Errorf("a missing secret: %v", err)
	}
	for _, name := range []string{"", "..", "../KEY", "/etc/passwd", "a b"} {
		if _, err := s.Lookup(name); err == nil {
			t.Errorf("%q is looked up", name)
		}
	}
	got, err := s.Resolve(json.RawMessage(`{"a":[{"$secret":"KEY"},{"$secret":"NONE","default":""}],"n":12345678901234567890}`))
	if want := `{"a":[" value ",""],"n":12345678901234567890}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestRedaction(t *testing.T) {
	const secret = `s3cr3t/"quoted"&more`
	s := component.NewSecrets(func(name string) (string, error) {
		if name == "SHORT" {
			return "ab", nil
		}
		return secret, nil
	})
	for _, name := range []string{"LONG", "SHORT"} {
		if _, err := s.Lookup(name); err != nil {
			t.Fatal(err)
		}
	}
	escaped, _ := json.Marshal(secret)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var b bytes.Buffer
		log := slog.New(s.Handler(handler(&b)))
		log.With("with", secret).WithGroup("g").Info("message "+secret, "string", "x"+secret,
			"error", fmt.Errorf("wrapped: %w", errors.New(secret)), "bytes", []byte(secret),
			"group", slog.GroupValue(slog.String("in", secret)), "struct", struct{ Key string }{secret},
			"map", map[string]any{"a": []string{secret}}, "raw", json.RawMessage(`{"a":`+string(escaped)+`}`),
			"short", "ab", "word", "about", "count", 7)
		out := b.String()
		if strings.Contains(out, "s3cr3t") || strings.Contains(out, "quoted") {
			t.Errorf("%s: the secret is in the log: %s", name, out)
		}
		if strings.Count(out, "[redacted]") != 10 || !strings.Contains(out, "about") || !strings.Contains(out, "7") {
			t.Errorf("%s: got %s", name, out)
		}
	}
	cause := errors.New("refused " + secret)
	err := s.RedactError(bus.Permanent(cause))
	if strings.Contains(err.Error(), "s3cr3t") || !errors.Is(err, cause) || !bus.IsPermanent(err) {
		t.Errorf("error: %v", err)
	}
	if s.RedactError(nil) != nil {
		t.Error("no error became one")
	}
}

func TestText(t *testing.T) {
	for payload, want := range map[string]string{
		`"a\nb"`: "a\nb", `{"a": [1, 2]}`: `{"a":[1,2]}`, `null`: "", ``: "", `12`: "12", `"é<"`: "é<",
	} {
		if got := component.Text(json.RawMessage(payload)); got != want {
			t.Errorf("%s: got %q", payload, got)
		}
	}
	if got := string(component.JSONString("<a>\n\"")); got != `"<a>\n\""` {
		t.Errorf("got %s", got)
	}
	for text, want := range map[string]string{
		"plain\tand\nlines\r\n": "plain\tand\nlines\n", "\x1b[31mred": `\u001b[31mred`, "a\rb": `a\u000db`,
		"\u009b": `\u009b`, "a\u202eb": `a\u202eb`, "héllo → 😀": "héllo → 😀",
	} {
		if got := component.Harmless(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzResolve(f *testing.F) {
	f.Add([]byte(`{"a":{"$secret":"KEY"}}`))
	f.Add([]byte(`{"a":{"$secret":"KEY","default":"x"},"b":["$",1e400]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		out, err := component.Resolve(raw, func(string) (string, error) { return "v", nil })
		if err == nil && json.Valid(raw) && !json.Valid(out) {
			t.Errorf("%q became %q", raw, out)
		}
	})
}
