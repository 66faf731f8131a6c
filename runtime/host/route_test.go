package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

const (
	trace  = "0123456789abcdef0123456789abcdef"
	parent = "00-" + trace + "-0123456789abcdef-01"
)

// echo returns the payload, streamed by its words if it is a string.
func echo(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error) {
	words := strings.SplitAfter(component.Text(m.Payload), " ")
	if len(words) > 1 {
		for _, w := range words {
			if err := out.Chunk(ctx, component.JSONString(w)); err != nil {
				return nil, err
			}
		}
	}
	return m.Payload, nil
}

func TestResultsGoToTargetsAndTopics(t *testing.T) {
	s := newSystem(t)
	next, subscriber := s.sink("next"), s.sink("subscriber", "news.*")
	start(t, s.options(component.Config{Name: "c", To: []string{"next"}, Topics: []string{"news.today"}}, handler(echo)))
	in := bus.Message{ID: "m1", SessionID: "s1", Payload: json.RawMessage(`{"a":1}`), Sender: "in", Target: "c", TraceParent: parent, ReplyTo: "_inbox.a.b"}
	if err := s.bus.Publish(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	direct, topic := take(t, next), take(t, subscriber)
	for _, m := range []bus.Message{direct, topic} {
		f := strings.Split(m.TraceParent, "-")
		if string(m.Payload) != `{"a":1}` || m.Sender != "c" || m.SessionID != "s1" || m.ReplyTo != "_inbox.a.b" ||
			len(f) != 4 || f[1] != trace || m.TraceParent == parent || m.StreamID != "" {
			t.Errorf("got %+v", m)
		}
	}
	if direct.Pattern != bus.PointToPoint || direct.Target != "next" || topic.Pattern != bus.PublishSubscribe || topic.Type != "news.today" || direct.ID == topic.ID {
		t.Errorf("got %+v\n%+v", direct, topic)
	}
}

func TestReplies(t *testing.T) {
	s := newSystem(t)
	subscriber := s.sink("subscriber", "news")
	start(t, s.options(component.Config{Name: "c", Topics: []string{"news"}}, handler(echo)))
	got := ask(t, s.bus, bus.Message{SessionID: "s1", Payload: json.RawMessage(`1`), Target: "c", TraceParent: parent})
	if len(got) != 1 || string(got[0].Payload) != `1` || got[0].SessionID != "s1" || got[0].ReplyTo != "" || got[0].Error != "" ||
		!strings.Contains(got[0].TraceParent, trace) {
		t.Errorf("got %+v", got)
	}
	if m := take(t, subscriber); string(m.Payload) != `1` || m.ReplyTo != "" {
		t.Errorf("the topic got %+v", m)
	}
}

// stream checks chunks and the whole answer of one stream.
func stream(t *testing.T, got []bus.Message, want ...string) {
	t.Helper()
	whole := strings.Join(want, "")
	if len(got) != len(want)+1 {
		t.Fatalf("got %d messages, want %d: %+v", len(got), len(want)+1, got)
	}
	for i, m := range got {
		if i < len(want) && (!m.Chunk() || m.ChunkIndex != i || component.Text(m.Payload) != want[i] || m.Mode != bus.AtMostOnce) {
			t.Errorf("chunk %d: %+v", i, m)
		}
		if m.StreamID == "" || m.StreamID != got[0].StreamID {
			t.Errorf("message %d is of the stream %q, others of %q", i, m.StreamID, got[0].StreamID)
		}
	}
	if last := got[len(want)]; !last.IsFinal || last.Chunk() || component.Text(last.Payload) != whole {
		t.Errorf("the whole answer: %+v", last)
	}
}

func TestStreams(t *testing.T) {
	s := newSystem(t)
	start(t, s.options(component.Config{Name: "first", To: []string{"middle"}}, handler(echo)))
	// It sends chunks on as they are.
	start(t, s.options(component.Config{Name: "middle", To: []string{"deaf"}}, func(context.Context, component.Env) (*component.Instance, error) {
		return &component.Instance{Streams: true, Handle: func(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error) {
			if !m.Chunk() {
				return m.Payload, nil
			}
			if err := out.Chunk(ctx, m.Payload); err != nil {
				return nil, err
			}
			if out.Chunk(ctx, m.Payload) == nil {
				t.Error("a chunk was sent on twice")
			}
			return nil, nil
		}}, nil
	}))
	// It gets whole answers only.
	handled := make(chan bus.Message, 100)
	start(t, s.options(component.Config{Name: "deaf", Topics: []string{"out"}}, handler(func(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error) {
		handled <- m
		return echo(ctx, m, out)
	})))
	got := ask(t, s.bus, bus.Message{SessionID: "s", Payload: json.RawMessage(`"one two three"`), Target: "first"})
	stream(t, got, "one ", "two ", "three")
	if m := take(t, handled); len(handled) != 0 || !m.IsFinal || m.ChunkIndex != 3 {
		t.Errorf("got %+v and %d more", m, len(handled))
	}
}

func TestStreamOfARetryIsANewOne(t *testing.T) {
	for name, failure := range map[string]error{
		"counted": errors.New("broke off"),
		"not counted, as long as nothing was sent": bus.RetryAfter(time.Millisecond, errors.New("broke off")),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSystem(t)
			start(t, s.options(component.Config{Name: "c"}, handler(func(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error) {
				if err := out.Chunk(ctx, component.JSONString("x")); err != nil || m.RetryCount == 0 {
					return nil, errors.Join(err, failure)
				}
				return component.JSONString("x"), nil
			})))
			got := ask(t, s.bus, bus.Message{Payload: json.RawMessage(`1`), Target: "c"})
			if len(got) != 3 || got[0].StreamID == got[1].StreamID {
				t.Fatalf("got %+v", got)
			}
			stream(t, got[1:], "x")
		})
	}
}

