// Package api is the input that takes work over HTTP: it puts the body of a
// POST into the system and answers with what comes back.
//
// POST /, /input and /NAME/input take
//
//	{"value": PAYLOAD, "session": "ID"}  the session may be absent
//	any other JSON                       which is the payload itself
//	text/plain                           the payload is a JSON string
//
// with ?session=ID as another way to name the session. The answer is
// {"value","session_id","message_id"}; with "Accept: text/event-stream" it is
// a stream of the events chunk ({"value"}), and answer or error. Status codes:
// 400 a body that is none of these, 408 one that doesn't come, 413 one that is too large, 502 the answer
// is an error, 503 shutting down, not ready, or the message could not be
// delivered now, 504 no answer in time. How the bus failed is in the log only.
//
// Settings:
//
//	timeout   how long to wait for the whole answer (default "60s")
//	max_body  the largest body in bytes (default 1048576)
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

const maxSession = 256

// Build makes an api.
func Build(_ context.Context, env component.Env) (*component.Instance, error) {
	s := struct {
		Timeout component.Duration `json:"timeout"`
		MaxBody int64              `json:"max_body"`
	}{component.Duration(time.Minute), 1 << 20}
	if err := env.Decode(&s); err != nil {
		return nil, err
	}
	if s.MaxBody <= 0 || s.MaxBody > bus.MaxMessageBytes {
		return nil, fmt.Errorf(`setting "max_body": want 1 to %d bytes`, bus.MaxMessageBytes)
	}
	if len(env.Config.To) == 0 && len(env.Config.Topics) == 0 {
		return nil, errors.New(`setting "to" is missing: name the component that gets the input, such as to: [agent]`)
	}
	return &component.Instance{Routes: &server{
		name: env.Config.Name, timeout: time.Duration(s.Timeout), maxBody: s.MaxBody, ask: env.Ask, log: env.Log,
	}}, nil
}

type server struct {
	name    string
	timeout time.Duration
	maxBody int64
	ask     func(context.Context, component.Submission) (bus.Replies, error)
	log     *slog.Logger
}

// answer is the body of every response.
type answer struct {
	Value   json.RawMessage `json:"value,omitempty"`
	Error   string          `json:"error,omitempty"`
	Session string          `json:"session_id,omitempty"`
	Message string          `json:"message_id,omitempty"`
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	allow := http.MethodPost
	switch r.URL.Path {
	case "/":
		allow = "GET, HEAD, POST"
	case "/input", "/" + s.name + "/input":
	default:
		reply(w, http.StatusNotFound, answer{Error: "no such path: POST to /, /input or /" + s.name + "/input"})
		return
	}
	switch {
	case r.Method == http.MethodPost:
		s.post(w, r)
	case strings.Contains(allow, r.Method):
		writeJSON(w, http.StatusOK, map[string]string{
			"usage": `POST / with {"value": …, "session": "optional"}, other JSON or text/plain; Accept: text/event-stream streams the answer`,
		})
	default:
		w.Header().Set("Allow", allow)
		reply(w, http.StatusMethodNotAllowed, answer{Error: "method " + r.Method + " is not allowed here: use " + allow})
	}
}

func (s *server) post(w http.ResponseWriter, r *http.Request) {
	in, status, err := Read(w, r, s.maxBody)
	if err != nil {
		reply(w, status, answer{Error: err.Error()})
		return
	}
	// From here on the time that counts is that of the answer.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Now().Add(s.timeout + 10*time.Second))
	ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
	defer cancel()
	replies, err := s.deliver(ctx, in)
	if err != nil {
		s.fail(w, ctx, in, err)
		return
	}
	defer func() {
		if err := replies.Close(); err != nil {
			s.log.Warn("close a request", "error", err, "message_id", in.ID)
		}
	}()
	if wantsStream(r) {
		s.stream(ctx, w, in, replies)
		return
	}
	for {
		m, err := replies.Next(ctx)
		if err != nil {
			s.fail(w, ctx, in, err)
			return
		}
		if !m.Chunk() {
			reply(w, statusOf(m), toAnswer(m, in))
			return
		}
	}
}

// errUndelivered is that of a message that the bus didn't take in time.
var errUndelivered = errors.New("the message can't be delivered now: try again later")

// deliver puts the submission on the bus. It waits for a bus that is away, or
// for room in a queue, but not as long as for an answer.
func (s *server) deliver(ctx context.Context, in component.Submission) (bus.Replies, error) {
	within, cancel := context.WithTimeout(ctx, min(s.timeout, bus.DefaultPublishWait))
	defer cancel()
	replies, err := s.ask(within, in)
	if err == nil || within.Err() == nil {
		return replies, err
	}
	return replies, fmt.Errorf("%w: %w", errUndelivered, err)
}

