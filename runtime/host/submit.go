package host

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

// gatherTTL is for how long the parts of one request are kept for each other.
const gatherTTL = 15 * time.Minute

// inputs returns the messages that put work from outside into the system.
func (h *host) inputs(in component.Submission) ([]bus.Message, error) {
	switch p := h.state.view().Phase; p {
	case draining, stopped:
		return nil, component.ErrDraining
	}
	if in.ID == "" {
		in.ID = bus.NewID()
	}
	if in.Session == "" {
		in.Session = bus.NewID()
	}
	if in.Type == "" {
		in.Type = typeInput
	}
	ms := fanOut(&h.Config, bus.Message{
		Sender:    h.Config.Name,
		SessionID: in.Session,
		Payload:   in.Payload,
		CreatedAt: time.Now().UTC(),
	}, in.Type)
	if len(ms) == 0 {
		return nil, errors.New(`there is nowhere to send input to: the setting "to" is empty`)
	}
	ms[0].ID = in.ID
	for i := range ms[1:] {
		ms[i+1].ID = bus.DeriveID(&ms[0], i, receiver(&ms[i+1]))
	}
	return ms, nil
}

func (h *host) submit(ctx context.Context, in component.Submission) error {
	ms, err := h.inputs(in)
	if err != nil {
		return err
	}
	return h.publish(ctx, ms, func() error { return h.bus.Publish(ctx, ms...) })
}

// publish puts messages that belong together into the trace of ctx, sends them
// with f, and counts them.
func (h *host) publish(ctx context.Context, ms []bus.Message, f func() error) error {
	end := h.tracer.Publish(ctx, &ms[0])
	for i := range ms[1:] {
		ms[i+1].TraceParent = ms[0].TraceParent
	}
	began := time.Now()
	err := h.secrets.RedactError(f())
	h.metrics.published(len(ms), time.Since(began), err)
	end(err)
	return err
}

func (h *host) ask(ctx context.Context, in component.Submission) (replies bus.Replies, err error) {
	ms, err := h.inputs(in)
	if err != nil {
		return nil, err
	}
	err = h.publish(ctx, ms, func() (err error) {
		if len(ms) == 1 {
			replies, err = h.bus.Request(ctx, ms[0])
		} else {
			replies, err = h.askAll(ctx, ms)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return replies, nil
}

func (h *host) gather(ctx context.Context, key, part string, value json.RawMessage) (map[string]json.RawMessage, error) {
	return h.bus.Gather(ctx, h.Config.Name+"/"+key, part, value, gatherTTL)
}

// askAll sends several requests, of which the first that is answered counts. That
// a component has nothing to say does only where all others don't either.
func (h *host) askAll(ctx context.Context, ms []bus.Message) (bus.Replies, error) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a := &anyOf{cancel: cancel, answers: make(chan reply)}
	for _, m := range ms {
		r, err := h.bus.Request(ctx, m)
		if err != nil {
			return nil, errors.Join(err, a.Close())
		}
		a.open = append(a.open, r)
		a.readers.Go(func() { a.read(inner, r) })
	}
	return a, nil
}

type reply struct {
	message bus.Message
	err     error
}

// anyOf is the answers to several requests as one stream.
type anyOf struct {
	cancel  context.CancelFunc
	open    []bus.Replies
	readers sync.WaitGroup
	answers chan reply
	empty   int // requests that were answered with nothing
	ended   bool
}

func (a *anyOf) read(ctx context.Context, r bus.Replies) {
	for {
		m, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return
		}
		select {
		case a.answers <- reply{m, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// Next implements bus.Replies.
func (a *anyOf) Next(ctx context.Context) (bus.Message, error) {
	if a.ended {
		return bus.Message{}, io.EOF
	}
	for {
		select {
		case r := <-a.answers:
			if r.err == nil && r.message.Error == "" && !r.message.Chunk() && string(r.message.Payload) == "null" {
				if a.empty++; a.empty < len(a.open) {
					continue
				}
			}
			a.ended = r.err != nil || !r.message.Chunk()
			return r.message, r.err
		case <-ctx.Done():
			return bus.Message{}, ctx.Err()
		}
	}
}

// Close implements bus.Replies.
func (a *anyOf) Close() error {
	a.cancel()
	a.readers.Wait()
	var errs []error
	for _, r := range a.open {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
