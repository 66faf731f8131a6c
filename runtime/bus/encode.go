package bus

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// The envelope is written and read here by hand, for what every message has:
// encoding/json takes longer over one than a server does to keep it. What is
// out of the ordinary goes to encoding/json, so that both read the same.

// appendEnvelope appends the wire form of m. The payload must be valid JSON.
func appendEnvelope(b []byte, m *Message) ([]byte, error) {
	b = append(b, `{"message_id":`...)
	b = appendText(b, m.ID)
	b = append(b, `,"session_id":`...)
	b = appendText(b, m.SessionID)
	b = append(b, `,"event_type":`...)
	b = appendText(b, m.Type)
	b = append(b, `,"payload":`...)
	if len(m.Payload) == 0 {
		b = append(b, "null"...)
	} else {
		b = append(b, m.Payload...)
	}
	b = append(b, `,"sender_component":`...)
	b = appendText(b, m.Sender)
	b = appendOptional(b, `,"target_component":`, m.Target)
	b = appendOptional(b, `,"reply_to":`, m.ReplyTo)
	b = append(b, `,"delivery_mode":`...)
	b = appendText(b, string(m.Mode))
	b = append(b, `,"pattern":`...)
	b = appendText(b, string(m.Pattern))
	if y := m.CreatedAt.Year(); y < 0 || y > 9999 {
		return nil, fmt.Errorf("created_at has the year %d: want 0 to 9999", y)
	}
	b = append(b, `,"created_at":"`...)
	b = m.CreatedAt.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","retry_count":`...)
	b = strconv.AppendInt(b, int64(m.RetryCount), 10)
	b = append(b, `,"max_retries":`...)
	b = strconv.AppendInt(b, int64(m.MaxRetries), 10)
	b = append(b, `,"ttl_seconds":`...)
	b = strconv.AppendInt(b, int64(m.TTLSeconds), 10)
	b = appendOptional(b, `,"traceparent":`, m.TraceParent)
	b = appendOptional(b, `,"stream_id":`, m.StreamID)
	if m.ChunkIndex != 0 {
		b = append(b, `,"chunk_index":`...)
		b = strconv.AppendInt(b, int64(m.ChunkIndex), 10)
	}
	if m.IsFinal {
		b = append(b, `,"is_final":true`...)
	}
	b = appendOptional(b, `,"error":`, m.Error)
	return append(b, '}'), nil
}

func appendOptional(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return appendText(append(b, key...), s)
}

func appendText(b []byte, s string) []byte {
	if plain(s) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	quoted, err := json.Marshal(s)
	if err != nil { // a string always can be
		return append(b, `""`...)
	}
	return append(b, quoted...)
}

// plain reports whether s stands in JSON as it is: ASCII without control
// characters, quotes and backslashes.
func plain[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// maxDepth is how deep a value may be nested, as in encoding/json.
const maxDepth = 10_000

// validJSON reports whether b is one JSON value.
func validJSON(b []byte) bool {
	end := skipValue(b, skipSpace(b, 0), 0)
	return end >= 0 && skipSpace(b, end) == len(b)
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the end of the value that begins at i, or -1 where there
// is none.
func skipValue(b []byte, i, depth int) int {
	if i >= len(b) || depth > maxDepth {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{':
		return skipList(b, i, depth, '}')
	case '[':
		return skipList(b, i, depth, ']')
	case 't':
		return skipWord(b, i, "true")
	case 'f':
		return skipWord(b, i, "false")
	case 'n':
		return skipWord(b, i, "null")
	}
	return skipNumber(b, i)
}

func skipWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// skipList skips an object or an array, which end in closing.
func skipList(b []byte, i, depth int, closing byte) int {
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == closing {
		return i + 1
	}
	for {
		if closing == '}' {
			if i >= len(b) || b[i] != '"' {
				return -1
			}
			if i = skipString(b, i); i < 0 {
				return -1
			}
			if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
				return -1
			}
			i = skipSpace(b, i+1)
		}
		if i = skipValue(b, i, depth+1); i < 0 {
			return -1
		}
		i = skipSpace(b, i)
		switch {
		case i >= len(b):
			return -1
		case b[i] == closing:
			return i + 1
		case b[i] != ',':
			return -1
		}
		i = skipSpace(b, i+1)
	}
}

func skipString(b []byte, i int) int {
	for i++; ; i++ {
		i = skipPlain(b, i)
		switch {
		case i >= len(b) || b[i] < ' ':
			return -1
		case b[i] == '"':
			return i + 1
		}
		if i++; i >= len(b) { // after a backslash
			return -1
		}
		switch b[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			if len(b)-i < 5 {
				return -1
			}
			for _, c := range []byte(b[i+1 : i+5]) {
				if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
					return -1
				}
			}
			i += 4
		default:
			return -1
		}
	}
}

// skipPlain returns the place of the first quote, backslash or control
// character from i on. It looks at many bytes at a time.
func skipPlain(b []byte, i int) int {
	for ; i+32 <= len(b); i += 32 {
		if s := (*[32]byte)(b[i : i+32]); special(s[0:])|special(s[8:])|special(s[16:])|special(s[24:]) != 0 {
			break
		}
	}
	for i+8 <= len(b) && special(b[i:]) == 0 {
		i += 8
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// special isn't 0 where one of the first eight bytes is a quote, a backslash or
// a control character.
func special(b []byte) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	w := binary.LittleEndian.Uint64(b)
	// With its second bit turned a quote is a blank, and a control character still
	// is one.
	low, slash := w^(ones*2), w^(ones*'\\')
	return ((low-ones*(' '+1))&^low | (slash-ones)&^slash) & highs
}

func skipNumber(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return -1
	case b[i] == '0':
		i++
	default:
		if i = skipDigits(b, i); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i] == '.' {
		if i = skipDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return skipDigits(b, i)
	}
	return i
}

func skipDigits(b []byte, i int) int {
	from := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == from {
		return -1
	}
	return i
}
