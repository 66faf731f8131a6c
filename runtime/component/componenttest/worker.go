package componenttest

import (
	"context"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/memory"
	"woodwork.dev/ww/runtime/component"
)

// Worker puts one component behind the inputs of env: what env.Ask sends over
// a bus in memory reaches work, which answers by calling reply for each
// answer. The handler's ctx ends with the test.
func Worker(t *testing.T, env *component.Env, work func(ctx context.Context, m bus.Message, reply func(bus.Message))) {
	t.Helper()
	b := memory.New(memory.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	subscribed, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- b.Consume(ctx, bus.Consumer{Component: "worker", Concurrency: 4, Grace: time.Millisecond, Handler: func(ctx context.Context, m bus.Message) ([]bus.Message, error) {
			work(ctx, m, func(r bus.Message) {
				r.Target, r.Pattern, r.SessionID = m.ReplyTo, bus.PointToPoint, m.SessionID
				if err := b.Publish(ctx, r); err != nil {
					t.Error(err)
				}
			})
			return nil, nil
		}}, func() { close(subscribed) })
	}()
	<-subscribed
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	env.Config.To = []string{"worker"}
	env.Ask = func(ctx context.Context, in component.Submission) (bus.Replies, error) {
		return b.Request(ctx, bus.Message{ID: in.ID, SessionID: in.Session, Payload: in.Payload, Target: "worker", Type: "input"})
	}
}
