package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// Validate says what is wrong with the description of a consumer.
func (c *Consumer) Validate() error {
	if err := c.invalid(); err != nil {
		return fmt.Errorf("consumer %q: %w", clip(c.Component), err)
	}
	return nil
}

func (c *Consumer) invalid() error {
	if err := checkName("component", c.Component); err != nil {
		return err
	}
	if IsInbox(c.Component) {
		return errors.New("an inbox can't be consumed")
	}
	if c.Instance != "" {
		if err := checkName("instance", c.Instance); err != nil {
			return err
		}
	}
	for _, p := range c.Topics {
		if err := CheckPattern(p); err != nil {
			return err
		}
	}
	if c.QueueLimit < 0 {
		return fmt.Errorf("its queue limit is %d: want 1 or more, or 0 for none", c.QueueLimit)
	}
	if c.Overflow != "" && c.Overflow != Block && c.Overflow != Divert {
		return fmt.Errorf("overflow is %q: want %q or %q", c.Overflow, Block, Divert)
	}
	if c.Handler == nil {
		return errors.New("it has no handler")
	}
	return nil
}

// PanicError is what a handler's panic becomes.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }

type handlerKey struct{}

// InHandler reports whether ctx is that of a running handler: what is
// published with it passes StopAccepting.
func InHandler(ctx context.Context) bool { return ctx.Value(handlerKey{}) != nil }

// Stack is the stack of a handler's panic for logs; nothing for other errors.
func Stack(err error) slog.Attr {
	var p *PanicError
	if errors.As(err, &p) {
		return slog.String("stack", string(p.Stack))
	}
	return slog.Attr{}
}

// WithDefaultDeadline gives ctx an end in DefaultPublishWait where it has none.
func WithDefaultDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, DefaultPublishWait)
}

// HandlerContext returns the context for the handlers of a Consume whose own
// is ctx: it ends c.Grace after ctx does, or as c.Hurry says, or with the cancel
// function.
func (c *Consumer) HandlerContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx = context.WithValue(ctx, handlerKey{}, true)
	if c.Grace <= 0 {
		return context.WithCancel(context.WithoutCancel(ctx))
	}
	return Outlive(ctx, c.Grace, c.Hurry)
}

// Outlive returns a context that ends d after ctx does, or as soon as hurry is
// closed after that, or with the cancel function.
func Outlive(ctx context.Context, d time.Duration, hurry <-chan struct{}) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-hurry:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel() }
}

// Call runs the handler on m within the consumer's timeout and returns its
// outputs completed and checked. A panic is a PanicError, an invalid output a
// Permanent error. It is for backends.
func (c *Consumer) Call(ctx context.Context, m Message) (outputs []Message, err error) {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	outputs, err = c.protect(ctx, m)
	if err != nil {
		if c.Timeout > 0 && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("handler took longer than %s: %w", c.Timeout, err)
		}
		return nil, err
	}
	if err := c.complete(&m, outputs); err != nil {
		return nil, Permanent(err)
	}
	return outputs, nil
}

func (c *Consumer) protect(ctx context.Context, m Message) (outputs []Message, err error) {
	defer func() {
		if v := recover(); v != nil {
			outputs, err = nil, &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return c.Handler(ctx, m)
}

// complete fills in what outputs inherit from their cause.
func (c *Consumer) complete(cause *Message, outputs []Message) error {
	if len(outputs) == 0 {
		return nil
	}
	now := time.Now()
	for i := range outputs {
		o := &outputs[i]
		if o.Sender == "" {
			o.Sender = c.Component
		}
		if o.SessionID == "" {
			o.SessionID = cause.SessionID
		}
		if o.TraceParent == "" {
			o.TraceParent = cause.TraceParent
		}
		if o.ID == "" {
			o.ID = DeriveID(cause, i, c.output(cause, o))
		}
		o.Prepare(now)
		if err := o.Validate(); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	return nil
}

// output names an output in its id. A message of a topic is handled by several
// components, each with outputs of its own, maybe to the same receiver.
func (c *Consumer) output(cause, o *Message) string {
	if cause.Pattern == PublishSubscribe {
		return c.Component + " to " + o.receiver()
	}
	return o.receiver()
}

// Expired returns an error that says so when m has waited longer than its TTL.
func (m *Message) Expired(waited time.Duration) error {
	if ttl := m.TTL(); ttl > 0 && waited > ttl {
		return fmt.Errorf("expired: waited %s, its ttl is %s", waited.Round(time.Millisecond), ttl)
	}
	return nil
}

// Refine applies to m, which came for this consumer, what the consumer says of
// all its messages. It is for backends.
func (c *Consumer) Refine(m *Message) {
	if c.MaxRetries != 0 {
		m.MaxRetries = max(c.MaxRetries, 0)
	}
	if c.TTL != 0 {
		m.TTLSeconds = int((max(c.TTL, 0) + time.Second - 1) / time.Second) // not 0, which is none
	}
}

// ErrorReply returns the message that tells whoever waits for the answer to m
// that the component can't give one; ok is false where nobody waits. Its id is
// derived from m's, so that it counts once. It is for backends, which send it
// in one step with what they do to m.
func ErrorReply(m *Message, component string, cause error) (reply Message, ok bool) {
	if m.ReplyTo == "" || m.Chunk() || !IsInbox(m.ReplyTo) {
		return Message{}, false
	}
	reply = Message{
		Target: m.ReplyTo, Type: "error", Sender: component, SessionID: m.SessionID, TraceParent: m.TraceParent,
		ID: DeriveID(m, 0, "error "+m.ReplyTo), Payload: json.RawMessage("null"),
		Error: component + ": " + cause.Error(),
	}
	reply.Prepare(m.CreatedAt)
	return reply, true
}
