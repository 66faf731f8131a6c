package bus

import (
	"encoding/json"
	"strconv"
	"time"
)

// parseEnvelope reads what appendEnvelope writes. ok is false for whatever is
// different in form, which may still be a message: encoding/json decides.
func parseEnvelope(s string) (m Message, ok bool) {
	i := skipSpace(s, 0)
	if i >= len(s) || s[i] != '{' {
		return m, false
	}
	seen := 0
	for i++; ; i++ {
		key, value, end := member(s, i)
		if end < 0 {
			return m, false
		}
		bit := m.set(key, value)
		if bit == 0 || seen&bit != 0 {
			return m, false
		}
		seen |= bit
		i = end
		if i >= len(s) || s[i] != ',' {
			break
		}
	}
	return m, i < len(s) && s[i] == '}' && skipSpace(s, i+1) == len(s)
}

// member reads `"key":value` without spaces; end is -1 where there is none.
func member(s string, i int) (key, value string, end int) {
	if i >= len(s) || s[i] != '"' {
		return "", "", -1
	}
	quote := skipPlain(s, i+1)
	if quote+1 >= len(s) || s[quote] != '"' || s[quote+1] != ':' {
		return "", "", -1
	}
	end = skipValue(s, quote+2, 1)
	if end < 0 {
		return "", "", -1
	}
	return s[i+1 : quote], s[quote+2 : end], end
}

// set puts a member into m and returns a bit of its own for each, or 0 where
// encoding/json has to look at it.
func (m *Message) set(key, value string) int {
	switch key {
	case "message_id":
		return text(&m.ID, value, 1<<0)
	case "session_id":
		return text(&m.SessionID, value, 1<<1)
	case "event_type":
		return text(&m.Type, value, 1<<2)
	case "payload":
		m.Payload = json.RawMessage(value)
		return 1 << 3
	case "sender_component":
		return text(&m.Sender, value, 1<<4)
	case "target_component":
		return text(&m.Target, value, 1<<5)
	case "reply_to":
		return text(&m.ReplyTo, value, 1<<6)
	case "delivery_mode":
		return text((*string)(&m.Mode), value, 1<<7)
	case "pattern":
		return text((*string)(&m.Pattern), value, 1<<8)
	case "created_at":
		var s string
		if text(&s, value, 1) == 0 {
			return 0
		}
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return 0
		}
		m.CreatedAt = t
		return 1 << 9
	case "retry_count":
		return number(&m.RetryCount, value, 1<<10)
	case "max_retries":
		return number(&m.MaxRetries, value, 1<<11)
	case "ttl_seconds":
		return number(&m.TTLSeconds, value, 1<<12)
	case "traceparent":
		return text(&m.TraceParent, value, 1<<13)
	case "stream_id":
		return text(&m.StreamID, value, 1<<14)
	case "chunk_index":
		return number(&m.ChunkIndex, value, 1<<15)
	case "is_final":
		m.IsFinal = value == "true"
		if m.IsFinal || value == "false" {
			return 1 << 16
		}
	case "error":
		return text(&m.Error, value, 1<<17)
	}
	return 0
}

func text(field *string, value string, bit int) int {
	if len(value) < 2 || value[0] != '"' || !plain(value[1:len(value)-1]) {
		return 0
	}
	*field = value[1 : len(value)-1]
	return bit
}

func number(field *int, value string, bit int) int {
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0
	}
	*field = n
	return bit
}
