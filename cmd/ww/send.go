package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) sendCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "session", Usage: "the session that the message belongs to (default: a new one)"},
		&cli.BoolFlag{Name: "json", Usage: "the text is JSON, and so is what is printed"},
		&cli.BoolFlag{Name: "no-wait", Usage: "don't wait for the answer"},
		durationFlag("timeout", 2*time.Minute, "how long to wait for the answer"),
	}
	return &cli.Command{
		Name:      "send",
		Usage:     "send a message to a component of a running system, and print its answer",
		ArgsUsage: "COMPONENT [TEXT|-]",
		Flags:     append(append(flags, projectFlags(true)...), engineFlags()...),
		Action: func(c *cli.Context) error {
			if c.NArg() < 1 {
				return &usageError{errors.New("name the component that gets the message"), "ww send COMPONENT [TEXT|-]"}
			}
			payload, err := t.payload(c.Args().Tail(), c.Bool("json"))
			if err != nil {
				return err
			}
			r, leave, err := t.speak(c.Context, c, c.Args().First())
			if err != nil {
				return err
			}
			defer leave()
			ctx, cancel := context.WithTimeout(c.Context, durationOf(c, "timeout"))
			defer cancel()
			answer := t.printAnswer
			if c.Bool("json") {
				answer = t.printAnswerJSON
			}
			m := newMessage(c.Args().First(), c.String("session"), payload)
			if !c.Bool("no-wait") {
				return r.send(ctx, m, answer)
			}
			p, err := only[published](ctx, r, order{Op: opPublish, Message: &m, Force: true})
			if err != nil {
				return err
			}
			return errors.Join(answer(reply{MessageID: p.MessageID, SessionID: p.SessionID}), r.wasted(&m, p))
		},
	}
}

// payload reads the message: the arguments, or standard input for "-" or
// nothing. Text is sent as a JSON string.
func (t *tool) payload(args []string, isJSON bool) (json.RawMessage, error) {
	text := strings.Join(args, " ")
	if len(args) == 0 || text == "-" {
		if len(args) == 0 && isTerminal(t.in) {
			return nil, &usageError{errors.New("there is no text to send"), "ww send COMPONENT TEXT, or - for standard input"}
		}
		b, err := io.ReadAll(io.LimitReader(t.in, bus.MaxMessageBytes+1))
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		if len(b) > bus.MaxMessageBytes {
			return nil, &usageError{bus.ErrTooLarge, fmt.Sprintf("a message holds at most %d bytes", bus.MaxMessageBytes)}
		}
		text = strings.TrimSuffix(string(b), "\n")
		if len(args) == 0 && text == "" { // as with a job that has no input
			return nil, &usageError{errors.New("there is no text to send: standard input is empty"), `name a text, which may be ""`}
		}
	}
	if !utf8.ValidString(text) {
		return nil, &usageError{errors.New("the text isn't UTF-8"), "messages are text or JSON: encode other bytes, as with base64"}
	}
	if !isJSON {
		return json.Marshal(text)
	}
	if !json.Valid([]byte(text)) {
		return nil, &usageError{errors.New("the text isn't JSON"), "leave --json out to send it as it is"}
	}
	return json.RawMessage(text), nil
}

// reply is what is told of an answer.
type reply struct {
	Chunk     json.RawMessage `json:"chunk,omitempty"`
	Answer    json.RawMessage `json:"answer,omitempty"`
	Error     string          `json:"error,omitempty"`
	MessageID string          `json:"message_id,omitempty"`
	SessionID string          `json:"session_id,omitempty"`
	Component string          `json:"component,omitempty"`
}

// newMessage is a message from a person, in a new session unless one is named.
// Its id is made here, so that it stays the same whichever way it goes.
func newMessage(target, session string, payload json.RawMessage) bus.Message {
	return bus.Message{
		ID: bus.NewID(), SessionID: cmp.Or(session, bus.NewID()), Type: "input", Payload: payload, Sender: "cli", Target: target,
		Pattern: bus.PointToPoint, TraceParent: host.NewTrace(),
	}
}

