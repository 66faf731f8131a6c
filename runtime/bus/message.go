package bus

import (
	"encoding/json"
	"log/slog"
	"strings"
	"time"
)

// Message is what components exchange. Its JSON form is the wire format.
//
// A streamed answer is a run of messages that share a StreamID: chunks, in the
// order of ChunkIndex, and one last message with IsFinal set whose payload is
// the whole answer, so that a receiver which doesn't care for streams handles
// only messages for which Chunk() is false.
type Message struct {
	ID        string          `json:"message_id"`
	SessionID string          `json:"session_id"`
	Type      string          `json:"event_type"` // the topic, for publish_subscribe
	Payload   json.RawMessage `json:"payload"`
	Sender    string          `json:"sender_component"`
	Target    string          `json:"target_component,omitempty"` // a component or an inbox

	// ReplyTo is the inbox of whoever waits for the answer. Components hand it
	// on with their outputs; the one that has nowhere to send its result to
	// answers.
	ReplyTo string `json:"reply_to,omitempty"`

	Mode    DeliveryMode `json:"delivery_mode"`
	Pattern Pattern      `json:"pattern"`

	CreatedAt  time.Time `json:"created_at"`
	RetryCount int       `json:"retry_count"` // how often it was tried before

	// On the wire 0 means none for these two. In a message that is yet to be
	// published 0 is the default: say NoRetries or NoExpiry for none.
	MaxRetries int `json:"max_retries"`
	TTLSeconds int `json:"ttl_seconds"`

	// TraceParent is a W3C trace context; its trace id is the same for
	// everything that one request caused.
	TraceParent string `json:"traceparent,omitempty"`

	StreamID   string `json:"stream_id,omitempty"`
	ChunkIndex int    `json:"chunk_index,omitempty"`
	IsFinal    bool   `json:"is_final,omitempty"`

	// Error is set on a reply that says why there is no answer.
	Error string `json:"error,omitempty"`
}

// Chunk reports whether m is a piece of a streamed answer and not the whole.
func (m *Message) Chunk() bool { return m.StreamID != "" && !m.IsFinal }

// DeliveryMode says when a message is acknowledged.
type DeliveryMode string

const (
	AtLeastOnce DeliveryMode = "at_least_once" // after the handler returned
	AtMostOnce  DeliveryMode = "at_most_once"  // before it is called
)

// Pattern says who receives a message.
type Pattern string

const (
	PointToPoint     Pattern = "point_to_point"    // one of the target's replicas
	PublishSubscribe Pattern = "publish_subscribe" // every subscriber of the topic
)

// Defaults of a message that says nothing else.
const (
	DefaultMaxRetries = 3
	DefaultTTLSeconds = 300
)

// What to set where a message is to have no retries, or no end.
const (
	NoRetries = -1
	NoExpiry  = -1
)

// LastAttempt reports whether m goes to the dead letters if it fails now.
func (m *Message) LastAttempt() bool {
	return m.Mode == AtMostOnce || m.RetryCount >= m.MaxRetries
}

// Identity is what a log says of m: its id, its session, and its trace where it
// has one.
func (m *Message) Identity() slog.Attr {
	attrs := []slog.Attr{slog.String("message_id", m.ID), slog.String("session_id", m.SessionID)}
	if parts := strings.Split(m.TraceParent, "-"); len(parts) > 2 {
		attrs = append(attrs, slog.String("trace_id", parts[1]))
	}
	return slog.Attr{Value: slog.GroupValue(attrs...)} // without a name they stand by themselves
}

// TTL is how long m may wait to be handled; 0 for ever.
func (m *Message) TTL() time.Duration {
	return time.Duration(max(m.TTLSeconds, 0)) * time.Second
}
