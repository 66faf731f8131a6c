package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/host"
)

// requestCommand is the inner half of `send`: it runs in a component's
// container, with the environment of that component.
func (t *tool) requestCommand() *cli.Command {
	return &cli.Command{
		Name:   "request",
		Usage:  "put the request on standard input on the bus, and print the answers (used by `ww send`)",
		Hidden: true,
		Action: func(c *cli.Context) error {
			var req request
			line, err := bufio.NewReader(io.LimitReader(t.in, 2*bus.MaxMessageBytes)).ReadBytes('\n')
			if err != nil {
				return fmt.Errorf("read the request: %w", err)
			}
			if err := json.Unmarshal(line, &req); err != nil {
				return fmt.Errorf("read the request: %w", err)
			}
			opts, err := fromEnv(nil)
			if err != nil {
				return err
			}
			b, _, err := opts.OpenBus(c.Context)
			if err != nil {
				return err
			}
			defer b.Close()
			return t.ask(c.Context, b, req)
		},
	}
}

func (t *tool) ask(ctx context.Context, b bus.Bus, req request) error {
	m := bus.Message{
		ID: bus.NewID(), SessionID: req.Session, Type: "input", Payload: req.Payload, Sender: "cli", Target: req.Target,
		Pattern: bus.PointToPoint, TraceParent: host.NewTrace(),
	}
	if m.SessionID == "" {
		m.SessionID = bus.NewID()
	}
	enc := json.NewEncoder(t.out)
	if req.NoWait {
		if err := b.Publish(ctx, m); err != nil {
			return err
		}
		return enc.Encode(reply{MessageID: m.ID, SessionID: m.SessionID})
	}
	replies, err := b.Request(ctx, m)
	if err != nil {
		return err
	}
	defer replies.Close()
	for {
		got, err := replies.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rep := reply{MessageID: m.ID, SessionID: m.SessionID, Component: got.Sender, Error: got.Error}
		switch {
		case got.Error != "":
		case got.Chunk():
			rep.Chunk = got.Payload
		default:
			rep.Answer = got.Payload
		}
		if err := enc.Encode(rep); err != nil {
			return err
		}
	}
}
