package main

import (
	"bufio"
	"bytes"
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

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy"
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
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			ctx, cancel := context.WithTimeout(c.Context, durationOf(c, "timeout"))
			defer cancel()
			answer := t.printAnswer
			if c.Bool("json") {
				answer = t.printAnswerJSON
			}
			return r.send(ctx, c.Args().First(), request{Session: c.String("session"), Payload: payload, NoWait: c.Bool("no-wait")}, answer)
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

// request is what goes into the container, reply what comes out, a line each.
type (
	request struct {
		Target  string          `json:"target"`
		Session string          `json:"session,omitempty"`
		Payload json.RawMessage `json:"payload"`
		NoWait  bool            `json:"no_wait,omitempty"`
	}
	reply struct {
		Chunk     json.RawMessage `json:"chunk,omitempty"`
		Answer    json.RawMessage `json:"answer,omitempty"`
		Error     string          `json:"error,omitempty"`
		MessageID string          `json:"message_id,omitempty"`
		SessionID string          `json:"session_id,omitempty"`
		Component string          `json:"component,omitempty"`
	}
)

// send puts a message on the bus of a running system, from inside one of its
// containers: the bus needs no open port for that.
func (r *running) send(ctx context.Context, target string, req request, on func(reply) error) error {
	via, err := r.gateway(target)
	if err != nil {
		return err
	}
	req.Target = target
	in, err := json.Marshal(req)
	if err != nil {
		return err
	}
	pr, pw := io.Pipe()
	var stderr bytes.Buffer
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		code, err := r.engine.Exec(ctx, via.ID, deploy.ExecSpec{Cmd: []string{"/ww", "request"}, Stdin: bytes.NewReader(append(in, '\n')), Stdout: pw, Stderr: &stderr})
		pw.CloseWithError(errors.Join(err, io.EOF))
		done <- result{code, err}
	}()
	readErr := readReplies(pr, on)
	_ = pr.CloseWithError(io.ErrClosedPipe) // lets the other side end when reading stopped early
	res := <-done
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &timeoutError{target + " hasn't answered in time", "`ww compose logs " + target + "` tells what it is doing; --timeout waits longer"}
	case ctx.Err() != nil:
		return ctx.Err()
	case readErr != nil:
		return readErr
	case res.err != nil:
		return res.err
	case res.code != 0:
		return &answerError{fmt.Sprintf("sending through %s failed: %s", via.Name, oneLine(strings.TrimSpace(stderr.String()))), "`ww compose logs " + via.Service + "` tells more"}
	}
	return nil
}

func readReplies(r io.Reader, on func(reply) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 2*bus.MaxMessageBytes)
	for sc.Scan() {
		var rep reply
		if err := json.Unmarshal(sc.Bytes(), &rep); err != nil {
			return &answerError{"no answer, but: " + harmless(string(sc.Bytes()[:min(len(sc.Bytes()), 500)])), "the component's ww may be another version: `ww compose up -d` replaces it"}
		}
		if err := on(rep); err != nil {
			return err
		}
	}
	return nil // what ended the stream is told by the command's result
}

// gateway finds a running component to send through, and makes sure that the
// target is one.
func (r *running) gateway(target string) (plan.Container, error) {
	var names []string
	var found, down *plan.Container
	for i := range r.have.Containers {
		c := &r.have.Containers[i]
		name := c.Labels[deploy.LabelComponent]
		if c.Labels[deploy.LabelPhase] == string(model.PhaseBus) && c.State != plan.Running {
			down = c
		}
		if name == "" || c.OneOff || c.Labels[deploy.LabelKind] == "container" {
			continue
		}
		names = append(names, name)
		if name == target && (found == nil || c.State == plan.Running) {
			found = c
		}
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return plan.Container{}, &configError{fmt.Errorf("project %q isn't running", r.name), "`ww compose up -d` starts it"}
	case found == nil:
		return plan.Container{}, &usageError{fmt.Errorf("there is no component %q in %s", target, r.name),
			suggestion(target, names, "there are: "+strings.Join(slices.Compact(names), ", "))}
	case found.Labels[deploy.LabelKind] == "input":
		return plan.Container{}, notForInputs(found)
	case found.State != plan.Running:
		down = found
	}
	if down != nil {
		return plan.Container{}, &answerError{
			fmt.Sprintf("%s isn't running: %s", down.Service, strings.ToLower(down.Status)),
			"`ww compose up -d` starts it; `ww compose logs " + down.Service + "` tells why it ended",
		}
	}
	return *found, nil
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

// printAnswer shows an answer as it comes: pieces without line breaks between
// them, and the whole only where there were no pieces.
func (t *tool) printAnswer(rep reply) error {
	switch {
	case rep.Error != "":
		return &answerError{rep.Component + " failed: " + rep.Error, "`ww compose logs " + rep.Component + "` tells more"}
	case rep.Chunk != nil:
		t.streamed = true
		_, err := io.WriteString(t.out, plainText(rep.Chunk))
		return err
	case rep.Answer != nil:
		text := plainText(rep.Answer)
		if t.streamed {
			text = "" // its pieces have been printed
		}
		t.streamed = false
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
