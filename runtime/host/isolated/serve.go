package isolated

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/host/downstream"
	"woodwork.dev/ww/runtime/host/tracing"
)

// What the two sides call each other with. In a handler's process there are build
// and handle; the other side has the rest.
type (
	buildCall struct {
		Config component.Config `json:"config"`
		Memory int64            `json:"memory,omitempty"` // that it may use; 0: as much as there is
		Debug  bool             `json:"debug,omitempty"`  // what it logs of that level is wanted
	}
	buildResult struct {
		Streams      bool     `json:"streams"`
		Timed        bool     `json:"timed"`
		Capabilities []string `json:"capabilities,omitempty"`
	}
	handleCall struct {
		Message bus.Message `json:"message"`
		Trace   string      `json:"trace,omitempty"`
	}
	handleResult struct {
		Result json.RawMessage `json:"result,omitempty"` // absent: none
	}
	gatherCall struct {
		Key   string          `json:"key"`
		Part  string          `json:"part"`
		Value json.RawMessage `json:"value"`
	}
	askResult struct {
		Replies uint64 `json:"replies"` // what next and hangup are called with
	}
)

// Serve is the handler's process: it builds the component that the other side
// names, and handles its messages, until in ends.
func Serve(ctx context.Context, in io.Reader, out io.Writer, builders map[string]component.Builder) error {
	c := &child{peer: newPeer(out), builders: builders}
	c.peer.serve = c.serve
	err := c.peer.read(ctx, in)
	if i := c.instance.Load(); i != nil && i.Close != nil {
		err = errors.Join(err, i.Close())
	}
	return err
}

type child struct {
	peer     *peer
	builders map[string]component.Builder
	instance atomic.Pointer[component.Instance]
}

func (c *child) serve(ctx context.Context, method string, body json.RawMessage) (any, error) {
	switch method {
	case "build":
		var in buildCall
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		return c.build(context.WithoutCancel(ctx), in)
	case "handle":
		var in handleCall
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		ctx = tracing.FromHeader(ctx, http.Header{"Traceparent": {in.Trace}})
		result, err := c.handle(ctx, in.Message)
		return handleResult{result}, err
	}
	return nil, fmt.Errorf("there is no %q", method)
}

// build makes the component. What it says of itself goes back.
func (c *child) build(ctx context.Context, in buildCall) (any, error) {
	if in.Memory > 0 {
		debug.SetMemoryLimit(in.Memory / 10 * 9) // Go's own collector begins before the kernel ends it
	}
	level := slog.LevelInfo
	if in.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(newLogs(c.peer, level))
	base := http.DefaultTransport.(*http.Transport).Clone()
	key := in.Config.Kind + " " + in.Config.Type
	builder := c.builders[key]
	if builder == nil {
		return nil, fmt.Errorf("there is no kind %q in this program", key)
	}
	i, err := builder(ctx, component.Env{
		Config: in.Config, Log: log, Stdout: io.Discard, Transport: downstream.New(base, log),
		Secret: func(name string) (value string, err error) {
			err = c.peer.call(ctx, "secret", name, &value, nil)
			return value, err
		},
		Submit: func(ctx context.Context, in component.Submission) error {
			return c.peer.call(ctx, "submit", in, nil, nil)
		},
		Ask: c.ask,
		Gather: func(ctx context.Context, key, part string, value json.RawMessage) (all map[string]json.RawMessage, err error) {
			err = c.peer.call(ctx, "gather", gatherCall{key, part, value}, &all, nil)
			return all, err
		},
	})
	if err != nil {
		return nil, err
	}
	if i.Handle == nil || i.Routes != nil || i.Run != nil {
		return nil, errors.Join(fmt.Errorf("%s can't run in a process of its own: it takes more than messages", key), closeOf(i))
	}
	c.instance.Store(i)
	return buildResult{Streams: i.Streams, Timed: i.Timed, Capabilities: i.Capabilities}, nil
}

func closeOf(i *component.Instance) error {
	if i.Close == nil {
		return nil
	}
	return i.Close()
}

func (c *child) handle(ctx context.Context, m bus.Message) (result json.RawMessage, err error) {
	defer func() {
		if v := recover(); v != nil {
			result, err = nil, &bus.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return c.instance.Load().Handle(ctx, m, pieces{c.peer})
}

// pieces sends the pieces of an answer to the other side, which knows from the
// context which answer it is.
type pieces struct{ peer *peer }

// Chunk implements component.Out.
func (p pieces) Chunk(ctx context.Context, payload json.RawMessage) error {
	return p.peer.call(ctx, "chunk", payload, nil, nil)
}

func (c *child) ask(ctx context.Context, in component.Submission) (bus.Replies, error) {
	var r askResult
	if err := c.peer.call(ctx, "ask", in, &r, nil); err != nil {
		return nil, err
	}
	return &replies{c.peer, r.Replies}, nil
}

type replies struct {
	peer *peer
	id   uint64
}

// Next implements bus.Replies.
func (r *replies) Next(ctx context.Context) (m bus.Message, err error) {
	err = r.peer.call(ctx, "next", r.id, &m, nil)
	return m, err
}

// Close implements bus.Replies.
func (r *replies) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), linger)
	defer cancel()
	return r.peer.call(ctx, "hangup", r.id, nil, nil)
}
