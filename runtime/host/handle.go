package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// envelopeRoom is what a message needs beside its payload.
const envelopeRoom = 64 << 10

// handle is the handler of the component's messages: it calls the instance and
// routes what comes out.
func (h *host) handle(ctx context.Context, m bus.Message) ([]bus.Message, error) {
	if m.Chunk() && !h.instance.Streams {
		return nil, nil
	}
	o := &out{host: h, cause: &m, destinations: destinations(&h.Config, &m)}
	h.metrics.inFlight.Add(1)
	began := time.Now()
	result, err := h.call(ctx, m, o)
	h.metrics.seconds.Observe(time.Since(began).Seconds())
	h.metrics.inFlight.Add(-1)
	log := h.log.With("message_id", m.ID, "session_id", m.SessionID)
	if err == nil {
		h.metrics.handled.Inc()
		log.Debug("message handled", "seconds", time.Since(began).Seconds())
		return o.results(result), nil
	}
	h.metrics.failed.Inc()
	err = h.secrets.RedactError(err)
	final := bus.IsPermanent(err) || m.LastAttempt()
	log.Warn("message failed", "error", err, "attempt", m.RetryCount+1, "final", final)
	if final && ctx.Err() == nil {
		h.replyError(ctx, &m, err)
	}
	return nil, err
}

// call runs the instance's handler; its panic is an error like others, so that
// whoever waits for an answer gets to know.
func (h *host) call(ctx context.Context, m bus.Message, o *out) (result json.RawMessage, err error) {
	defer func() {
		if v := recover(); v != nil {
			result, err = nil, &bus.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	result, err = h.instance.Handle(ctx, m, o)
	switch {
	case err != nil || result == nil:
		return nil, err
	case !json.Valid(result):
		return nil, bus.Permanent(errors.New("the component's result is not JSON"))
	case len(result) > bus.MaxMessageBytes-envelopeRoom:
		return nil, bus.Permanent(fmt.Errorf("the component's result of %d bytes: %w: at most %d", len(result), bus.ErrTooLarge, bus.MaxMessageBytes-envelopeRoom))
	}
	return result, nil
}

// replyError tells whoever waits for an answer that there won't be one.
func (h *host) replyError(ctx context.Context, m *bus.Message, err error) {
	if m.ReplyTo == "" || m.Chunk() {
		return
	}
	reply := pointToPoint(bus.Message{
		ID:          bus.DeriveID(m, 0, "error "+m.ReplyTo),
		Sender:      h.Config.Name,
		SessionID:   m.SessionID,
		TraceParent: nextSpan(m.TraceParent),
		Payload:     json.RawMessage("null"),
		Error:       fmt.Sprintf("%s: %v", h.Config.Name, err),
	}, m.ReplyTo, typeError)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := h.bus.Publish(ctx, reply); err != nil {
		h.log.Warn("the failure could not be told to who asked", "error", err, "message_id", m.ID, "session_id", m.SessionID)
	}
}

// out sends the pieces of one answer.
type out struct {
	host         *host
	cause        *bus.Message
	destinations []bus.Message

	mu   sync.Mutex
	sent int
}

// continues reports whether the answer goes on with a stream that came in.
func (o *out) continues() bool { return o.host.instance.Streams && o.cause.StreamID != "" }

// stream is the id of the answer's stream. It is another one for each attempt,
// as pieces of two attempts make no sense together.
func (o *out) stream() string {
	if o.continues() {
		return bus.DeriveID(&bus.Message{ID: o.cause.StreamID}, 0, "stream of "+o.host.Config.Name)
	}
	return bus.DeriveID(o.cause, o.cause.RetryCount, "stream of "+o.host.Config.Name)
}

// next returns the index of the next piece.
func (o *out) next() (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause.Chunk() && o.sent > 0 {
		return 0, errors.New("a chunk can be sent on as one chunk only")
	}
	index := o.sent
	if o.continues() {
		index += o.cause.ChunkIndex
	}
	o.sent++
	return index, nil
}

// Chunk publishes the piece at once. Pieces are sent at most once: what is lost
// is in the result, and what is late is of no use.
func (o *out) Chunk(ctx context.Context, payload json.RawMessage) error {
	index, err := o.next()
	if err != nil || len(o.destinations) == 0 {
		return err
	}
	stream := o.stream()
	ms := make([]bus.Message, len(o.destinations))
	for i, m := range o.destinations {
		m.ID = bus.DeriveID(&bus.Message{ID: stream, CreatedAt: o.cause.CreatedAt}, index, receiver(&m))
		if m.Pattern == bus.PointToPoint {
			m.Type = typeChunk
		}
		m.Mode, m.MaxRetries = bus.AtMostOnce, bus.NoRetries
		m.Payload, m.StreamID, m.ChunkIndex = payload, stream, index
		ms[i] = m
	}
	if err := o.host.bus.Publish(ctx, ms...); err != nil {
		return fmt.Errorf("send a chunk: %w", err)
	}
	return nil
}

// results are the messages that carry the whole answer. Their ids come from
// the bus.
func (o *out) results(payload json.RawMessage) []bus.Message {
	if payload == nil || o.cause.Chunk() {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.destinations {
		m := &o.destinations[i]
		m.Payload = payload
		if o.sent > 0 || o.continues() {
			m.StreamID, m.IsFinal, m.ChunkIndex = o.stream(), true, o.sent
			if o.continues() {
				m.ChunkIndex += o.cause.ChunkIndex
			}
		}
	}
	return o.destinations
}
