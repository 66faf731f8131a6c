package exec

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

var errOutput = fmt.Errorf("the output is larger than %d bytes", maxOutput)

// limited is a buffer that stops the program when it writes too much.
type limited struct {
	stop context.CancelCauseFunc
	b    bytes.Buffer
}

func (l *limited) Write(p []byte) (int, error) {
	if l.b.Len()+len(p) > maxOutput {
		l.stop(errOutput)
		return 0, errOutput
	}
	return l.b.Write(p)
}

// maxTailLine bounds a line of standard error that is kept.
const maxTailLine = 500

// tail keeps the last lines that were written to it.
type tail struct {
	lines []string
	rest  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		whole := bytes.HasSuffix(line, []byte("\n"))
		t.rest = append(t.rest, bytes.TrimRight(line, "\r\n")...)
		t.rest = t.rest[:min(len(t.rest), maxTailLine)]
		if whole {
			t.push()
		}
	}
	return len(p), nil
}

func (t *tail) push() {
	if len(bytes.TrimSpace(t.rest)) > 0 {
		t.lines = append(t.lines, strings.ToValidUTF8(string(t.rest), "\uFFFD"))
	}
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
	t.rest = t.rest[:0]
}

func (t *tail) String() string {
	t.push()
	return strings.Join(t.lines, "\n")
}

// splitter calls line for each line that is written to it. A line of more than
// max bytes is cut into pieces, or is an error where whole is set.
type splitter struct {
	max   int
	whole bool
	line  func([]byte)
	rest  []byte
}

func (s *splitter) Write(p []byte) (int, error) {
	for part := range bytes.Lines(p) {
		s.rest = append(s.rest, part...)
		if s.whole && len(s.rest) > s.max {
			return 0, fmt.Errorf("a line is larger than %d bytes", s.max)
		}
		if part[len(part)-1] == '\n' || len(s.rest) > s.max {
			s.end()
		}
	}
	return len(p), nil
}

// end hands out what the last line has so far.
func (s *splitter) end() {
	if line := bytes.TrimSpace(s.rest); len(line) > 0 {
		s.line(line)
	}
	s.rest = s.rest[:0]
}
