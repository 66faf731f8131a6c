package bus_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// Seal refuses what Encode refuses, with the same words, and else makes of a
// message what Encode and Decode make of it.
func TestSeal(t *testing.T) {
	large := json.RawMessage(`"` + strings.Repeat("x", bus.MaxMessageBytes-2) + `"`)
	for name, change := range map[string]func(*bus.Message){
		"plain":          func(*bus.Message) {},
		"object":         func(m *bus.Message) { m.Payload = json.RawMessage(` {"a": [1, null]} `) },
		"no payload":     func(m *bus.Message) { m.Payload = nil },
		"not JSON":       func(m *bus.Message) { m.Payload = json.RawMessage(`{"a":}`) },
		"no target":      func(m *bus.Message) { m.Target = "" },
		"large payload":  func(m *bus.Message) { m.Payload = large },
		"larger payload": func(m *bus.Message) { m.Payload = append(large, "      "...) },
		"large error":    func(m *bus.Message) { m.Error = strings.Repeat("x", bus.MaxMessageBytes) },
		"not UTF-8":      func(m *bus.Message) { m.SessionID = "s\xff" },
		"unicode":        func(m *bus.Message) { m.Error = "ü\u2028<\"" },
		"other zone":     func(m *bus.Message) { m.CreatedAt = m.CreatedAt.In(time.FixedZone("x", 3600)) },
		"far year":       func(m *bus.Message) { m.CreatedAt = m.CreatedAt.AddDate(10_000, 0, 0) },
	} {
		m := bus.Message{Target: "a", Payload: json.RawMessage(`"text"`), SessionID: "s", TraceParent: "00-a-b-01"}
		m.Prepare(time.Now())
		change(&m)
		var want bus.Message
		body, wantErr := bus.Encode(&m)
		if wantErr == nil {
			want, wantErr = bus.Decode(body)
		}
		sent := m.Payload
		err := bus.Seal(&m)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) || errors.Is(err, bus.ErrTooLarge) != errors.Is(wantErr, bus.ErrTooLarge) {
			t.Errorf("%s: error %v, want %v", name, err, wantErr)
		}
		if err != nil || wantErr != nil {
			continue
		}
		if !m.CreatedAt.Equal(want.CreatedAt) {
			t.Errorf("%s: created at %s, want %s", name, m.CreatedAt, want.CreatedAt)
		}
		m.CreatedAt = want.CreatedAt
		if !reflect.DeepEqual(m, want) {
			t.Errorf("%s: got %+v, want %+v", name, m, want)
		}
		if len(sent) > 0 && &sent[0] == &m.Payload[0] {
			t.Errorf("%s: the payload is the sender's", name)
		}
	}
}

func FuzzSeal(f *testing.F) {
	f.Add("s", "type", "", []byte(`{"a":1}`), int64(0))
	f.Add("s\xff", "", "ü\u2028", []byte(" [1] "), int64(-1))
	f.Add("", "", "", []byte("\v1"), int64(1)<<60)
	f.Fuzz(func(t *testing.T, session, typ, text string, payload []byte, at int64) {
		m := bus.Message{ID: "m", Target: "a", SessionID: session, Type: typ, Error: text, Payload: payload, CreatedAt: time.Unix(at, 0).UTC()}
		m.Prepare(time.Now())
		var want bus.Message
		body, wantErr := bus.Encode(&m)
		if wantErr == nil {
			want, wantErr = bus.Decode(body)
		}
		err := bus.Seal(&m)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("error %v, want %v", err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(m, want) {
			t.Fatalf("got  %+v\nwant %+v", m, want)
		}
	})
}
