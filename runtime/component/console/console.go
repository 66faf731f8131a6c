// Package console is the output that shows what reaches it on the standard
// output of its container, which is where people look first.
//
// Settings:
//
//	raw  true lets control characters through to the terminal (default false)
package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

// maxStreams bounds the streams that are remembered, so that those whose end
// never comes don't pile up.
const maxStreams = 64

// Build makes a console.
func Build(_ context.Context, env component.Env) (*component.Instance, error) {
	var s struct {
		Raw bool `json:"raw"`
	}
	if err := env.Decode(&s); err != nil {
		return nil, err
	}
	p := &printer{out: env.Stdout, raw: s.Raw, seen: map[string]*strings.Builder{}}
	return &component.Instance{Handle: p.handle, Streams: true}, nil
}

// printer writes one line for each payload. A line that a stream has begun is
// open until its end, or until something else has to be shown.
type printer struct {
	out io.Writer
	raw bool

	mu    sync.Mutex
	open  string // stream whose line is open
	seen  map[string]*strings.Builder
	order []string // of seen, oldest first
}

func (p *printer) handle(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error) {
	if m.Chunk() {
		if err := p.chunk(m.StreamID, component.Text(m.Payload)); err != nil {
			return nil, err
		}
		return nil, out.Chunk(ctx, m.Payload)
	}
	if err := p.whole(m.StreamID, component.Text(m.Payload)); err != nil {
		return nil, err
	}
	return m.Payload, nil
}

func (p *printer) chunk(stream, text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open != stream {
		if err := p.endLine(); err != nil {
			return err
		}
		p.open = stream
	}
	p.remember(stream).WriteString(text)
	return p.write(text)
}

// whole shows an answer, or ends the line of the stream that has shown it. A
// stream of which pieces are missing is shown again as a whole.
func (p *printer) whole(stream, text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	said, streamed := p.forget(stream)
	if err := p.endLine(); err != nil {
		return err
	}
	if streamed && said == text {
		return nil
	}
	return p.write(text + "\n")
}

func (p *printer) endLine() error {
	if p.open == "" {
		return nil
	}
	p.open = ""
	return p.write("\n")
}

func (p *printer) write(text string) error {
	if !p.raw {
		text = component.Harmless(text)
	}
	if _, err := io.WriteString(p.out, text); err != nil {
		return fmt.Errorf("write to the console: %w", err)
	}
	return nil
}

func (p *printer) forget(stream string) (said string, streamed bool) {
	b, ok := p.seen[stream]
	if !ok {
		return "", false
	}
	delete(p.seen, stream)
	p.order = slices.DeleteFunc(p.order, func(s string) bool { return s == stream })
	return b.String(), true
}

func (p *printer) remember(stream string) *strings.Builder {
	b := p.seen[stream]
	if b == nil {
		b = &strings.Builder{}
		p.seen[stream] = b
		p.order = append(p.order, stream)
	}
	if len(p.order) > maxStreams {
		delete(p.seen, p.order[0])
		p.order = p.order[1:]
	}
	return b
}
