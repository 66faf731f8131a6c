package console_test

import (
	"encoding/json"
	"testing"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/componenttest"
	"woodwork.dev/ww/runtime/component/console"
)

func chunk(stream, payload string) bus.Message {
	return bus.Message{StreamID: stream, Payload: json.RawMessage(payload)}
}

func final(stream, payload string) bus.Message {
	return bus.Message{StreamID: stream, IsFinal: stream != "", Payload: json.RawMessage(payload)}
}

func TestConsole(t *testing.T) {
	for _, tt := range []struct {
		name, settings string
		messages       []bus.Message
		want           string
	}{
		{"text", ``, []bus.Message{final("", `"hello\nyou"`), final("", `"again"`)}, "hello\nyou\nagain\n"},
		{"json", ``, []bus.Message{final("", `{"a": [1, 2]}`)}, "{\"a\":[1,2]}\n"},
		{"terminal escapes", ``, []bus.Message{final("", `"\u001b[2J"`)}, `\u001b[2J` + "\n"},
		{"raw", `{"raw":true}`, []bus.Message{final("", `"\u001b[2J"`)}, "\x1b[2J\n"},
		{"stream", ``, []bus.Message{chunk("s", `"he"`), chunk("s", `"llo"`), final("s", `"hello"`), final("", `"next"`)}, "hello\nnext\n"},
		{"lost chunk", ``, []bus.Message{chunk("s", `"he"`), final("s", `"hello"`)}, "he\nhello\n"},
		{"no chunks", ``, []bus.Message{final("s", `"hello"`)}, "hello\n"},
		{"two streams", ``, []bus.Message{chunk("a", `"1"`), chunk("b", `"x"`), chunk("a", `"2"`), final("b", `"x"`), final("a", `"12"`)}, "1\nx\n2\n"},
		{"a line in between", ``, []bus.Message{chunk("a", `"1"`), final("", `"x"`), chunk("a", `"2"`), final("a", `"12"`)}, "1\nx\n2\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env, _ := componenttest.Env(t, "output", "console", tt.settings)
			in, err := console.Build(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			var out componenttest.Out
			chunks := 0
			for _, m := range tt.messages {
				result, err := in.Handle(t.Context(), m, &out)
				if err != nil {
					t.Fatal(err)
				}
				if m.Chunk() {
					chunks++
				} else if string(result) != string(m.Payload) {
					t.Errorf("result %s, want the payload %s", result, m.Payload)
				}
			}
			if got := env.Stdout.(*componenttest.Buffer).String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := len(out.Chunks()); got != chunks || !in.Streams {
				t.Errorf("%d of %d chunks were sent on", got, chunks)
			}
		})
	}
}

func TestManyStreamsWithoutEnd(t *testing.T) {
	env, _ := componenttest.Env(t, "output", "console", "")
	in, err := console.Build(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if _, err := in.Handle(t.Context(), chunk(string(rune('a'+i)), `"x"`), &componenttest.Out{}); err != nil {
			t.Fatal(err)
		}
	}
	// The first one was forgotten, so its answer is shown as a whole.
	before := env.Stdout.(*componenttest.Buffer).String()
	if _, err := in.Handle(t.Context(), final("a", `"x"`), &componenttest.Out{}); err != nil {
		t.Fatal(err)
	}
	if got := env.Stdout.(*componenttest.Buffer).String(); got != before+"\nx\n" {
		t.Errorf("got %q", got[len(before):])
	}
}

func TestSettings(t *testing.T) {
	env, _ := componenttest.Env(t, "output", "console", `{"raw":"yes"}`)
	if _, err := console.Build(t.Context(), env); err == nil {
		t.Error("raw: yes is taken")
	}
	var _ component.Builder = console.Build
}
