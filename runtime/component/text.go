package component

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// Text is a payload as people read it: a string as it is, other JSON compact,
// nothing for null.
func Text(payload json.RawMessage) string {
	payload = bytes.TrimSpace(payload)
	if len(payload) == 0 || bytes.Equal(payload, []byte("null")) {
		return ""
	}
	var s string
	if payload[0] == '"' && json.Unmarshal(payload, &s) == nil {
		return s
	}
	var b bytes.Buffer
	if err := json.Compact(&b, payload); err != nil {
		return string(payload)
	}
	return b.String()
}

// JSONString is the JSON form of a string, without escapes for HTML.
func JSONString(s string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always has a JSON form
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Harmless returns text that can't steer a terminal: control characters other
// than line breaks and tabs, and characters that change the direction of what
// follows, are shown as escapes.
func Harmless(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if strings.IndexFunc(text, harmful) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if harmful(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func harmful(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
}
