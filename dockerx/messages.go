package dockerx

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// message is one object of the stream that an engine answers builds and pulls
// with.
type message struct {
	Stream   string `json:"stream"`
	Status   string `json:"status"`
	ID       string `json:"id"`
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	Error       string `json:"error"`
	ErrorDetail struct {
		Message string `json:"message"`
	} `json:"errorDetail"`
	Aux json.RawMessage `json:"aux"`
}

// messageError is a failure that a stream tells of: the response itself is a
// success by then.
type messageError struct{ msg string }

func (e *messageError) Error() string { return e.msg }

// readMessages calls f for each message, and returns the error that the stream
// tells of.
func readMessages(r io.Reader, f func(message)) error {
	dec := json.NewDecoder(r)
	for {
		var m message
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if m.ErrorDetail.Message != "" {
			return &messageError{m.ErrorDetail.Message}
		}
		if m.Error != "" {
			return &messageError{m.Error}
		}
		f(m)
	}
}

// tailLines is how much of a failing step's output goes into its error.
const tailLines = 20

// buildLog cuts a builder's output into lines, and keeps the last ones of the
// current step.
type buildLog struct {
	out  func(string)
	part strings.Builder
	tail []string
	id   string
}

func (l *buildLog) add(m message) {
	var aux struct{ ID string }
	if len(m.Aux) > 0 && json.Unmarshal(m.Aux, &aux) == nil && aux.ID != "" {
		l.id = aux.ID
	}
	text := m.Stream
	if text == "" && m.Status != "" && m.Progress.Total == 0 { // a base image is pulled
		text = strings.TrimSpace(m.ID+" "+m.Status) + "\n"
	}
	for {
		line, rest, found := strings.Cut(text, "\n")
		l.part.WriteString(line)
		if !found {
			return
		}
		l.flush()
		text = rest
	}
}

// flush ends the current line. Empty ones say nothing.
func (l *buildLog) flush() {
	line := strings.TrimRight(l.part.String(), "\r")
	l.part.Reset()
	if line == "" {
		return
	}
	l.out(line)
	if strings.HasPrefix(line, "Step ") {
		l.tail = nil
	}
	l.tail = append(l.tail, line)
	if len(l.tail) > tailLines {
		l.tail = l.tail[len(l.tail)-tailLines:]
	}
}
