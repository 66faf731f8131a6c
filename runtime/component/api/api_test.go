package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/api"
	"woodwork.dev/ww/runtime/component/componenttest"
)

// echo answers with the payload and what it knows of the message; "slow" is
// not answered until the end of the test, "fail" with an error.
func echo(ctx context.Context, m bus.Message, reply func(bus.Message)) {
	switch string(m.Payload) {
	case `"slow"`:
		<-ctx.Done()
	case `"fail"`:
		reply(bus.Message{Payload: json.RawMessage(`null`), Error: "worker: out of order"})
	case `"stream"`:
		reply(bus.Message{ID: "c0", StreamID: "s", Payload: json.RawMessage(`"one "`)})
		reply(bus.Message{ID: "c1", StreamID: "s", ChunkIndex: 1, Payload: json.RawMessage(`"two"`)})
		reply(bus.Message{ID: "f", StreamID: "s", IsFinal: true, Payload: json.RawMessage(`"one two"`)})
	default:
		reply(bus.Message{Payload: m.Payload})
	}
}

func serve(t *testing.T, settings string, change ...func(*component.Env)) *httptest.Server {
	t.Helper()
	env, _ := componenttest.Env(t, "input", "api", settings)
	componenttest.Worker(t, &env, echo)
	for _, f := range change {
		f(&env)
	}
	in, err := api.Build(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(in.Routes)
	t.Cleanup(s.Close)
	return s
}

type answer struct {
	Value   json.RawMessage `json:"value"`
	Error   string          `json:"error"`
	Session string          `json:"session_id"`
	Message string          `json:"message_id"`
}

func do(t *testing.T, method, url, contentType, accept, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestPost(t *testing.T) {
	s := serve(t, `{"max_body": 1000, "timeout": "30s"}`)
	for _, tt := range []struct {
		name, path, contentType, body string
		status                        int
		value, session, err           string
	}{
		{"envelope", "/", "application/json", `{"value": {"a":1}, "session": "s1"}`, 200, `{"a":1}`, "s1", ""},
		{"envelope without session", "/input", "application/json", ` {"value": [1]}`, 200, `[1]`, "", ""},
		{"by name", "/c/input", "application/json; charset=utf-8", `{"value": null}`, 200, `null`, "", ""},
		{"any object", "/", "application/json", `{"value":1,"more":2}`, 200, `{"value":1,"more":2}`, "", ""},
		{"any other JSON", "/", "", `"text"`, 200, `"text"`, "", ""},
		{"as curl -d sends it", "/", "application/x-www-form-urlencoded", `{"value":"x"}`, 200, `"x"`, "", ""},
		{"text", "/?session=s2", "text/plain; charset=utf-8", "say \"hi\"\n", 200, `"say \"hi\"\n"`, "s2", ""},
		{"empty text", "/", "text/plain", "", 200, `""`, "", ""},
		{"bad JSON", "/", "application/json", `{"value":`, 400, "", "", "the body is not JSON"},
		{"two values", "/", "application/json", `1 2`, 400, "", "", "the body is not JSON"},
		{"empty", "/", "application/json", ` `, 400, "", "", "the body is empty"},
		{"not UTF-8", "/", "text/plain", "\xff", 400, "", "", "the body is not UTF-8"},
		{"session is no string", "/", "", `{"value":1,"session":2}`, 400, "", "", `"session" must be a string`},
		{"session with a line break", "/", "", `{"value":1,"session":"a\nb"}`, 400, "", "", "a session is text"},
		{"too large", "/", "", `"` + strings.Repeat("x", 1000) + `"`, 413, "", "", "the body is larger than 1000 bytes"},
		{"failure", "/", "", `{"value":"fail","session":"s3"}`, 502, "", "s3", "worker: out of order"},
		{"no such path", "/else", "", `1`, 404, "", "", "no such path"},
		{"another name", "/d/input", "", `1`, 404, "", "", "no such path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := do(t, http.MethodPost, s.URL+tt.path, tt.contentType, "", tt.body)
			var a answer
			if err := json.Unmarshal([]byte(body), &a); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if res.StatusCode != tt.status || string(a.Value) != tt.value || !strings.HasPrefix(a.Error, tt.err) {
				t.Errorf("got %d %s", res.StatusCode, body)
			}
			if tt.session != "" && a.Session != tt.session {
				t.Errorf("session %q, want %q", a.Session, tt.session)
			}
			if tt.status == 200 && (a.Session == "" || a.Message == "" || a.Error != "") {
				t.Errorf("ids are missing: %s", body)
			}
			if got := res.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("content type %q", got)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	s := serve(t, ``)
	if res, body := do(t, http.MethodGet, s.URL+"/", "", "", ""); res.StatusCode != 200 || !strings.Contains(body, "usage") || strings.Count(body, "\n") != 1 {
		t.Errorf("GET /: %d %s", res.StatusCode, body)
	}
	for _, tt := range []struct{ method, path, allow string }{
		{http.MethodDelete, "/", "GET, HEAD, POST"}, {http.MethodGet, "/input", "POST"}, {http.MethodPut, "/c/input", "POST"},
	} {
		res, body := do(t, tt.method, s.URL+tt.path, "", "", "1")
		if res.StatusCode != 405 || res.Header.Get("Allow") != tt.allow || !strings.Contains(body, `"error"`) {
			t.Errorf("%s %s: %d %v %s", tt.method, tt.path, res.StatusCode, res.Header, body)
		}
	}
}

// TestSlowBody: whoever is cut off for a body that doesn't come learns why.
func TestSlowBody(t *testing.T) {
	status, said := 0, make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now()); err != nil {
			t.Error(err)
		}
		var err error
		_, status, err = api.Read(w, r, 1<<10)
		said <- err
	}))
	defer s.Close()
	body, never := io.Pipe()
	defer func() { _ = never.Close() }()
	go func() {
		res, err := http.Post(s.URL, "application/json", body)
		if err == nil {
			_ = res.Body.Close()
		}
	}()
	if err := <-said; status != http.StatusRequestTimeout || err == nil || !strings.Contains(err.Error(), "took too long") {
		t.Errorf("%d %v", status, err)
	}
}

