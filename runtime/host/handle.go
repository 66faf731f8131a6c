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
	"woodwork.dev/ww/runtime/host/tracing"
)

// envelopeRoom is what a message needs beside its payload.
const envelopeRoom = 64 << 10

// handle is the handler of the component's messages: it calls the instance and
// routes what comes out. Whoever waits for the answer to a message that fails
// for good is told by the bus.
func (h *host) handle(ctx context.Context, m bus.Message) ([]bus.Message, error) {
	if m.Chunk() && !h.instance.Load().Streams {
		return nil, nil
	}
	ctx, end := h.tracer.Process(withMessage(ctx, &m), &m)
	o := &out{host: h, cause: &m, destinations: destinations(&h.Config, &m, tracing.Context(ctx))}
	h.metrics.inFlight.Add(1)
	began := time.Now()
	result, err := h.call(ctx, m, o)
	took := time.Since(began)
	h.metrics.inFlight.Add(-1)
	err = h.secrets.RedactError(err)
	h.metrics.processed(took, err)
	defer end(err)
	if err == nil {
		h.log.DebugContext(ctx, "message handled", "seconds", took.Seconds())
		return o.results(ctx, result), nil
	}
	if _, again := bus.RetryDelay(err); again && o.begun() {
		// What was sent is of one attempt; another needs a number of its own.
		err = counted{err}
	}
	h.log.WarnContext(ctx, "message failed", "error", err, "attempt", m.RetryCount+1, "final", m.Final(err))
	return nil, err
}

// counted hides what an error is marked with.
type counted struct{ err error }

func (c counted) Error() string { return c.err.Error() }

// call runs the instance's handler; its panic is an error like others, so that
// it is counted and logged as they are.
func (h *host) call(ctx context.Context, m bus.Message, o *out) (result json.RawMessage, err error) {
	defer func() {
		if v := recover(); v != nil {
			result, err = nil, &bus.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	result, err = h.instance.Load().Handle(ctx, m, o)
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

// out sends the pieces of one answer.
type out struct {
	host         *host
	cause        *bus.Message
	destinations []bus.Message

	mu   sync.Mutex
	sent int
}

// continues reports whether the answer goes on with a stream that came in.
func (o *out) continues() bool { return o.host.instance.Load().Streams && o.cause.StreamID != "" }

// stream is the id of the answer's stream. It is another one for each attempt,
// as pieces of two attempts make no sense together.
func (o *out) stream() string {
	if o.continues() {
		return bus.DeriveID(&bus.Message{ID: o.cause.StreamID}, 0, "stream of "+o.host.Config.Name)
	}
	return bus.DeriveID(o.cause, o.cause.RetryCount, "stream of "+o.host.Config.Name)
}

// begun reports whether a piece was sent.
func (o *out) begun() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent > 0
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
	began := time.Now()
	err = o.host.bus.Publish(ctx, ms...)
	o.host.metrics.published(len(ms), time.Since(began), err)
	if err != nil {
		return fmt.Errorf("send a chunk: %w", err)
	}
	return nil
}

// results are the messages that carry the whole answer. Their ids come from
// the bus, which sends them in one step with the acknowledgement. Where there is
// no result nothing is sent on, and then nobody else will answer whoever asked
// this component: that one is told so.
func (o *out) results(ctx context.Context, payload json.RawMessage) []bus.Message {
	if o.cause.Chunk() {
		return nil
	}
	if payload == nil {
		if o.cause.ReplyTo == "" || o.cause.Type == typeResult { // a component's: others may have got it, too
			return nil
		}
		payload, o.destinations = json.RawMessage("null"), []bus.Message{answer(&o.host.Config, o.cause, tracing.Context(ctx))}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.destinations {
		m := &o.destinations[i]
		m.Payload = payload
		o.host.tracer.Publish(ctx, m)(nil)
		if o.sent > 0 || o.continues() {
			m.StreamID, m.IsFinal, m.ChunkIndex = o.stream(), true, o.sent
			if o.continues() {
				m.ChunkIndex += o.cause.ChunkIndex
			}
		}
	}
	o.host.metrics.sent.Add(float64(len(o.destinations)))
	return o.destinations
}
