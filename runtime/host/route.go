package host

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

// Types of messages that a host sends to a component or to an inbox.
const (
	typeInput  = "input"
	typeResult = "result"
	typeChunk  = "chunk"
	typeError  = "error"
)

// destinations returns one message, without content, for each place where the
// result of handling m goes. The component that has no components to send to
// is the one that answers the request; its topics then get no reply_to, as
// there is nothing left to answer.
func destinations(c *component.Config, m *bus.Message) []bus.Message {
	base := bus.Message{
		Sender:      c.Name,
		SessionID:   m.SessionID,
		TraceParent: nextSpan(m.TraceParent),
		Mode:        bus.AtLeastOnce,
		MaxRetries:  bus.DefaultMaxRetries,
		TTLSeconds:  bus.DefaultTTLSeconds,
	}
	var out []bus.Message
	replyTo := m.ReplyTo
	if len(c.To) == 0 && m.ReplyTo != "" {
		replyTo = ""
		out = append(out, pointToPoint(base, m.ReplyTo, typeResult))
	}
	base.ReplyTo = replyTo
	return append(out, fanOut(c, base, typeResult)...)
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

var traceParent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})$`)

// nextSpan returns a W3C trace context with the trace of parent and a new span;
// with a new trace where parent is none.
func nextSpan(parent string) string {
	trace, flags := "", "01"
	if f := traceParent.FindStringSubmatch(parent); f != nil {
		trace, flags = f[1], f[2]
	} else {
		trace = randomHex(16)
	}
	return "00-" + trace + "-" + randomHex(8) + "-" + flags
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
