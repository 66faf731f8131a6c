package bus

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxNameBytes bounds ids and names: they become keys of the bus.
const maxNameBytes = 512

// Prepare fills in what m doesn't say: id, created_at, mode, pattern, retries
// and TTL. It may be called twice.
func (m *Message) Prepare(now time.Time) {
	if m.ID == "" {
		m.ID = newID(now)
	}
	if m.CreatedAt.IsZero() {
		m.CreatedAt = now.UTC()
	}
	m.fillModes()
	if m.MaxRetries == 0 {
		m.MaxRetries = DefaultMaxRetries
	}
	if m.TTLSeconds == 0 {
		m.TTLSeconds = DefaultTTLSeconds
	}
}

func (m *Message) fillModes() {
	if m.Mode == "" {
		m.Mode = AtLeastOnce
	}
	if m.Pattern == "" {
		m.Pattern = PointToPoint
	}
}

// Validate says what is wrong with a prepared message.
func (m *Message) Validate() error {
	if err := m.invalid(); err != nil {
		return fmt.Errorf("message %q: %w", clip(m.ID), err)
	}
	return nil
}

func (m *Message) invalid() error {
	if err := checkName("message_id", m.ID); err != nil {
		return err
	}
	if m.Mode != AtLeastOnce && m.Mode != AtMostOnce {
		return fmt.Errorf("delivery_mode is %q: want %q or %q", clip(string(m.Mode)), AtLeastOnce, AtMostOnce)
	}
	if len(m.SessionID) > maxNameBytes {
		return fmt.Errorf("session_id has %d bytes, at most %d are allowed", len(m.SessionID), maxNameBytes)
	}
	if m.RetryCount < 0 {
		return fmt.Errorf("retry_count is %d: want 0 or more", m.RetryCount)
	}
	switch m.Pattern {
	case PointToPoint:
		return checkTarget(m.Target)
	case PublishSubscribe:
		return CheckTopic(m.Type)
	}
	return fmt.Errorf("pattern is %q: want %q or %q", clip(string(m.Pattern)), PointToPoint, PublishSubscribe)
}

func checkTarget(target string) error {
	if !IsInbox(target) {
		return checkName("target_component", target)
	}
	if _, _, ok := ParseInbox(target); !ok {
		return fmt.Errorf("target_component %q: an inbox is written %s", clip(target), InboxName("INSTANCE", "REQUEST"))
	}
	return checkName("target_component", target)
}

func checkName(field, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%s is missing", field)
	case len(s) <= maxNameBytes && isName(s):
		return nil
	case len(s) > maxNameBytes:
		return fmt.Errorf("%s has %d bytes, at most %d are allowed", field, len(s), maxNameBytes)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not valid UTF-8", field)
	}
	for _, r := range s {
		if r == ':' || unicode.IsSpace(r) || unicode.IsControl(r) {
			return fmt.Errorf("%s %q contains %q, which is not allowed", field, clip(s), r)
		}
	}
	return nil
}

// isName reports whether all of s is letters, digits and signs of ASCII that a
// name may have: what nearly every one is.
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return true
}

// Encode returns the wire form of a prepared message, or says why it can't be
// sent; ErrTooLarge where it is beyond MaxMessageBytes.
func Encode(m *Message) ([]byte, error) {
	return AppendEncode(make([]byte, 0, len(m.Payload)+512), m)
}

// AppendEncode is Encode into a buffer; what it returns is all of it.
func AppendEncode(b []byte, m *Message) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	if len(m.Payload) > MaxMessageBytes {
		return nil, tooLarge(m, len(m.Payload))
	}
	if len(m.Payload) > 0 && !validJSON(m.Payload) {
		return nil, notJSON(m)
	}
	b, err := appendEnvelope(b, m)
	if err != nil {
		return nil, fmt.Errorf("message %q: %w", m.ID, err)
	}
	if len(b) > MaxMessageBytes {
		return nil, tooLarge(m, len(b))
	}
	return b, nil
}

// notJSON lets encoding/json say what is wrong.
func notJSON(m *Message) error {
	var v any
	return fmt.Errorf("message %q: payload is not JSON: %w", m.ID, json.Unmarshal(m.Payload, &v))
}

func tooLarge(m *Message, n int) error {
	return fmt.Errorf("message %q to %q: %w: %d bytes, at most %d; send a reference to the data instead",
		m.ID, m.receiver(), ErrTooLarge, n, MaxMessageBytes)
}

func (m *Message) receiver() string {
	if m.Pattern == PublishSubscribe {
		return m.Type
	}
	return m.Target
}

// Decode reads the wire form. Mode and pattern may be missing; anything else
// that Validate refuses is an error. The payload may be a part of data, which
// nobody may write to any more; nothing else of the message is.
func Decode(data []byte) (Message, error) {
	var m Message
	err := m.Decode(data)
	return m, err
}

// Decode is the function of that name, into m.
func (m *Message) Decode(data []byte) error {
	if *m = (Message{}); len(data) > MaxMessageBytes {
		return fmt.Errorf("envelope of %d bytes: %w: at most %d", len(data), ErrTooLarge, MaxMessageBytes)
	}
	err := m.decode(data)
	if err != nil {
		*m = Message{}
	}
	return err
}

func (m *Message) decode(data []byte) error {
	if !parseEnvelope(data, m) {
		*m = Message{}
		if err := json.Unmarshal(data, m); err != nil {
			return fmt.Errorf("envelope is not a message: %w", err)
		}
	}
	m.fillModes()
	return m.Validate()
}

// clip keeps what others sent from filling a log line.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
