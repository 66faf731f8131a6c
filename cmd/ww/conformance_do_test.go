package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// performance is a system that runs in one manner, and what is done with it.
type performance struct {
	*system
	manner    manner
	t         testing.TB
	ports     [2]string // of the input, of the server
	out, told *watched  // of `ww up`
	outInside bool      // the output runs in a container
}

// do does each line of a script, and gives each with what was seen:
//
//	send [--session S] NAME JSON      asks a component: pieces, answer or error
//	post NAME JSON                    asks an input over HTTP
//	publish [--session S] NAME TEXT   waits for no answer
//	publish --topic TOPIC TEXT
//	drain                             waits until nothing waits
//	output N [sorted|by-session]      what the output shows, N lines at the least
//	dlq                               dead letters
//	trace S                           deliveries of a session
//	stats                             what was handled, and what died
func (p *performance) do(script string) string {
	p.t.Helper()
	var seen strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" || p.t.Failed() {
			continue
		}
		fmt.Fprintf(&seen, "$ %s\n", line)
		verb, rest, _ := strings.Cut(line, " ")
		var got []string
		switch verb {
		case "send":
			session, rest := flagOf("--session", rest)
			name, payload, _ := strings.Cut(rest, " ")
			if !strings.ContainsAny(payload, `"{0123456789`) && payload != "null" && payload != "true" {
				payload = strconv.Quote(payload)
			}
			if p.manner.server {
				got = p.overHTTP(session, name, payload)
			} else {
				got = p.send(session, name, payload)
			}
		case "post":
			name, body, _ := strings.Cut(rest, " ")
			got = p.post(name, body)
		case "publish":
			got = p.publish(rest)
		case "drain":
			p.ww("bus", "drain", "--timeout", "30s")
		case "output":
			got = p.output(strings.Fields(rest))
		case "dlq":
			got = p.deadLetters()
		case "trace":
			got = p.deliveries(rest)
		case "stats":
			got = p.counts()
		default:
			p.t.Fatalf("nobody knows how to %q", line)
		}
		for _, g := range got {
			fmt.Fprintln(&seen, g)
		}
	}
	return seen.String()
}

// flagOf takes a flag and its value off the beginning of a line.
func flagOf(flag, line string) (value, rest string) {
	after, ok := strings.CutPrefix(line, flag+" ")
	if !ok {
		return "", line
	}
	value, rest, _ = strings.Cut(after, " ")
	return value, rest
}

// must fails a test that can't go on.
func (p *performance) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *performance) send(session, name, payload string) []string {
	p.t.Helper()
	args := []string{"send", "--json", "--timeout", "30s"}
	if session != "" {
		args = append(args, "--session", session)
	}
	c := p.command(append(args, name, payload)...)
	var out, diag bytes.Buffer
	c.Stdout, c.Stderr = &out, &diag
	_ = c.Run() // the exit code tells
	code := c.ProcessState.ExitCode()
	var seen []string
	var last reply
	for dec := json.NewDecoder(&out); dec.More(); {
		last = reply{}
		p.must(dec.Decode(&last))
		if session != "" && last.SessionID != session || last.MessageID == "" {
			p.t.Errorf("an answer of session %q, message %q, to one of session %q", last.SessionID, last.MessageID, session)
		}
		seen = append(seen, answered(last.Chunk, last.Answer, last.Error))
	}
	if want := map[bool]int{true: exitOK, false: exitComponent}[last.Error == ""]; code != want || len(seen) == 0 {
		p.t.Errorf("send %s %s: exit code %d\n%s", name, payload, code, diag.String())
	}
	return seen
}

func answered(chunk, answer json.RawMessage, failure string) string {
	switch {
	case failure != "":
		return "error " + strconv.Quote(failure)
	case chunk != nil:
		return "chunk " + string(chunk)
	}
	return "answer " + string(answer)
}

var asker = &http.Client{Timeout: time.Minute}

// httpAnswer is an answer over HTTP.
type httpAnswer struct {
	Value   json.RawMessage `json:"value"`
	Error   string          `json:"error"`
	Session string          `json:"session_id"`
	Message string          `json:"message_id"`
}

// overHTTP asks a component through its server, and has the answer in pieces.
func (p *performance) overHTTP(session, name, payload string) []string {
	p.t.Helper()
	body := `{"value": ` + payload + `}`
	if session != "" {
		body = `{"session": "` + session + `", "value": ` + payload + `}`
	}
	req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+p.ports[1]+"/"+name+"/input", strings.NewReader(body))
	p.must(err)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Content-Type", "application/json")
	res, err := asker.Do(req)
	p.must(err)
	defer res.Body.Close()
	var seen []string
	event := ""
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var a httpAnswer
		p.must(json.Unmarshal([]byte(data), &a))
		if event == "chunk" {
			seen = append(seen, answered(a.Value, nil, ""))
		} else {
			seen = append(seen, answered(nil, a.Value, a.Error))
		}
	}
	p.must(lines.Err())
	return seen
}