// ask is the inner half: it answers with the messages that are the answer.
func (a *agent) ask(ctx context.Context, o order) error {
	if o.Message == nil {
		return errors.New("there is no message to send")
	}
	replies, err := a.bus.Request(ctx, *o.Message)
	if err != nil {
		return err
	}
	defer replies.Close()
	if err := a.out.Encode(result{Ready: true}); err != nil { // the bus has it
		return err
	}
	for {
		m, err := replies.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err = a.items(err, m); err != nil {
			return err
		}
	}
}

// errAnswered ends an order before its other side does.
var errAnswered = errors.New("the answer is whole")

// send puts a message on the bus of a running system, and calls on for what
// comes back, each piece once. Where the container that it goes through ends
// meanwhile, as in an update, it asks again through another one, for the same
// message: that is handled once.
func (r *remote) send(ctx context.Context, m bus.Message, on func(reply) error) error {
	m.ReplyTo = bus.InboxName(bus.NewID(), m.ID)
	began, accepted := time.Now(), false
	seen := map[string]bool{}
	r.ready = func() { accepted = true }
	err := r.do(ctx, order{Op: opAsk, Message: &m}, parsed(func(got bus.Message) error {
		if seen[got.ID] {
			return nil
		}
		seen[got.ID] = true
		rep := reply{MessageID: m.ID, SessionID: m.SessionID, Component: got.Sender, Error: got.Error}
		switch {
		case got.Error != "":
		case got.Chunk():
			rep.Chunk = got.Payload
		default:
			rep.Answer = got.Payload
		}
		if err := on(rep); err != nil || got.Chunk() {
			return err
		}
		return errAnswered
	}))
	var late *timeoutError
	var cut *cutError
	var away *busError
	switch {
	case errors.Is(err, errAnswered):
		return nil
	case err == nil:
		return &answerError{m.Target + " ended without an answer", "`ww trace " + m.SessionID + "` tells what became of the message"}
	case errors.As(err, &late) && ctx.Err() != nil:
		late = &timeoutError{fmt.Sprintf("%s hasn't answered within %s", m.Target, briefly(time.Since(began))), logsOf(m.Target, r.local) + " tells what it is doing; --timeout waits longer"}
		if r.silent != nil {
			if why := r.silent(ctx, m.Target); why != "" {
				late.msg += ": " + why
			}
		}
		return r.withFate(late, &m, accepted)
	case errors.As(err, &cut), errors.As(err, &away):
		return r.withFate(err, &m, accepted)
	}
	return err
}

// withFate adds to an error what is known of a message that has no answer.
func (r *remote) withFate(err error, m *bus.Message, accepted bool) error {
	switch {
	case accepted:
		return fmt.Errorf("%w; the bus has the message and doesn't lose it: `ww trace %s` tells what becomes of it", err, m.SessionID)
	case r.handed.Load():
		return fmt.Errorf("%w; the message may have been accepted: `ww trace %s` tells", err, m.SessionID)
	}
	return fmt.Errorf("%w; the message was not sent", err)
}

// speak finds a way to the bus for what is sent to a component, and makes sure
// that it is one that takes messages.
func (t *tool) speak(ctx context.Context, c *cli.Context, target string) (*remote, func(), error) {
	if n := t.nearby(ctx, c); n != nil {
		return t.throughProcess(n), func() {}, n.takes(target)
	}
	r, err := t.find(ctx, c)
	if err != nil {
		return nil, nil, notHere(err)
	}
	door, known, err := t.doorTo(ctx, r, target, min(anotherWithin, durationOf(c, "timeout")))
	if err != nil {
		return nil, nil, errors.Join(err, r.engine.Close())
	}
	w := t.through(r, door, known)
	w.again = w.anotherWay(r, door)
	w.silent = r.silent
	return w, func() { _ = r.engine.Close() }, nil // nothing is left to be said on it
}

