package bus_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// What others send must end in a clear error, soon, and in a short one.
func TestHostileEnvelopes(t *testing.T) {
	around := func(payload string) []byte {
		return []byte(`{"message_id":"m","target_component":"a","payload":` + payload + `}`)
	}
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"100 MB":             {bytes.Repeat([]byte("x"), 100<<20), "message too large"},
		"100 MB of JSON":     {around(`"` + strings.Repeat("x", 100<<20) + `"`), "message too large"},
		"not JSON":           {[]byte("GET / HTTP/1.1\r\n\r\n"), "not a message"},
		"binary":             {[]byte{0x00, 0xff, 0x80, 0x01}, "not a message"},
		"cut off":            {around(`"x"`)[:60], "not a message"},
		"two messages":       {append(around("1"), around("2")...), "not a message"},
		"a list":             {[]byte(`[` + string(around("1")) + `]`), "not a message"},
		"deep payload":       {around(strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20)), "not a message"},
		"deep and cut off":   {around(strings.Repeat(`{"a":`, 1<<20)), "not a message"},
		"deep unknown field": {[]byte(`{"message_id":"m","x":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}`), "not a message"},
		"number for text":    {[]byte(`{"message_id":1,"target_component":"a"}`), "not a message"},
		"text for a number":  {[]byte(`{"message_id":"m","target_component":"a","retry_count":"1"}`), "not a message"},
		"huge number":        {[]byte(`{"message_id":"m","target_component":"a","ttl_seconds":1e999}`), "not a message"},
		"negative retries":   {[]byte(`{"message_id":"m","target_component":"a","retry_count":-1}`), "retry_count"},
		"unknown mode":       {[]byte(`{"message_id":"m","target_component":"a","delivery_mode":"thrice"}`), "delivery_mode"},
		"unknown pattern":    {[]byte(`{"message_id":"m","target_component":"a","pattern":"broadcast"}`), "pattern is"},
		"bad time":           {[]byte(`{"message_id":"m","target_component":"a","created_at":"yesterday"}`), "not a message"},
		"long name":          {[]byte(`{"message_id":"m","target_component":"` + strings.Repeat("a", 1<<20) + `"}`), "at most 512"},
		"nothing":            {nil, "not a message"},
	} {
		start := time.Now()
		_, err := bus.Decode(test.data)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: want %q, got %.200v", name, test.want, err)
			continue
		}
		if strings.Contains(test.want, "too large") && !errors.Is(err, bus.ErrTooLarge) {
			t.Errorf("%s: it isn't ErrTooLarge", name)
		}
		if len(err.Error()) > 300 {
			t.Errorf("%s: the error has %d bytes: %.200v", name, len(err.Error()), err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: it took %s", name, d)
		}
	}
}

// A newer version's message is read by what is known of it.
func TestUnknownFields(t *testing.T) {
	m, err := bus.Decode([]byte(`{"version":99,"message_id":"m","target_component":"a","priority":{"level":[1,2]},"payload":{"x":1},"session_id":"s"}`))
	if err != nil || m.ID != "m" || m.Target != "a" || m.SessionID != "s" || string(m.Payload) != `{"x":1}` {
		t.Errorf("got %+v, %v", m, err)
	}
}
