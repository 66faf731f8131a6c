package openai_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/componenttest"
	"woodwork.dev/ww/runtime/component/openai"
)

// TestNewerModels: OpenAI itself knows the limit by another name.
func TestNewerModels(t *testing.T) {
	var asked string
	env, _ := componenttest.Env(t, "llm", "openai", `{"model":"m","api_key":{"$secret":"KEY"},"max_tokens":7}`)
	env.Transport = outside(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		asked = r.URL.String() + " " + string(body)
		return nil, errors.Join(err, bus.RetryAfter(time.Minute, errors.New("the host is not called until noon")))
	})
	in, err := openai.Build(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = say(t, in, "s", "x")
	if err == nil || bus.IsPermanent(err) || err.Error() != "ask the model at https://api.openai.com/v1: the host is not called until noon" {
		t.Errorf("got %v", err)
	}
	if d, ok := bus.RetryDelay(err); d != time.Minute || !ok {
		t.Errorf("the message comes again after %s, %v", d, ok)
	}
	if want := `https://api.openai.com/v1/chat/completions {"model":"m","messages":[{"role":"user","content":"x"}],"stream":true,"max_completion_tokens":7}`; asked != want {
		t.Errorf("asked %s", asked)
	}
}

type outside func(*http.Request) (*http.Response, error)

func (f outside) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// request is what the model server was asked.
type request struct {
	Model       string
	Stream      bool
	Temperature *float64
	MaxTokens   *int `json:"max_tokens"`
	Messages    []struct{ Role, Content string }
	header      http.Header
	path        string
}

func (r request) said() string {
	var b strings.Builder
	for _, m := range r.Messages {
		fmt.Fprintf(&b, "%s:%s|", m.Role, m.Content)
	}
	return b.String()
}

// server speaks the protocol of streamed chat completions.
type server struct {
	mu       sync.Mutex
	requests []request
	url      string
}

// newServer answers with the pieces of the last thing said, split at blanks,
// or does what it says.
func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := request{header: r.Header, path: r.URL.Path}
		body, err := io.ReadAll(r.Body)
		if err := errors.Join(err, json.Unmarshal(body, &req)); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.requests = append(s.requests, req)
		s.mu.Unlock()
		s.answer(w, r, req.Messages[len(req.Messages)-1].Content)
	}))
	t.Cleanup(h.Close)
	s.url = h.URL + "/v1"
	return s
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, said string) {
	status := 0
	if n, _ := fmt.Sscanf(said, "status %d", &status); n == 1 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":{"message":"you said %s with topsecret","type":"t","code":"c"}}`, said)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	event := func(format string, args ...any) {
		_, _ = fmt.Fprintf(w, "data: "+format+"\n\n", args...)
		w.(http.Flusher).Flush()
	}
	const delta = `{"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}`
	_, _ = io.WriteString(w, ": a comment\n\nevent: message\n")
	event(`{"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"error":null}`)
	switch said {
	case "break off":
		event(delta, "half an ")
		return
	case "error in between":
		event(delta, "half an ")
		event(`{"error":{"message":"overloaded, topsecret"}}`)
		return
	case "error in a word":
		event(`{"error":"no memory"}`)
		return
	case "nonsense":
		event(`{"choices":`)
		return
	case "hang":
		event(delta, "half an ")
		<-r.Context().Done()
		return
	}
	for _, piece := range strings.SplitAfter(said, " ") {
		event(delta, piece)
	}
	event(`{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`)
	event(`{"id":"x","choices":[],"usage":{"total_tokens":3}}`)
	event(`[DONE]`)
}

func (s *server) last() request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[len(s.requests)-1]
}

func build(t *testing.T, settings string) (*component.Instance, error) {
	t.Helper()
	env, _ := componenttest.Env(t, "llm", "openai", settings)
	return openai.Build(t.Context(), env)
}

func say(t *testing.T, in *component.Instance, session, text string) (string, []string, error) {
	t.Helper()
	var out componenttest.Out
	got, err := in.Handle(t.Context(), bus.Message{SessionID: session, Payload: component.JSONString(text)}, &out)
	return component.Text(got), out.Chunks(), err
}

func TestAnswer(t *testing.T) {
	for name, value := range map[string]string{"OPENAI_API_KEY": "foreign", "OPENAI_BASE_URL": "http://127.0.0.1:1",
		"OPENAI_ORG_ID": "foreign", "OPENAI_PROJECT_ID": "foreign", "OPENAI_CUSTOM_HEADERS": "X-Foreign: foreign"} {
		t.Setenv(name, value)
	}
	s := newServer(t)
	in, err := build(t, `{"model":"m1","api_key":{"$secret":"KEY"},"base_url":"`+s.url+`/","system":"be brief","temperature":0,"max_tokens":7}`)
	if err != nil {
		t.Fatal(err)
	}
	got, chunks, err := say(t, in, "s", "hello big world")
	if err != nil || got != "hello big world" || chunks[0] != `"hello "` || strings.ReplaceAll(strings.Join(chunks, ""), `""`, "") != `"hello big world"` {
		t.Errorf("got %q, %q, %v", got, chunks, err)
	}
	r := s.last()
	if r.path != "/v1/chat/completions" || r.Model != "m1" || !r.Stream || *r.Temperature != 0 || *r.MaxTokens != 7 ||
		r.said() != "system:be brief|user:hello big world|" || r.header.Get("Authorization") != "Bearer topsecret" {
		t.Errorf("asked %+v", r)
	}
	if text := fmt.Sprint(r.header); strings.Contains(text, "foreign") {
		t.Errorf("the environment of the process is in the request: %s", text)
	}
	if _, err := in.Handle(t.Context(), bus.Message{SessionID: "j", Payload: json.RawMessage(`{"a": 1}`)}, &componenttest.Out{}); err != nil {
		t.Fatal(err)
	}
	if got := s.last().said(); got != `system:be brief|user:{"a":1}|` {
		t.Errorf("said %s", got)
	}
}

