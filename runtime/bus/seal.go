package bus

import (
	"bytes"
	"encoding/json"
	"time"
)

// Seal checks a prepared message as Encode does, and gives it a payload of its
// own. It is for backends within one process, which need no wire form: what
// they hand on is what Decode would have made of what Encode would have written.
func Seal(m *Message) error {
	if !m.verbatim() {
		body, err := Encode(m)
		if err != nil {
			return err
		}
		*m, err = Decode(body)
		return err
	}
	if err := m.Validate(); err != nil {
		return err
	}
	if len(m.Payload) == 0 {
		m.Payload = json.RawMessage("null")
	} else if !validJSON(m.Payload) {
		return notJSON(m)
	} else {
		m.Payload = append(json.RawMessage(nil), bytes.Trim(m.Payload, " \t\r\n")...)
	}
	m.CreatedAt = m.CreatedAt.Round(0) // the clock of this process is not sent
	return nil
}

// verbatim reports whether m stays as it is on its way through the wire form,
// and is certainly not too large for it.
func (m *Message) verbatim() bool {
	const frame = 1024 // names of fields, numbers, times
	size := frame + len(m.Payload)
	for _, s := range [...]string{m.ID, m.SessionID, m.Type, m.Sender, m.Target, m.ReplyTo, m.TraceParent, m.StreamID, m.Error} {
		if !plain(s) {
			return false
		}
		size += len(s)
	}
	year := m.CreatedAt.Year()
	return size <= MaxMessageBytes && m.CreatedAt.Location() == time.UTC && year >= 0 && year <= 9999
}
