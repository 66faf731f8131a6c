package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/registry"
)

// An order is what the inner half of a command is to do, a line of JSON; what
// comes back are lines of JSON, too: results.
type order struct {
	Op         operation     `json:"op"`
	Components []string      `json:"components,omitempty"` // all where there are none
	Topics     []string      `json:"topics,omitempty"`
	Names      []string      `json:"names,omitempty"` // of components or topics: the bus knows which
	IDs        []string      `json:"ids,omitempty"`   // of dead letters
	All        bool          `json:"all,omitempty"`   // dead letters, in place of IDs
	To         string        `json:"to,omitempty"`    // component that dead letters are moved to
	Limit      int           `json:"limit,omitempty"` // dead letters of each component
	Session    string        `json:"session,omitempty"`
	Every      time.Duration `json:"every,omitempty"` // look again and again
	Wait       time.Duration `json:"wait,omitempty"`
	Served     bool          `json:"served,omitempty"` // don't wait for what nobody takes
	Message    *bus.Message  `json:"message,omitempty"`
	Force      bool          `json:"force,omitempty"`
	Known      []string      `json:"known,omitempty"` // components that have containers
}

type operation string

const (
	opStats    operation = "stats"
	opAsk      operation = "ask"
	opTail     operation = "tail"
	opList     operation = "list"
	opShow     operation = "show"
	opRequeue  operation = "requeue"
	opDiscard  operation = "discard"
	opMove     operation = "move" // dead letters, to another component
	opDrain    operation = "drain"
	opPublish  operation = "publish"
	opTrace    operation = "trace"
	opServices operation = "services"
	opGlance   operation = "glance" // of what runs in a process
)

// result is one line of what comes back: an item, that nothing is missed from
// now on, a note for the person who asked, or the error that ended it all.
type result struct {
	Item  json.RawMessage `json:"item,omitempty"`
	Ready bool            `json:"ready,omitempty"` // of what is asked: that the bus has it
	Note  string          `json:"note,omitempty"`
	// Progress is how far an order is that takes its time, where it was asked
	// for.
	Progress *progressOf `json:"progress,omitempty"`
	Error    string      `json:"error,omitempty"`
	Remedy   string      `json:"remedy,omitempty"`
	Code     int         `json:"code,omitempty"` // exit code of the error
	Away     bool        `json:"away,omitempty"` // the error is that the bus isn't there
}

// progressOf is how many of a component's dead letters went.
type progressOf struct {
	Component string `json:"component"`
	Done      int64  `json:"done"`
	Total     int64  `json:"total"`
}

// busAgentCommand is the inner half of all commands that look into the bus: it
// runs in a component's container, with the environment of that component.
func (t *tool) busAgentCommand() *cli.Command {
	return &cli.Command{
		Name:   "bus-agent",
		Usage:  "do what standard input says on the bus, until its end (used by `ww bus`)",
		Hidden: true,
		Action: func(c *cli.Context) error {
			opts, err := fromEnv(nil)
			if err != nil {
				return err
			}
			return t.busAgent(c.Context, opts.OpenBus)
		},
	}
}

// busAgent does one order. The end of its input ends it: nothing else tells it
// that nobody waits any more, since an engine has no way to end a command.
func (t *tool) busAgent(ctx context.Context, open opener) error {
	return doOrder(ctx, t.in, t.out, &localDoor{open: open})
}

// doOrder reads one order, does it through a door, and writes what comes back.
func doOrder(ctx context.Context, from io.Reader, to io.Writer, d *localDoor) error {
	a := &agent{out: json.NewEncoder(to)}
	a.out.SetEscapeHTML(false)
	in := bufio.NewReader(io.LimitReader(from, 2*bus.MaxMessageBytes))
	var o order
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	if err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	o.Known = append(o.Known, d.known...)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A read can't be broken off: the goroutine ends with the program at the
	// latest.
	go func() {
		_, _ = io.Copy(io.Discard, in) // its end is all that matters
		cancel()
	}()
	if o.Op == opGlance && d.parts != nil { // also while the bus is away
		return a.items(nil, d.glance(ctx))
	}
	if a.bus, a.registry, err = d.open(ctx); err == nil {
		err = errors.Join(a.supervised(ctx, o), a.bus.Close())
	} else if ctx.Err() == nil {
		err = &awayError{err}
	}
	if err == nil {
		return nil
	}
	code, remedy := classify(err)
	var away *awayError
	if errors.As(err, &away) {
		code = exitComponent
	}
	return errors.Join(errReported{code}, a.out.Encode(result{Error: err.Error(), Remedy: remedy, Code: code, Away: away != nil}))
}

// agent does orders on a bus.
type agent struct {
	bus      bus.Bus
	registry registry.Registry
	out      *json.Encoder
}

func (a *agent) do(ctx context.Context, o order) error {
	switch o.Op {
	case opStats:
		return a.stats(ctx, o)
	case opAsk:
		return a.ask(ctx, o)
	case opTail:
		return a.tail(ctx, o)
	case opList, opShow, opRequeue, opDiscard, opMove:
		return a.deadLetters(ctx, o)
	case opDrain:
		return a.drain(ctx, o)
	case opPublish:
		return a.publish(ctx, o)
	case opTrace:
		hops, err := a.bus.Trace(ctx, o.Session)
		return a.items(err, asAny(hops)...)
	case opServices:
		return a.services(ctx, o)
	}
	return &configError{fmt.Errorf("the ww in the container doesn't know %q", o.Op), remedyOld}
}

// remedyOld is for containers that were made by another version.
const remedyOld = "another version of ww made the containers: `ww compose up -d` replaces them"

func (a *agent) items(err error, vs ...any) error {
	for _, v := range vs {
		if err != nil {
			return err
		}
		var line []byte
		if line, err = jsonLine(v); err == nil {
			err = a.out.Encode(result{Item: line})
		}
	}
	return err
}

// jsonLine is v as a line of JSON, with payloads as they are.
func jsonLine(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

func (a *agent) note(text string) error { return a.out.Encode(result{Note: text}) }

func asAny[T any](list []T) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out
}