func (p *performance) post(name, body string) []string {
	p.t.Helper()
	url := "http://127.0.0.1:" + p.ports[0] + "/"
	if p.manner.server {
		url = "http://127.0.0.1:" + p.ports[1] + "/" + name + "/input"
	}
	res, err := asker.Post(url, "application/json", strings.NewReader(body))
	p.must(err)
	defer res.Body.Close()
	var a httpAnswer
	p.must(json.NewDecoder(res.Body).Decode(&a))
	return []string{fmt.Sprintf("%d %s, session %s", res.StatusCode, answered(nil, a.Value, a.Error), a.Session)}
}

func (p *performance) publish(line string) []string {
	p.t.Helper()
	args := []string{"bus", "publish", "--format", "json"}
	if topic, rest := flagOf("--topic", line); topic != "" {
		args, line = append(args, "--topic", topic), rest
	} else {
		session, rest := flagOf("--session", line)
		name, text, _ := strings.Cut(rest, " ")
		args, line = append(args, "--session", session, name), text
	}
	if text, err := strconv.Unquote(line); err == nil {
		line = text
	}
	c := p.command(append(args, line)...)
	var out, diag bytes.Buffer
	c.Stdout, c.Stderr = &out, &diag
	_ = c.Run() // the exit code tells
	var told published
	p.must(json.Unmarshal(out.Bytes(), &told))
	seen := fmt.Sprintf("exit code %d", c.ProcessState.ExitCode())
	if told.Dropped {
		seen += ", dropped"
	}
	if len(told.DeadLetters) > 0 {
		seen += fmt.Sprintf(", dead letters of %v", told.DeadLetters)
	}
	return []string{seen}
}

// output waits for so many lines. What is shown later than that is the next
// one's, or a matter of stats.
func (p *performance) output(args []string) []string {
	p.t.Helper()
	n, err := strconv.Atoi(args[0])
	p.must(err)
	lines := p.written()
	for end := time.Now().Add(10 * time.Second); len(lines) < n; lines = p.written() {
		if time.Now().After(end) {
			p.t.Errorf("the output shows %d lines, and not %d: %q", len(lines), n, lines)
			return lines
		}
	}
	switch {
	case slices.Contains(args, "sorted"):
		slices.Sort(lines)
	case slices.Contains(args, "by-session"): // the first letter, here
		slices.SortStableFunc(lines, func(a, b string) int { return cmp.Compare(a[:1], b[:1]) })
	}
	return lines
}

func (p *performance) deadLetters() []string {
	p.t.Helper()
	var all []deadEntry
	p.must(json.Unmarshal([]byte(p.ww("bus", "dlq", "ls", "--format", "json")), &all))
	var seen []string
	for _, d := range all {
		seen = append(seen, fmt.Sprintf("%s: %s after %s: %q", d.Component, d.Type, count(d.Attempts, "attempt", "attempts"), d.Error))
	}
	slices.Sort(seen)
	return seen
}

func (p *performance) deliveries(session string) []string {
	p.t.Helper()
	var hops []bus.Hop
	p.must(json.Unmarshal([]byte(p.ww("trace", "--format", "json", session)), &hops))
	var seen []string
	for _, h := range hops {
		var to []string
		for _, o := range h.Outputs {
			if bus.IsInbox(o) {
				o = "asker"
			}
			to = append(to, o)
		}
		slices.Sort(to)
		from := h.Sender
		if h.Sender == "cli" || h.Sender == "deployment" { // the server calls itself as its deployment
			from = "outside"
		}
		seen = append(seen, fmt.Sprintf("%s → %s, %s, attempt %d: %s → %v", from, h.Component, h.Type, h.Attempt, h.Outcome, to))
	}
	slices.Sort(seen) // who was first of two at the same time says nothing
	return seen
}

func (p *performance) counts() []string {
	p.t.Helper()
	var l look
	p.must(json.Unmarshal([]byte(p.ww("bus", "stats", "--format", "json")), &l))
	var seen []string
	for name, s := range l.Components {
		if s.Handled+s.Dead+s.Depth > 0 {
			seen = append(seen, fmt.Sprintf("%s: handled %d, retried %d, dead %d, waiting %d", name, s.Handled, s.Retried, s.Dead, s.Depth))
		}
	}
	slices.Sort(seen)
	return seen
}