func TestFailuresAnswer(t *testing.T) {
	s := newSystem(t)
	r := start(t, s.options(component.Config{Name: "c"}, handler(func(_ context.Context, m bus.Message, _ component.Out) (json.RawMessage, error) {
		switch string(m.Payload) {
		case `"permanent"`:
			return nil, bus.Permanent(errors.New("never"))
		case `"panic"`:
			panic("oh no")
		case `"twice"`:
			if m.RetryCount < 2 {
				return nil, errors.New("not yet")
			}
			return json.RawMessage(`"at last"`), nil
		case `"no JSON"`:
			return json.RawMessage(`{`), nil
		case `"large"`:
			return component.JSONString(strings.Repeat("x", bus.MaxMessageBytes)), nil
		}
		return nil, errors.New("always")
	})))
	for _, tt := range []struct {
		payload, want, err string
		attempts           int
	}{
		{`"permanent"`, `null`, "c: never", 1},
		{`"panic"`, `null`, "c: handler panicked: oh no", 4},
		{`"always"`, `null`, "c: always", 4},
		{`"twice"`, `"at last"`, "", 0},
		{`"no JSON"`, `null`, "c: the component's result is not JSON", 1},
		{`"large"`, `null`, "c: the component's result of", 1},
	} {
		got := ask(t, s.bus, bus.Message{SessionID: tt.payload, Payload: json.RawMessage(tt.payload), Target: "c"})
		if len(got) != 1 || string(got[0].Payload) != tt.want || !strings.HasPrefix(got[0].Error, tt.err) || (tt.err == "") != (got[0].Error == "") {
			t.Errorf("%s: got %+v", tt.payload, got)
		}
	}
	if _, err := s.bus.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	dead, err := s.bus.DeadLetters(t.Context(), "c", 0)
	if err != nil || len(dead) != 5 {
		t.Errorf("%d dead letters, %v", len(dead), err)
	}
	if _, body := r.get("/metrics"); !strings.Contains(body, `ww_messages_failed_total{component="c",kind="test",type="kind"} 13`) ||
		!strings.Contains(body, `ww_messages_handled_total{component="c",kind="test",type="kind"} 1`) {
		t.Errorf("metrics: %s", body)
	}
	if log := r.log.String(); !strings.Contains(log, `"session_id":"\"permanent\"","trace_id":"`) || !strings.Contains(log, `"component":"c","error":"never","attempt":1,"final":true,"message_id":"`) {
		t.Errorf("log: %s", r.log)
	}
}