// TestLargeBody: one that is too large is refused before any of it is sent.
func TestLargeBody(t *testing.T) {
	s := serve(t, `{"max_body": 1024}`)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 413 ") || !strings.Contains(string(answer), "larger than 1024 bytes") {
		t.Errorf("%s %v", answer, err)
	}
}

func TestTimeout(t *testing.T) {
	s := serve(t, `{"timeout":"50ms"}`)
	res, body := do(t, http.MethodPost, s.URL, "", "", `"slow"`)
	if res.StatusCode != 504 || !strings.Contains(body, `"error":"no answer within 50ms"`) || !strings.Contains(body, "message_id") {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
	res, body = do(t, http.MethodPost, s.URL, "", "text/event-stream", `"slow"`)
	if res.StatusCode != 200 || !strings.HasPrefix(body, "event: error\ndata: {\"error\":\"no answer within 50ms\"") {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		says   string
	}{
		{component.ErrDraining, 503, component.ErrDraining.Error()},
		{bus.ErrStopped, 503, component.ErrDraining.Error()},
		{bus.ErrTooLarge, 413, bus.ErrTooLarge.Error()},
		{errors.New("dial tcp 10.1.2.3:6379: connect: connection refused"), 503, "can't be delivered now: try again later"},
		{fmt.Errorf("%w: that of \"x\" on 10.1.2.3", bus.ErrFull), 503, "too many messages wait already: try again later"},
	} {
		s := serve(t, ``, func(env *component.Env) {
			env.Ask = func(context.Context, component.Submission) (bus.Replies, error) { return nil, tt.err }
		})
		res, body := do(t, http.MethodPost, s.URL, "", "text/event-stream", `1`)
		if res.StatusCode != tt.status || !strings.Contains(body, tt.says) || strings.Contains(body, "10.1.2.3") {
			t.Errorf("%v: %d %s", tt.err, res.StatusCode, body)
		}
		if retry := res.Header.Get("Retry-After"); (retry != "") != (tt.status == 503) {
			t.Errorf("%v: Retry-After %q", tt.err, retry)
		}
	}
}

// What the bus doesn't take in time isn't an answer that doesn't come.
func TestUndelivered(t *testing.T) {
	log := &componenttest.Buffer{}
	s := serve(t, `{"timeout":"50ms"}`, func(env *component.Env) {
		env.Log = slog.New(slog.NewJSONHandler(log, nil))
		env.Ask = func(ctx context.Context, _ component.Submission) (bus.Replies, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("publish: dial tcp 10.1.2.3:6379: connection refused: %w", ctx.Err())
		}
	})
	res, body := do(t, http.MethodPost, s.URL, "", "", `1`)
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(body, `"error":"the message can't be delivered now: try again later"`) {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
	if !strings.Contains(log.String(), "10.1.2.3:6379") {
		t.Errorf("the log doesn't say why: %s", log)
	}
}

func TestEvents(t *testing.T) {
	s := serve(t, ``)
	res, body := do(t, http.MethodPost, s.URL, "", "application/json;q=0.1, text/event-stream", `{"value":"stream","session":"s"}`)
	events := strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n")
	if res.Header.Get("Content-Type") != "text/event-stream" || len(events) != 3 ||
		events[0] != "event: chunk\ndata: {\"value\":\"one \"}" || events[1] != "event: chunk\ndata: {\"value\":\"two\"}" ||
		!strings.HasPrefix(events[2], "event: answer\ndata: {\"value\":\"one two\",\"session_id\":\"s\",\"message_id\":\"") {
		t.Errorf("got %v\n%s", res.Header, body)
	}
	if _, body = do(t, http.MethodPost, s.URL, "", "text/event-stream", `"fail"`); !strings.HasPrefix(body, "event: error\ndata: {\"error\":\"worker: out of order\"") {
		t.Errorf("got %s", body)
	}
	if _, body = do(t, http.MethodPost, s.URL, "", "", `"stream"`); !strings.HasPrefix(body, `{"value":"one two"`) {
		t.Errorf("without events: %s", body)
	}
}

func TestClientLeaves(t *testing.T) {
	left := make(chan struct{})
	s := serve(t, ``, func(env *component.Env) {
		ask := env.Ask
		env.Ask = func(ctx context.Context, in component.Submission) (bus.Replies, error) {
			context.AfterFunc(ctx, func() { close(left) })
			return ask(ctx, in)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader(`"slow"`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-left
	_ = res.Body.Close()
}

func TestSettings(t *testing.T) {
	for settings, want := range map[string]string{
		`{}`:                     `setting "to" is missing`,
		`{"timeout":"never"}`:    `setting "timeout": want a duration`,
		`{"max_body":0}`:         `setting "max_body": want 1 to`,
		`{"max_body":999999999}`: `setting "max_body": want 1 to`,
	} {
		env, _ := componenttest.Env(t, "input", "api", settings)
		if _, err := api.Build(t.Context(), env); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", settings, err)
		}
	}
}

func FuzzPost(f *testing.F) {
	f.Add(`{"value":1,"session":"s"}`, "application/json", "s")
	f.Add("text", "text/plain; charset=x", "\x00")
	f.Fuzz(func(t *testing.T, body, contentType, session string) {
		env, _ := componenttest.Env(t, "input", "api", ``)
		env.Config.To = []string{"worker"}
		env.Ask = func(_ context.Context, in component.Submission) (bus.Replies, error) {
			if !json.Valid(in.Payload) || in.Session == "" || in.ID == "" {
				t.Errorf("submitted %+v", in)
			}
			return nil, component.ErrDraining
		}
		in, err := api.Build(t.Context(), env)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/input", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.URL.RawQuery = "session=" + session
		w := httptest.NewRecorder()
		in.Routes.ServeHTTP(w, r)
		if w.Code != 400 && w.Code != 503 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
