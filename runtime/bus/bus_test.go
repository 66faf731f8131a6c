package bus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

func TestNewID(t *testing.T) {
	var ids []string
	seen := map[string]bool{}
	for range 1000 {
		id := bus.NewID()
		if len(id) != 26 || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
		ids = append(ids, id[:9]) // the first 45 of the 48 bits of time
	}
	if !slices.IsSorted(ids) {
		t.Error("ids don't sort by time")
	}
}

func TestDeriveID(t *testing.T) {
	cause := &bus.Message{ID: "a", CreatedAt: time.UnixMilli(1e12)}
	base := bus.DeriveID(cause, 1, "x")
	if bus.DeriveID(&bus.Message{ID: "a", CreatedAt: time.UnixMilli(1e12)}, 1, "x") != base {
		t.Error("it isn't stable")
	}
	for _, other := range []string{
		bus.DeriveID(cause, 2, "x"),
		bus.DeriveID(cause, 1, "y"),
		bus.DeriveID(&bus.Message{ID: "a1", CreatedAt: cause.CreatedAt}, 1, "x"),
		bus.DeriveID(&bus.Message{ID: "b", CreatedAt: cause.CreatedAt}, 1, "x"),
	} {
		if other == base {
			t.Error("two outputs have one id")
		}
	}
	if later := bus.DeriveID(&bus.Message{ID: "a", CreatedAt: time.UnixMilli(1e12 + 1)}, 1, "x"); later <= base {
		t.Error("it doesn't sort by the cause's time")
	}
}

func TestPrepare(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	m := bus.Message{Target: "a"}
	m.Prepare(now)
	if m.ID == "" || m.CreatedAt != now || m.Mode != bus.AtLeastOnce || m.Pattern != bus.PointToPoint ||
		m.MaxRetries != 3 || m.TTL() != 300*time.Second {
		t.Errorf("%+v", m)
	}
	before := fmt.Sprintf("%+v", m)
	if m.Prepare(now.Add(time.Hour)); fmt.Sprintf("%+v", m) != before {
		t.Errorf("changed by the second call: %+v", m)
	}
	none := bus.Message{MaxRetries: bus.NoRetries, TTLSeconds: bus.NoExpiry}
	none.Prepare(now)
	if !none.LastAttempt() || none.TTL() != 0 || none.Expired(1000*time.Hour) != nil {
		t.Errorf("%+v", none)
	}
}

func TestValidate(t *testing.T) {
	ok := bus.Message{ID: "i", Target: "a", Mode: bus.AtLeastOnce, Pattern: bus.PointToPoint}
	for name, change := range map[string]func(*bus.Message){
		"message_id is missing":       func(m *bus.Message) { m.ID = "" },
		"target_component is missing": func(m *bus.Message) { m.Target = "" },
		"contains ':'":                func(m *bus.Message) { m.Target = "a:b" },
		"at most 512":                 func(m *bus.Message) { m.ID = strings.Repeat("x", 513) },
		"session_id has":              func(m *bus.Message) { m.SessionID = strings.Repeat("x", 513) },
		"not valid UTF-8":             func(m *bus.Message) { m.Target = "\xff" },
		"an inbox is written":         func(m *bus.Message) { m.Target = "_inbox.x" },
		"delivery_mode":               func(m *bus.Message) { m.Mode = "x" },
		"pattern is":                  func(m *bus.Message) { m.Pattern = "x" },
		"retry_count":                 func(m *bus.Message) { m.RetryCount = -1 },
		"topic is missing":            func(m *bus.Message) { m.Pattern = bus.PublishSubscribe },
		"empty segment":               func(m *bus.Message) { m.Pattern, m.Type = bus.PublishSubscribe, "a..b" },
	} {
		m := ok
		change(&m)
		if err := m.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
	}
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
}

func TestDecodeErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "not a message",
		"{":                  "not a message",
		"[]":                 "not a message",
		`{}`:                 "message_id is missing",
		`{"message_id":"a"}`: "target_component is missing",
	} {
		if _, err := bus.Decode([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want %q, got %v", in, want, err)
		}
	}
	if _, err := bus.Decode(make([]byte, bus.MaxMessageBytes+1)); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	m := bus.Message{Target: "a", Payload: json.RawMessage(`{"x":"<\u2028>"}`), SessionID: "s"}
	m.Prepare(time.UnixMilli(1))
	seed, err := bus.Encode(&m)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(seed), "", "null", `{"message_id":"a","target_component":"_inbox.i.r"}`,
		`{"message_id":"a","pattern":"publish_subscribe","event_type":"a.b","payload":1e999}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := bus.Decode(data)
		if err != nil {
			return
		}
		once, err := bus.Encode(&m)
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		again, err := bus.Decode(once)
		if err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		twice, err := bus.Encode(&again)
		if err != nil || string(once) != string(twice) {
			t.Fatalf("%s\n%s\n%v", once, twice, err)
		}
	})
}

func TestMatchTopic(t *testing.T) {
	for _, c := range []struct {
		pattern, topic string
		want           bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a.b", false}, {"a.b", "a", false},
		{"*", "a", true}, {"*", "a.b", false}, {"a.*", "a.b", true}, {"a.*", "a", false}, {"a.*", "a.b.c", false},
		{"*.b", "a.b", true}, {"a.*.c", "a.b.c", true}, {"a.*.c", "a.b.d", false},
		{">", "a", true}, {">", "a.b.c", true}, {"a.>", "a.b", true}, {"a.>", "a.b.c", true}, {"a.>", "a", false},
		{"a.>", "b.c", false}, {"*.>", "a.b", true}, {"a*", "ab", false},
	} {
		if got := bus.MatchTopic(c.pattern, c.topic); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.topic, got)
		}
	}
	for pattern, ok := range map[string]bool{"a.*": true, ">": true, "a.>": true, ">.a": false, "a..b": false, "": false, "a b": false} {
		if err := bus.CheckPattern(pattern); (err == nil) != ok {
			t.Errorf("pattern %q: %v", pattern, err)
		}
	}
}

func TestBackoff(t *testing.T) {
	for n, most := range map[int]time.Duration{1: 2 * time.Second, 2: 4 * time.Second, 6: time.Minute, 1000: time.Minute} {
		var low, high bool
		for range 300 {
			d := bus.Backoff{}.Delay(n)
			if d < time.Second || d > most {
				t.Fatalf("attempt %d: %s, want 1s to %s", n, d, most)
			}
			low, high = low || d < (time.Second+most)/2, high || d > (time.Second+most)/2
		}
		if !low || !high {
			t.Errorf("attempt %d: no jitter", n)
		}
	}
	if d := (bus.Backoff{Min: time.Hour, Max: time.Second}).Delay(1); d != time.Second {
		t.Errorf("min over max: %s", d)
	}
}

func TestInboxNames(t *testing.T) {
	i, r, ok := bus.ParseInbox(bus.InboxName("host.1", "req"))
	if !ok || i != "host.1" || r != "req" {
		t.Errorf("%q %q %v", i, r, ok)
	}
	for _, s := range []string{"a", "_inbox.", "_inbox.a", "_inbox.a.", "_inbox..b"} {
		if _, _, ok := bus.ParseInbox(s); ok {
			t.Errorf("%q is an inbox", s)
		}
	}
}

func TestPermanent(t *testing.T) {
	cause := errors.New("x")
	if err := fmt.Errorf("y: %w", bus.Permanent(cause)); !bus.IsPermanent(err) || !errors.Is(err, cause) || err.Error() != "y: x" {
		t.Errorf("%v", err)
	}
	if bus.IsPermanent(cause) || bus.IsPermanent(nil) {
		t.Error("any error is permanent")
	}
}

func TestCallMarksItsContext(t *testing.T) {
	c := bus.Consumer{Component: "a", Handler: func(ctx context.Context, _ bus.Message) ([]bus.Message, error) {
		if !bus.InHandler(ctx) {
			t.Error("not marked")
		}
		return nil, nil
	}}
	ctx, cancel := c.HandlerContext(t.Context())
	defer cancel()
	if _, err := c.Call(ctx, bus.Message{}); err != nil {
		t.Error(err)
	}
	if bus.InHandler(t.Context()) {
		t.Error("all are marked")
	}
}

// What a log says of a message stands by itself in a record, with its trace.
func TestIdentity(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	m := bus.Message{ID: "m", SessionID: "s", TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	log.With(m.Identity()).Info("x")
	m.TraceParent = "none"
	log.Info("x", m.Identity(), "a", 1)
	for _, want := range []string{"message_id=m session_id=s trace_id=4bf92f3577b34da6a3ce929d0e0e4736\n", "message_id=m session_id=s a=1\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q isn't in\n%s", want, b.String())
		}
	}
}