// takes says why a component can't be sent to.
func (r *running) takes(target string) error {
	var names []string
	var found, down *plan.Container
	coming := false
	for i := range r.have.Containers {
		c := &r.have.Containers[i]
		name := c.Labels[deploy.LabelComponent]
		if name == "" || c.OneOff || c.Labels[deploy.LabelKind] == "container" {
			continue
		}
		names = append(names, name)
		if name != target {
			continue
		}
		if found == nil || c.State == plan.Running {
			found = c
		}
		if c.State != plan.Created {
			down = c
		}
		coming = coming || c.State == plan.Created
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return busNotRunning(nothingRuns(r.name))
	case found == nil:
		return &usageError{fmt.Errorf("there is no component %q in %s", target, r.name),
			suggestion(target, names, "there are: "+strings.Join(slices.Compact(names), ", "))}
	case found.Labels[deploy.LabelKind] == "input":
		return notForInputs(found)
	case found.State == plan.Running:
		return nil
	case down != nil && coming:
		return nil // it is being replaced: its messages wait for the new one
	case coming:
		return notStarted(found)
	}
	return &answerError{
		fmt.Sprintf("%s isn't running: %s", found.Service, strings.ToLower(found.Status)),
		"`ww compose up -d` starts it; `ww compose logs " + found.Service + "` tells why it ended",
	}
}

// notForInputs says where to send what an input would hand on.
func notForInputs(c *plan.Container) error {
	remedy := "it hands nothing on"
	if routes := c.Labels[deploy.LabelRoutes]; routes != "" {
		remedy = "send to what it hands on to: " + strings.ReplaceAll(routes, ",", ", ")
	}
	for _, p := range c.Ports {
		if p.Host != 0 {
			remedy += fmt.Sprintf("; or `curl -d '{\"value\": \"…\"}' http://%s`", net.JoinHostPort(p.HostIP, fmt.Sprint(p.Host)))
			break
		}
	}
	return &usageError{fmt.Errorf("%s is an input: it takes work from outside, and no messages", c.Labels[deploy.LabelComponent]), remedy}
}

// logsOf says where to find what a component writes.
func logsOf(component string, local bool) string {
	if local {
		return "what `ww up` writes"
	}
	return "`ww compose logs " + component + "`"
}

// printAnswer shows an answer as it comes: pieces without line breaks between
// them, and the whole only where there were no pieces.
func (t *tool) printAnswer(rep reply) error {
	switch {
	case rep.Error != "":
		t.streamed = ""
		return &answerError{rep.Component + " failed: " + rep.Error, logsOf(rep.Component, t.local.Load()) + " tells more"}
	case rep.Chunk != nil:
		text := plainText(rep.Chunk)
		t.streamed += text
		_, err := io.WriteString(t.out, text)
		return err
	case rep.Answer != nil:
		text := plainText(rep.Answer)
		if rest, ok := strings.CutPrefix(text, t.streamed); ok {
			text = rest // its pieces have been printed, but for some that were lost
		} else {
			text = ""
		}
		t.streamed = ""
		_, err := io.WriteString(t.out, text+"\n")
		return err
	case rep.MessageID != "":
		_, err := fmt.Fprintf(t.err, "sent %s\n", rep.MessageID)
		return err
	}
	return nil
}

func (t *tool) printAnswerJSON(rep reply) error {
	b, err := json.Marshal(rep)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(t.out, "%s\n", b); err != nil || rep.Error == "" {
		return err
	}
	return errReported{exitComponent}
}

// plainText gives a payload as people read it: a string as it is, everything
// else as JSON. Control characters but line breaks are made visible.
func plainText(payload json.RawMessage) string {
	var s string
	if json.Unmarshal(payload, &s) != nil {
		return string(payload)
	}
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = harmless(strings.TrimSuffix(lines[i], "\r"))
	}
	return strings.Join(lines, "\n")
}
