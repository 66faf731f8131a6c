package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/bus"
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
	m := new(newMessage("", "", nil))
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
		m.Target = args[0]
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
	// What became of it that nobody can want.
	DeadLetters []string `json:"dead_letters,omitempty"` // of these components, since their queues are full
	Dropped     bool     `json:"dropped,omitempty"`      // nobody subscribes to its topic
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
		if err := a.takesMessages(ctx, m.Target); err != nil {
			return err
		}
	}
	p := published{MessageID: m.ID, SessionID: m.SessionID}
	err := a.bus.Publish(ctx, m)
	if err == nil {
		err = a.follow(ctx, &m, &p)
	}
	return a.items(err, p)
}

// takesMessages refuses a component that says of itself what it can, and
// messages aren't among it: they would wait until they are dead letters.
func (a *agent) takesMessages(ctx context.Context, name string) error {
	entries, err := a.registry.List(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name == name && len(e.Capabilities) > 0 && !slices.Contains(e.Capabilities, "messages") {
			return &usageError{fmt.Errorf("%s takes no messages: it is `%s %s`", name, e.Kind, e.Type),
				"publish to what it hands on to, which `ww graph` shows; --force publishes nevertheless"}
		}
	}
	return nil
}

// follow finds out whether a message that was just published came to nothing.
func (a *agent) follow(ctx context.Context, m *bus.Message, p *published) error {
	receivers := []string{m.Target}
	if m.Pattern == bus.PublishSubscribe {
		var err error
		if receivers, err = a.bus.Subscribers(ctx, m.Type); err != nil {
			return fmt.Errorf("the message is published, and where it went isn't known: %w", err)
		}
		p.Dropped = len(receivers) == 0
	}
	for _, name := range receivers {
		ds, err := a.bus.DeadLetters(ctx, name, 100)
		if err != nil {
			return fmt.Errorf("the message is published, and where it went isn't known: %w", err)
		}
		// What was tried before it died is another matter.
		if slices.ContainsFunc(ds, func(d bus.DeadLetter) bool { return d.Message.ID == m.ID && d.Attempts == 0 }) {
			p.DeadLetters = append(p.DeadLetters, name)
		}
	}
	return nil
}

func (t *tool) publish(ctx context.Context, r *remote, m *bus.Message, force, asJSON bool) error {
	p, err := only[published](ctx, r, order{Op: opPublish, Message: m, Force: force})
	if err != nil {
		return err
	}
	if asJSON {
		err = t.printJSON(p)
	} else {
		_, err = fmt.Fprintln(t.out, p.MessageID)
	}
	if err != nil {
		return err
	}
	return r.wasted(m, p)
}

// wasted tells of a message that came to nothing.
func (r *remote) wasted(m *bus.Message, p published) error {
	if p.Dropped {
		r.note(fmt.Sprintf("nobody subscribes to the topic %q: the message is dropped", m.Type))
	}
	for _, name := range p.DeadLetters {
		r.note(fmt.Sprintf("the queue of %s is full: the message went to its dead letters; `ww bus dlq requeue` gives it back", name))
	}
	if p.Dropped || len(p.DeadLetters) > 0 {
		return errReported{exitFailed}
	}
	return nil
}
