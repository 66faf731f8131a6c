// Package template is the component that turns payloads into text, or into
// other JSON, by a Go template (text/template). It needs no code, so it is the
// glue between components.
//
// A template sees .payload (the decoded JSON), .session, .sender and .parts.
// Beside the functions of text/template there are
//
//	upper lower trim title  of a text
//	json                    of any value
//	join SEP LIST, split SEP TEXT, replace OLD NEW TEXT
//	contains PART WHOLE     of a text or a list
//	default VALUE X         X, or VALUE where X is empty or absent
//
// with the text last, so that they work in pipelines.
//
// Settings:
//
//	template  the template; required
//	join      names of senders: wait until each of them has sent its part of the
//	          same request (the same trace), then run once with .parts.NAME
//	format    "text" (default): the result is a string; "json": the output is JSON
//	timeout   of one run (default "5s")
package template

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

// maxOutput is the largest output of a template, in bytes.
const maxOutput = 1 << 20

type settings struct {
	Template *string            `json:"template"`
	Join     component.Strings  `json:"join"`
	Format   string             `json:"format"`
	Timeout  component.Duration `json:"timeout"`
}

// Build makes a template component.
func Build(_ context.Context, env component.Env) (*component.Instance, error) {
	s := settings{Format: "text", Timeout: component.Duration(5 * time.Second)}
	if err := env.Decode(&s); err != nil {
		return nil, err
	}
	if s.Template == nil {
		return nil, errors.New(`setting "template" is missing: give it the text of a Go template, such as "Hello {{.payload}}"`)
	}
	if s.Format != "text" && s.Format != "json" {
		return nil, fmt.Errorf(`setting "format": want "text" or "json", got %q`, s.Format)
	}
	t, err := compile(*s.Template)
	if err != nil {
		return nil, fmt.Errorf(`setting "template": %w`, err)
	}
	r := &renderer{tmpl: t, join: s.Join, json: s.Format == "json", timeout: time.Duration(s.Timeout), gather: env.Gather}
	return &component.Instance{Handle: r.handle, Timed: true}, nil
}

// compile parses the text and puts a call of tick into every loop and every
// template, so that a run can be stopped.
func compile(text string) (*template.Template, error) {
	t, err := template.New("template").Funcs(functions(context.Background())).Parse(text)
	if err != nil {
		// The name of the template says nothing; the rest starts with the line.
		return nil, errors.New("line " + strings.TrimPrefix(err.Error(), "template: template:"))
	}
	for _, t := range t.Templates() {
		if t.Tree != nil {
			watch(t.Root)
		}
	}
	return t, nil
}

type renderer struct {
	tmpl    *template.Template
	join    []string
	json    bool
	timeout time.Duration
	gather  func(ctx context.Context, key, part string, value json.RawMessage) (map[string]json.RawMessage, error)
}

func (r *renderer) handle(ctx context.Context, m bus.Message, _ component.Out) (json.RawMessage, error) {
	parts := map[string]any{}
	if len(r.join) > 0 {
		raw, err := r.collect(ctx, m)
		if err != nil || raw == nil {
			return nil, err
		}
		for name, p := range raw {
			if parts[name], err = decode(p); err != nil {
				return nil, bus.Permanent(fmt.Errorf("part of %s: %w", name, err))
			}
		}
	}
	payload, err := decode(m.Payload)
	if err != nil {
		return nil, bus.Permanent(fmt.Errorf("payload: %w", err))
	}
	out, err := r.render(ctx, map[string]any{
		"payload": payload, "session": m.SessionID, "sender": m.Sender, "parts": parts,
	})
	if err != nil {
		return nil, bus.Permanent(err)
	}
	if !r.json {
		return component.JSONString(out), nil
	}
	if !json.Valid([]byte(out)) {
		return nil, bus.Permanent(errors.New(`the template's output is no JSON, which "format" asks for: use the function json for values`))
	}
	return json.RawMessage(strings.TrimSpace(out)), nil
}

// collect returns all parts, once they are there, to the one message that is
// to be answered; nil to the others. Two messages can both find all parts, as
// one may be delivered again: the first that says so is the one, and stays it.
func (r *renderer) collect(ctx context.Context, m bus.Message) (map[string]json.RawMessage, error) {
	if !slices.Contains(r.join, m.Sender) {
		return nil, bus.Permanent(fmt.Errorf("message from %q, which is not in the setting \"join\" (%s)", m.Sender, strings.Join(r.join, ", ")))
	}
	key := traceID(m)
	parts, err := r.gather(ctx, key, m.Sender, m.Payload)
	if err != nil {
		return nil, fmt.Errorf("gather the parts: %w", err)
	}
	for _, name := range r.join {
		if _, ok := parts[name]; !ok {
			return nil, nil
		}
	}
	claim, err := r.gather(ctx, key+"/last", "message", component.JSONString(m.ID))
	if err != nil {
		return nil, fmt.Errorf("gather the parts: %w", err)
	}
	if string(claim["message"]) != string(component.JSONString(m.ID)) {
		return nil, nil
	}
	return parts, nil
}

// traceID is what the messages of one request have in common.
func traceID(m bus.Message) string {
	if f := strings.Split(m.TraceParent, "-"); len(f) == 4 {
		return f[1]
	}
	return "session/" + m.SessionID
}

func (r *renderer) render(ctx context.Context, data any) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	t, err := r.tmpl.Clone()
	if err != nil {
		return "", fmt.Errorf("template: %w", err)
	}
	w := &limited{ctx: ctx}
	if err := t.Funcs(functions(ctx)).Execute(w, data); err != nil {
		return "", err
	}
	return w.b.String(), nil
}

// limited is a buffer that ends a run which writes too much or for too long.
type limited struct {
	ctx context.Context
	b   strings.Builder
}

func (l *limited) Write(p []byte) (int, error) {
	if err := stopped(l.ctx); err != nil {
		return 0, err
	}
	if l.b.Len()+len(p) > maxOutput {
		return 0, fmt.Errorf("the output is larger than %d bytes", maxOutput)
	}
	return l.b.Write(p)
}

func stopped(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("the template ran for too long: %w", context.Cause(ctx))
}
