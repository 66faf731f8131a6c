package bus

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// What is written and read by hand is what encoding/json writes and reads.
func FuzzEnvelope(f *testing.F) {
	for _, m := range []Message{
		{ID: "1", Target: "t"},
		{ID: "2", Target: "a", SessionID: "ü\x00\"", Payload: json.RawMessage(`{"a":[1,-2.5e+7,"\u00e9\n",true,null]}`), RetryCount: 2, MaxRetries: -1},
		{ID: "3", Pattern: PublishSubscribe, Type: "a.b", StreamID: "s", ChunkIndex: 3, IsFinal: true, Error: "e<>&", CreatedAt: time.UnixMilli(1_700_000_000_123).UTC()},
	} {
		m.Prepare(time.UnixMilli(0))
		b, err := Encode(&m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add(`{"message_id":"x","message_id":"y","target_component":"t"}`)
	f.Add(`{"Message_ID":"x","target_component":"t","payload":[}`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := validJSON([]byte(s)), json.Valid([]byte(s)); got != want {
			t.Fatalf("validJSON(%q) is %v", s, got)
		}
		var m Message
		if !parseEnvelope([]byte(s), &m) {
			return
		}
		var want Message
		if err := json.Unmarshal([]byte(s), &want); err != nil {
			t.Fatalf("%q: read, but encoding/json says %v", s, err)
		}
		if !m.CreatedAt.Equal(want.CreatedAt) {
			t.Fatalf("%q: %v, want %v", s, m.CreatedAt, want.CreatedAt)
		}
		m.CreatedAt = want.CreatedAt
		if !reflect.DeepEqual(m, want) {
			t.Fatalf("%q\n got %+v\nwant %+v", s, m, want)
		}
		text, err := appendEnvelope(nil, &m)
		if err != nil {
			return // a year beyond what RFC 3339 has
		}
		var again Message
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%q: wrote %q: %v", s, text, err)
		}
		if len(m.Payload) == 0 {
			m.Payload = json.RawMessage("null")
		}
		again.CreatedAt = m.CreatedAt // a zone's name is lost, the time is not
		if !reflect.DeepEqual(m, again) {
			t.Fatalf("%q: wrote %q", s, text)
		}
	})
}

// Every message takes the short way, there and back.
func TestEnvelopeIsParsed(t *testing.T) {
	m := example(100)
	b, err := Encode(&m)
	if err != nil {
		t.Fatal(err)
	}
	var got Message
	if !parseEnvelope(b, &got) || !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, want %+v", got, m)
	}
}

func TestBadPayloads(t *testing.T) {
	for _, payload := range []string{"nothing", `{"a":}`, `"\x"`, "1 2", strings.Repeat("[", 20_000)} {
		m := example(1)
		m.Payload = json.RawMessage(payload)
		if _, err := Encode(&m); err == nil || !strings.HasPrefix(err.Error(), `message "m1": payload is not JSON: `) {
			t.Errorf("%.20s: %v", payload, err)
		}
	}
}

func example(size int) Message {
	m := Message{ID: "m1", SessionID: NewID(), Type: "result", Sender: "agent", Target: "output", ReplyTo: InboxName("i", "r"),
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Payload:     append(append([]byte{'"'}, bytes.Repeat([]byte("text "), size/5)...), '"')}
	m.Prepare(time.Now())
	m.CreatedAt = m.CreatedAt.Round(0)
	return m
}

func BenchmarkEncode(b *testing.B) {
	m := example(1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(&m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	m := example(1024)
	body, err := Encode(&m)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}