func TestSubscriptions(t *testing.T) {
	s := newSystem(t)
	next := s.sink("next")
	start(t, s.options(component.Config{Name: "c", To: []string{"next"}, Subscribe: []string{"news.>"}}, handler(echo)))
	m := bus.Message{Payload: json.RawMessage(`1`), Type: "news.a.b", Pattern: bus.PublishSubscribe}
	if err := s.bus.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if m := take(t, next); m.Sender != "c" || m.Type != "result" {
		t.Errorf("got %+v", m)
	}
}

// input is a builder that hands its environment out.
func input(env *component.Env) component.Builder {
	return func(_ context.Context, e component.Env) (*component.Instance, error) {
		*env = e
		return &component.Instance{}, nil
	}
}

func TestSubmit(t *testing.T) {
	s := newSystem(t)
	var env component.Env
	a, b, topic := s.sink("a"), s.sink("b"), s.sink("t", "news")
	r := start(t, s.options(component.Config{Name: "in", To: []string{"a", "b"}, Topics: []string{"news"}}, input(&env)))
	if err := env.Submit(t.Context(), component.Submission{ID: "m1", Payload: json.RawMessage(`1`)}); err != nil {
		t.Fatal(err)
	}
	ma, mb, mt := take(t, a), take(t, b), take(t, topic)
	if ma.ID != "m1" || mb.ID == "m1" || mt.ID == mb.ID || ma.SessionID == "" || ma.SessionID != mb.SessionID || ma.TraceParent == "" ||
		ma.TraceParent != mt.TraceParent || ma.Type != "input" || mt.Type != "news" || ma.Sender != "in" {
		t.Errorf("got %+v\n%+v\n%+v", ma, mb, mt)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := env.Submit(t.Context(), component.Submission{Payload: json.RawMessage(`1`)}); !errors.Is(err, component.ErrDraining) {
		t.Errorf("after the stop: %v", err)
	}
	if _, err := env.Ask(t.Context(), component.Submission{Payload: json.RawMessage(`1`)}); !errors.Is(err, component.ErrDraining) {
		t.Errorf("after the stop: %v", err)
	}
}

func TestAskSeveral(t *testing.T) {
	s := newSystem(t)
	var env component.Env
	s.sink("silent")
	start(t, s.options(component.Config{Name: "c"}, handler(echo)))
	start(t, s.options(component.Config{Name: "in", To: []string{"silent", "c"}}, input(&env)))
	replies, err := env.Ask(t.Context(), component.Submission{Session: "s", Payload: json.RawMessage(`"a b"`)})
	if err != nil {
		t.Fatal(err)
	}
	var got []bus.Message
	for {
		m, err := replies.Next(t.Context())
		if err != nil {
			break
		}
		got = append(got, m)
	}
	stream(t, got, "a ", "b")
	if err := replies.Close(); err != nil {
		t.Error(err)
	}
}

func nothing(context.Context, bus.Message, component.Out) (json.RawMessage, error) { return nil, nil }

// Who asked a component that has nothing to say doesn't wait in vain.
func TestNothingToSay(t *testing.T) {
	s := newSystem(t)
	next := s.sink("next")
	start(t, s.options(component.Config{Name: "c", To: []string{"next"}}, handler(nothing)))
	if got := ask(t, s.bus, bus.Message{Payload: json.RawMessage(`1`), Target: "c"}); len(got) != 1 || string(got[0].Payload) != "null" || got[0].Error != "" {
		t.Errorf("got %+v", got)
	}
	if len(next) > 0 {
		t.Error("nothing was sent on")
	}

	var env component.Env
	start(t, s.options(component.Config{Name: "d"}, handler(nothing)))
	start(t, s.options(component.Config{Name: "e"}, handler(echo)))
	for _, to := range []struct {
		in   []string
		want string
	}{{[]string{"c", "d", "e"}, "1"}, {[]string{"c", "d"}, "null"}} {
		start(t, s.options(component.Config{Name: "in", To: to.in}, input(&env)))
		replies, err := env.Ask(t.Context(), component.Submission{Payload: json.RawMessage(`1`)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		m, err := replies.Next(ctx)
		cancel()
		if err != nil || string(m.Payload) != to.want {
			t.Errorf("%v: %+v, %v", to.in, m, err)
		}
		if err := replies.Close(); err != nil {
			t.Error(err)
		}
	}
}
