package syntax

import "strings"

const envRemedy = "write `$NAME`, `${NAME}`, `${NAME:-default}` or `${NAME:?message}`, or quote the text if a dollar sign is meant"

// scanEnv scans `$NAME` or `${NAME…}`.
func (s *scanner) scanEnv(t *token) {
	t.kind = env
	s.off++
	if s.off < len(s.src) && s.src[s.off] == '{' {
		s.scanBracedEnv(t)
		return
	}
	t.text = s.envName()
	if t.text == "" {
		s.badEnv(t, "`$` isn't followed by the name of a variable")
	}
}

func (s *scanner) badEnv(t *token, message string) {
	t.bad = true
	s.mistake(codeInvalidEnv, s.span(t.start, s.here()), message, envRemedy)
}

func (s *scanner) envName() string {
	start := s.off
	for s.off < len(s.src) && envByte(s.src[s.off], s.off > start) {
		s.off++
	}
	return s.src[start:s.off]
}

func envByte(c byte, digit bool) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || digit && '0' <= c && c <= '9'
}

func (s *scanner) scanBracedEnv(t *token) {
	s.off++
	t.text = s.envName()
	body := s.off
	end := s.envEnd()
	if end < 0 {
		s.badEnv(t, "`${` has no closing `}`")
		s.restOfLine()
		return
	}
	rest := s.src[body:end]
	if rest != "" && blank(rest) && s.openedHere() > 0 {
		s.badEnv(t, "`${` has no closing `}`") // the one that was found closes a block
		return
	}
	s.off = end + 1
	for _, op := range []string{":-", ":?", "-", "?"} {
		if arg, ok := strings.CutPrefix(rest, op); ok {
			t.op, t.arg, rest = op, s.text(arg), ""
			break
		}
	}
	switch {
	case t.text == "":
		s.badEnv(t, "`${` isn't followed by the name of a variable")
	case rest != "":
		s.badEnv(t, "unknown operator "+quoteSource(rest)+" in `${"+t.text+"…}`")
	case strings.Contains(t.arg, "${"):
		s.badEnv(t, "`${…}` can't hold another `${…}`")
	}
}

// envEnd finds the `}` on this line that closes a `${`, past balanced braces in
// the default or the message; -1 if there is none.
func (s *scanner) envEnd() int {
	depth := 1
	for i := s.off; i < len(s.src) && s.src[i] != '\n'; i++ {
		switch s.src[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// restOfLine passes what an unclosed `${` has made meaningless.
func (s *scanner) restOfLine() {
	rest := s.src[s.off:]
	if i := strings.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	rest = strings.TrimRight(rest, " \t\r")
	s.swallow(rest, s.openedHere())
	s.off += len(rest)
}