func TestHistory(t *testing.T) {
	s := newServer(t)
	in, err := build(t, `{"model":"m","base_url":"`+s.url+`","history":4}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ session, text, want string }{
		{"a", "1", "user:1|"},
		{"b", "x", "user:x|"},
		{"a", "2", "user:1|assistant:1|user:2|"},
		{"a", "status 500", "user:1|assistant:1|user:2|assistant:2|user:status 500|"},
		{"a", "3", "user:1|assistant:1|user:2|assistant:2|user:3|"},
		{"a", "4", "user:2|assistant:2|user:3|assistant:3|user:4|"},
		{"b", "y", "user:x|assistant:x|user:y|"},
	} {
		_, _, err := say(t, in, tt.session, tt.text)
		if failed := strings.HasPrefix(tt.text, "status"); (err != nil) != failed {
			t.Fatal(err)
		}
		if got := s.last().said(); got != tt.want {
			t.Errorf("%s: said %s, want %s", tt.text, got, tt.want)
		}
	}
	if in, err = build(t, `{"model":"m","base_url":"`+s.url+`","history":0}`); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := say(t, in, "a", "1"); err != nil || s.last().said() != "user:1|" {
			t.Errorf("without history: %s, %v", s.last().said(), err)
		}
	}
}

func TestForgetsOldSessions(t *testing.T) {
	s := newServer(t)
	in, err := build(t, `{"model":"m","base_url":"`+s.url+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1001 {
		session := fmt.Sprint(i)
		if i == 1000 {
			// The first session is used again, so the second is the oldest.
			if _, _, err := say(t, in, "0", "again"); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := say(t, in, session, session); err != nil {
			t.Fatal(err)
		}
	}
	for session, want := range map[string]string{"0": "user:0|assistant:0|user:again|assistant:again|user:x|", "1": "user:x|"} {
		if _, _, err := say(t, in, session, "x"); err != nil || s.last().said() != want {
			t.Errorf("session %s: %s, %v", session, s.last().said(), err)
		}
	}
}

func TestErrors(t *testing.T) {
	s := newServer(t)
	in, err := build(t, `{"model":"m","api_key":{"$secret":"KEY"},"base_url":"`+s.url+`","timeout":"1s"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text      string
		permanent bool
		want      string
	}{
		{"status 400", true, "the model API answered 400 Bad Request: you said status 400 with [redacted]"},
		{"status 401", true, `the model API answered 401 Unauthorized: check the setting "api_key" and what it may do`},
		{"status 403", true, `the model API answered 403 Forbidden: check the setting "api_key"`},
		{"status 404", true, `the model API answered 404 Not Found: check the settings "model" (m) and "base_url" (` + s.url + `)`},
		{"status 408", false, "the model API answered 408"},
		{"status 429", false, "the model API answered 429 Too Many Requests"},
		{"status 500", false, "the model API answered 500"},
		{"status 503", false, "the model API answered 503"},
		{"break off", false, "the model's answer broke off"},
		{"error in between", false, "overloaded, [redacted]"},
		{"error in a word", false, "the model API broke off: no memory"},
		{"nonsense", false, "an event of the model's answer is not JSON"},
		{"hang", false, "the model gave no answer within 1s"},
	} {
		before := len(s.requests)
		_, _, err := say(t, in, "s", tt.text)
		if err == nil || bus.IsPermanent(err) != tt.permanent || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: got %v", tt.text, err)
		}
		if n := len(s.requests) - before; n != 1 {
			t.Errorf("%s: %d requests, want 1: the bus tries again", tt.text, n)
		}
	}
}

func TestUnreachable(t *testing.T) {
	h := httptest.NewServer(http.NotFoundHandler())
	h.Close()
	in, err := build(t, `{"model":"m","base_url":"`+h.URL+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := say(t, in, "s", "x"); err == nil || bus.IsPermanent(err) || !strings.Contains(err.Error(), h.URL) {
		t.Errorf("got %v", err)
	}
}

type refusing struct{}

func (refusing) Chunk(context.Context, json.RawMessage) error { return io.ErrClosedPipe }

func TestChunkThatCannotBeSent(t *testing.T) {
	s := newServer(t)
	in, err := build(t, `{"model":"m","base_url":"`+s.url+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Handle(t.Context(), bus.Message{Payload: json.RawMessage(`"a b"`)}, refusing{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

func TestSettings(t *testing.T) {
	for settings, want := range map[string]string{
		`{"api_key":"k"}`: `setting "model" is missing`,
		`{"model":"m"}`:   `setting "api_key" is missing`,
		`{"model":"m","api_key":{"$secret":"NONE"}}`:   `setting "api_key": secret NONE`,
		`{"model":"m","base_url":"localhost:1"}`:       `setting "base_url": want a URL`,
		`{"model":"m","api_key":"k","history":-1}`:     `setting "history"`,
		`{"model":"m","api_key":"k","max_tokens":0}`:   `setting "max_tokens"`,
		`{"model":"m","api_key":"k","temperature":""}`: `setting "temperature": want a number`,
		`{"model":3}`: `setting "model": want a string, got a number`,
	} {
		if _, err := build(t, settings); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", settings, err)
		}
	}
}
