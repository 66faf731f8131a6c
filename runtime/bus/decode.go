package bus

import "strings"

// The names of an envelope's members, in the order in which they are written.
var members = [...]string{
	"message_id", "session_id", "event_type", "payload", "sender_component", "target_component", "reply_to",
	"delivery_mode", "pattern", "created_at", "retry_count", "max_retries", "ttl_seconds", "traceparent",
	"stream_id", "chunk_index", "is_final", "error",
}

// parser reads one envelope.
type parser struct {
	m     *Message
	texts [len(members)]text // those that there are
	n     int
	size  int // of all texts
}

// text is a string of an envelope, and where it belongs.
type text struct {
	field *string
	value []byte
}

// parseEnvelope reads what appendEnvelope writes into m, which is empty. It is
// false for whatever is different in form, which may still be a message:
// encoding/json decides. The payload is a part of b; nothing else of m is.
func parseEnvelope(b []byte, m *Message) bool {
	p := parser{m: m}
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	next := 0 // members that may come
	for i++; ; i++ {
		key, value, end := member(b, i)
		if end < 0 {
			return false
		}
		for next < len(members) && members[next] != string(key) {
			next++
		}
		if next == len(members) || !p.set(next, value) {
			return false // unknown, a second time, in another order, or not as it is written here
		}
		next++
		i = end
		if i >= len(b) || b[i] != ',' {
			break
		}
	}
	if i >= len(b) || b[i] != '}' || skipSpace(b, i+1) != len(b) {
		return false
	}
	p.keep()
	return true
}

// member reads `"key":value` without spaces; end is -1 where there is none.
func member(b []byte, i int) (key, value []byte, end int) {
	if i >= len(b) || b[i] != '"' {
		return nil, nil, -1
	}
	quote := i + 1
	for quote < len(b) && b[quote] != '"' {
		quote++
	}
	if quote+1 >= len(b) || b[quote+1] != ':' {
		return nil, nil, -1
	}
	if end = skipValue(b, quote+2, 1); end < 0 {
		return nil, nil, -1
	}
	return b[i+1 : quote], b[quote+2 : end : end], end
}

// set puts a member into m. It is false where encoding/json has to look at it.
func (p *parser) set(which int, value []byte) bool {
	m := p.m
	switch members[which] {
	case "message_id":
		return p.text(&m.ID, value)
	case "session_id":
		return p.text(&m.SessionID, value)
	case "event_type":
		return p.text(&m.Type, value)
	case "payload":
		m.Payload = value
		return true
	case "sender_component":
		return p.text(&m.Sender, value)
	case "target_component":
		return p.text(&m.Target, value)
	case "reply_to":
		return p.text(&m.ReplyTo, value)
	case "delivery_mode":
		return word(&m.Mode, value, AtLeastOnce, AtMostOnce)
	case "pattern":
		return word(&m.Pattern, value, PointToPoint, PublishSubscribe)
	case "created_at":
		text, ok := unquoted(value)
		return ok && m.CreatedAt.UnmarshalText(text) == nil
	case "retry_count":
		return number(&m.RetryCount, value)
	case "max_retries":
		return number(&m.MaxRetries, value)
	case "ttl_seconds":
		return number(&m.TTLSeconds, value)
	case "traceparent":
		return p.text(&m.TraceParent, value)
	case "stream_id":
		return p.text(&m.StreamID, value)
	case "chunk_index":
		return number(&m.ChunkIndex, value)
	case "is_final":
		m.IsFinal = string(value) == "true"
		return m.IsFinal || string(value) == "false"
	case "error":
		return p.text(&m.Error, value)
	}
	return false
}

func (p *parser) text(field *string, value []byte) bool {
	inside, ok := unquoted(value)
	if !ok || !plain(inside) {
		return false
	}
	p.texts[p.n] = text{field, inside}
	p.n++
	p.size += len(inside)
	return true
}

// unquoted is what is in a string, as it is written.
func unquoted(value []byte) ([]byte, bool) {
	if len(value) < 2 || value[0] != '"' {
		return nil, false
	}
	return value[1 : len(value)-1], true
}

// word sets a field to the one of all that is the value.
func word[T ~string](field *T, value []byte, all ...T) bool {
	inside, ok := unquoted(value)
	for _, w := range all {
		if ok && string(inside) == string(w) {
			*field = w
			return true
		}
	}
	return false
}

// keep copies all texts, in one piece.
func (p *parser) keep() {
	var all strings.Builder
	all.Grow(p.size)
	for _, t := range p.texts[:p.n] {
		all.Write(t.value)
	}
	rest := all.String()
	for _, t := range p.texts[:p.n] {
		*t.field, rest = rest[:len(t.value)], rest[len(t.value):]
	}
}

// number reads what strconv.AppendInt has written.
func number(field *int, value []byte) bool {
	digits := value
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 { // more might not fit
		return false
	}
	n := 0
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
		n = 10*n + int(c-'0')
	}
	if len(digits) < len(value) {
		n = -n
	}
	*field = n
	return true
}
