package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/host"
)

func (t *tool) busPublishCommand() *cli.Command {
	return &cli.Command{
		Name:      "publish",
		Usage:     "put a message on the bus, for a component or on a topic, and print its id; `ww send` waits for an answer as well",
		ArgsUsage: "COMPONENT|--topic TOPIC [TEXT|-]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "topic", Usage: "the topic to publish on, in place of a component"},
			&cli.StringFlag{Name: "session", Usage: "the session that the message belongs to (default: a new one)"},
			&cli.BoolFlag{Name: "json", Usage: "the text is JSON"},
			&cli.BoolFlag{Name: "force", Usage: "also for a component that nobody knows"},
			formatFlag("text", "text or json"),
		},
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "text", "json"); err != nil {
				return err
			}
			m, err := t.message(c.Args().Slice(), c.String("topic"), c.Bool("json"))
			if err != nil {
				return err
			}
			if s := c.String("session"); s != "" {
				m.SessionID = s
			}
			return t.onBus(c, func(ctx context.Context, r *remote) error {
				return t.publish(ctx, r, m, c.Bool("force"), c.String("format") == "json")
			})
		},
	}
}

// message makes the message that a command line describes.
func (t *tool) message(args []string, topic string, isJSON bool) (*bus.Message, error) {
	m := &bus.Message{ID: bus.NewID(), SessionID: bus.NewID(), Sender: "cli", TraceParent: host.NewTrace()}
	const way = "ww bus publish COMPONENT|--topic TOPIC [TEXT|-]"
	switch {
	case topic != "":
		if err := bus.CheckTopic(topic); err != nil {
			return nil, &usageError{err, way}
		}
		m.Pattern, m.Type = bus.PublishSubscribe, topic
	case len(args) == 0:
		return nil, &usageError{errors.New("name the component or the topic that gets the message"), way}
	default:
		m.Pattern, m.Type, m.Target = bus.PointToPoint, "input", args[0]
		args = args[1:]
	}
	payload, err := t.payload(args, isJSON)
	if err != nil {
		return nil, err
	}
	m.Payload = payload
	return m, nil
}

// published is what is told of a message that the bus has.
type published struct {
	MessageID string `json:"message_id"`
	SessionID string `json:"session_id"`
}

// publish is the inner half.
func (a *agent) publish(ctx context.Context, o order) error {
	if o.Message == nil {
		return errors.New("there is no message to publish")
	}
	m := *o.Message
	if m.Pattern == bus.PointToPoint && !o.Force {
		known, err := a.components(ctx, o)
		if err != nil {
			return err
		}
		if !slices.Contains(known, m.Target) {
			return &usageError{fmt.Errorf("neither the bus nor the registry knows a component %q", m.Target),
				suggestion(m.Target, known, "there are: "+strings.Join(known, ", ")+"; --force publishes nevertheless")}
		}
	}
	return a.items(a.bus.Publish(ctx, m), published{m.ID, m.SessionID})
}

func (t *tool) publish(ctx context.Context, r *remote, m *bus.Message, force, asJSON bool) error {
	p, err := only[published](ctx, r, order{Op: opPublish, Message: m, Force: force})
	if err != nil {
		return err
	}
	if asJSON {
		return t.printJSON(p)
	}
	_, err = fmt.Fprintln(t.out, p.MessageID)
	return err
}