// Read returns the submission that the request holds, or the status that says
// what is wrong with it: its body may have so many bytes.
func Read(w http.ResponseWriter, r *http.Request, maxBody int64) (component.Submission, int, error) {
	in := component.Submission{ID: bus.NewID(), Session: r.URL.Query().Get("session")}
	if r.ContentLength > maxBody {
		// None of it is read: who waits for a 100 Continue need not send it.
		w.Header().Set("Connection", "close")
		return in, http.StatusRequestEntityTooLarge, tooLarge(maxBody)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return in, http.StatusRequestEntityTooLarge, tooLarge(maxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return in, http.StatusRequestTimeout, errors.New("the body took too long to come")
	case err != nil:
		return in, http.StatusBadRequest, errors.New("the body ended early")
	}
	if in.Payload, err = payload(body, r.Header.Get("Content-Type"), &in.Session); err != nil {
		return in, http.StatusBadRequest, err
	}
	if len(in.Session) > maxSession || strings.ContainsFunc(in.Session, unicode.IsControl) || !utf8.ValidString(in.Session) {
		return in, http.StatusBadRequest, fmt.Errorf("a session is text of at most %d bytes without control characters", maxSession)
	}
	if in.Session == "" {
		in.Session = bus.NewID()
	}
	return in, 0, nil
}

func tooLarge(maxBody int64) error { return fmt.Errorf("the body is larger than %d bytes", maxBody) }

// payload takes the payload out of a body, and the session where it names one.
func payload(body []byte, contentType string, session *string) (json.RawMessage, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not UTF-8")
	}
	if kind, _, _ := mime.ParseMediaType(contentType); kind == "text/plain" {
		return component.JSONString(string(body)), nil
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil, errors.New(`the body is empty: send JSON such as {"value": "hello"}, or text with Content-Type: text/plain`)
	}
	if !json.Valid(body) {
		return nil, errors.New(`the body is not JSON: send {"value": "hello"}, or text with Content-Type: text/plain`)
	}
	var fields map[string]json.RawMessage
	if body[0] != '{' || json.Unmarshal(body, &fields) != nil || !isEnvelope(fields) {
		return body, nil
	}
	raw, ok := fields["session"]
	if !ok {
		raw, ok = fields["session_id"] // as answers call it
	}
	if ok {
		var named *string
		if err := json.Unmarshal(raw, &named); err != nil {
			return nil, errors.New(`"session" must be a string`)
		}
		if named != nil {
			*session = *named
		}
	}
	return fields["value"], nil
}

// isEnvelope tells {"value", "session"} from a payload that is an object.
func isEnvelope(fields map[string]json.RawMessage) bool {
	_, value := fields["value"]
	_, session := fields["session"]
	if !session {
		_, session = fields["session_id"]
	}
	return value && (len(fields) == 1 || len(fields) == 2 && session)
}

func toAnswer(m bus.Message, in component.Submission) answer {
	if m.Error != "" {
		return answer{Error: m.Error, Session: in.Session, Message: in.ID}
	}
	if len(m.Payload) == 0 {
		m.Payload = json.RawMessage("null")
	}
	return answer{Value: m.Payload, Session: in.Session, Message: in.ID}
}

func statusOf(m bus.Message) int {
	if m.Error != "" {
		return http.StatusBadGateway
	}
	return http.StatusOK
}

// failure says what an error of the bus means to a client.
func (s *server) failure(ctx context.Context, in component.Submission, err error) (int, answer) {
	a := answer{Session: in.Session, Message: in.ID}
	switch {
	case errors.Is(err, component.ErrDraining), errors.Is(err, bus.ErrStopped):
		a.Error = component.ErrDraining.Error()
		return http.StatusServiceUnavailable, a
	case errors.Is(err, bus.ErrFull):
		s.log.Warn("request refused", "error", err, "message_id", in.ID, "session_id", in.Session)
		a.Error = "too many messages wait already: try again later"
		return http.StatusServiceUnavailable, a
	case errors.Is(err, errUndelivered):
		s.log.Error("request failed", "error", err, "message_id", in.ID, "session_id", in.Session)
		a.Error = errUndelivered.Error()
		return http.StatusServiceUnavailable, a
	case errors.Is(err, bus.ErrTooLarge):
		a.Error = err.Error()
		return http.StatusRequestEntityTooLarge, a
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		a.Error = fmt.Sprintf("no answer within %s", s.timeout)
		return http.StatusGatewayTimeout, a
	case errors.Is(err, io.EOF):
		a.Error = "the request ended without an answer"
		return http.StatusBadGateway, a
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		s.log.Info("whoever asked has gone before the answer came", "message_id", in.ID, "session_id", in.Session)
	} else {
		s.log.Error("request failed", "error", err, "message_id", in.ID, "session_id", in.Session)
	}
	a.Error = errUndelivered.Error()
	return http.StatusServiceUnavailable, a
}

func (s *server) fail(w http.ResponseWriter, ctx context.Context, in component.Submission, err error) {
	status, a := s.failure(ctx, in, err)
	reply(w, status, a)
}

func reply(w http.ResponseWriter, status int, a answer) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, status, a)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that has gone needs no answer
}
