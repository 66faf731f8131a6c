package isolated

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

// serve answers what the handler's process asks for.
func (r *running) serve(ctx context.Context, method string, body json.RawMessage) (any, error) {
	switch method {
	case "secret":
		var name string
		if err := json.Unmarshal(body, &name); err != nil {
			return nil, err
		}
		return r.env.Secret(name)
	case "chunk":
		out, ok := ctx.Value(piecesKey{}).(component.Out)
		if !ok || out == nil {
			return nil, errors.New("the message is handled no more")
		}
		return nil, out.Chunk(ctx, body)
	case "gather":
		var in gatherCall
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		return r.env.Gather(ctx, in.Key, in.Part, in.Value)
	case "submit", "ask":
		var in component.Submission
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		if method == "submit" {
			return nil, r.env.Submit(ctx, in)
		}
		answers, err := r.env.Ask(ctx, in)
		if err != nil {
			return nil, err
		}
		return askResult{r.keep(answers)}, nil
	case "next", "hangup":
		var id uint64
		if err := json.Unmarshal(body, &id); err != nil {
			return nil, err
		}
		return r.answers(ctx, method, id)
	}
	return nil, fmt.Errorf("there is no %q", method)
}

func (r *running) keep(answers bus.Replies) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	r.replies[r.last] = answers
	return r.last
}

func (r *running) answers(ctx context.Context, method string, id uint64) (any, error) {
	r.mu.Lock()
	answers := r.replies[id]
	if method == "hangup" {
		delete(r.replies, id)
	}
	r.mu.Unlock()
	switch {
	case answers == nil:
		return nil, fmt.Errorf("question %d isn't open", id)
	case method == "hangup":
		return nil, answers.Close()
	}
	return answers.Next(ctx)
}

// maxHead bounds what is kept of a process's standard error: how it begins says
// what went wrong.
const maxHead = 4 << 10

// head keeps the beginning of what is written.
type head struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write takes all.
func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b.Write(p[:min(len(p), maxHead-min(h.b.Len(), maxHead))])
	return len(p), nil
}

// line is the first line that says something.
func (h *head) line() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for line := range strings.Lines(h.b.String()) {
		if line = strings.TrimSpace(line); line != "" {
			return strings.ToValidUTF8(component.Harmless(line), "\uFFFD")
		}
	}
	return ""
}
