package host

import (
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/host/tracing"
)

// Types of messages that a host sends to a component or to an inbox.
const (
	typeInput  = "input"
	typeResult = "result"
	typeChunk  = "chunk"
)

// destinations returns one message, without content, for each place where the
// result of handling m goes, in the given trace context. The component that has no components to send to
// is the one that answers the request; its topics then get no reply_to, as
// there is nothing left to answer.
func destinations(c *component.Config, m *bus.Message, traceParent string) []bus.Message {
	base := caused(c, m, traceParent)
	var out []bus.Message
	replyTo := m.ReplyTo
	if len(c.To) == 0 && m.ReplyTo != "" {
		replyTo = ""
		out = append(out, answer(c, m, traceParent))
	}
	base.ReplyTo = replyTo
	return append(out, fanOut(c, base, typeResult)...)
}

// caused is what all that handling m sends has in common.
func caused(c *component.Config, m *bus.Message, traceParent string) bus.Message {
	return bus.Message{
		Sender:      c.Name,
		SessionID:   m.SessionID,
		TraceParent: traceParent,
		Mode:        bus.AtLeastOnce,
		MaxRetries:  bus.DefaultMaxRetries,
		TTLSeconds:  bus.DefaultTTLSeconds,
	}
}

// answer is the message, without content, for whoever asked m.
func answer(c *component.Config, m *bus.Message, traceParent string) bus.Message {
	return pointToPoint(caused(c, m, traceParent), m.ReplyTo, typeResult)
}

// fanOut returns base for each target and topic of the component.
func fanOut(c *component.Config, base bus.Message, typ string) []bus.Message {
	var out []bus.Message
	for _, to := range c.To {
		out = append(out, pointToPoint(base, to, typ))
	}
	for _, topic := range c.Topics {
		m := base
		m.Pattern, m.Type = bus.PublishSubscribe, topic
		out = append(out, m)
	}
	return out
}

func pointToPoint(base bus.Message, target, typ string) bus.Message {
	base.Pattern, base.Target, base.Type = bus.PointToPoint, target, typ
	return base
}

// receiver is where a message goes, as part of an id that is derived.
func receiver(m *bus.Message) string {
	if m.Pattern == bus.PublishSubscribe {
		return "topic " + m.Type
	}
	return m.Target
}

// NewTrace returns a W3C trace context of a trace of its own, for work that
// comes from outside.
func NewTrace() string { return tracing.NewContext() }
