package main

import (
	"context"
	"encoding/json"
	"io"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// What is answered twice, since it was asked twice, is printed once.
func TestSendAgain(t *testing.T) {
	const ready, piece1, piece2 = `{"ready":true}` + "\n",
		`{"item":{"message_id":"1","stream_id":"s","payload":"Hel"}}` + "\n", `{"item":{"message_id":"2","stream_id":"s","chunk_index":1,"payload":"lo"}}` + "\n"
	const whole = `{"item":{"message_id":"3","stream_id":"s","chunk_index":2,"is_final":true,"payload":"Hello!"}}` + "\n"
	for name, c := range map[string][]string{
		"whole":                      {ready + piece1 + piece2 + whole},
		"cut before the bus has it":  {"", ready + whole},
		"cut in the middle":          {ready + piece1, ready + piece1 + piece2 + whole},
		"pieces are lost":            {ready + piece1, ready + whole},
		"the engine says why it is":  {"cannot exec in a stopped state: unknown\n", ready + piece1 + whole},
		"cut twice":                  {ready, ready + piece1, ready + piece1 + piece2 + whole},
		"cut with the answer at end": {ready + whole},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var asked []string
			r := other(w.ctx, func(_ context.Context, stdin io.Reader, stdout, _ io.Writer) (int, error) {
				var o order
				w.must(json.NewDecoder(stdin).Decode(&o))
				asked = append(asked, o.Message.ID+o.Message.ReplyTo)
				_, err := io.WriteString(stdout, c[len(asked)-1])
				return 137, err
			})
			r.again = func(context.Context) error { return nil }
			m := newMessage("greet", "", json.RawMessage("1"))
			w.must(r.send(w.ctx, m, w.tool.printAnswer))
			if got := w.printed(); got != "Hello!\n" || len(asked) != len(c) {
				t.Errorf("it prints %q, asked %d times", got, len(asked))
			}
			for _, a := range asked {
				if a != asked[0] {
					t.Errorf("it asks for another message: %v", asked)
				}
			}
		})
	}
}

// A message without an answer is an error that says what became of it.
func TestSendFate(t *testing.T) {
	w := newWorld(t)
	m := newMessage("greet", "s", json.RawMessage("1"))
	unread := other(w.ctx, func(context.Context, io.Reader, io.Writer, io.Writer) (int, error) { return 137, nil })
	read := func(answer string) *remote {
		return other(w.ctx, func(_ context.Context, stdin io.Reader, stdout, _ io.Writer) (int, error) {
			var o order
			w.must(json.NewDecoder(stdin).Decode(&o))
			_, _ = io.WriteString(stdout, answer)
			return 137, nil
		})
	}
	send := func(r *remote) error { return r.send(w.ctx, m, w.tool.printAnswer) }
	w.fails(send(unread), exitComponent, "through demo-in-1 failed (exit code 137)", "; the message was not sent")
	w.fails(send(read("")), exitComponent, "through demo-in-1 failed", "the message may have been accepted: `ww trace s` tells")
	w.fails(send(read(`{"ready":true}`+"\n")), exitComponent, "through demo-in-1 failed", "the bus has the message and doesn't lose it")
	w.fails(send(read(`{"error":"no host","away":true,"code":7}`+"\n")), exitComponent, "message-bus can't be used: no host; the message may", remedyBus)
	w.fails(send(read(`{"item":{"sender_component":"out","error":"it is bad"}}`+"\n")), exitComponent, "out failed: it is bad", "logs out")

	// Nobody answers in time, and who was asked is told to end.
	ctx, cancel := context.WithTimeout(w.ctx, 50*time.Millisecond)
	defer cancel()
	err := w.remote.send(ctx, m, w.tool.printAnswer)
	w.fails(err, exitTimeout, "greet hasn't answered within ", "; the bus has the message", "--timeout")
	<-w.ended
	w.consume("greet", nil, func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		return []bus.Message{{Target: m.ReplyTo, Payload: m.Payload}}, nil
	})
	w.must(w.remote.send(w.ctx, newMessage("greet", "", json.RawMessage("2")), w.tool.printAnswer))
	if got := w.printed(); got != "2\n" {
		t.Errorf("it prints %q", got)
	}
}

// A component that is being replaced takes messages, one that has ended doesn't.
func TestTakes(t *testing.T) {
	w := newWorld(t)
	c := func(component, kind string, state plan.State) plan.Container {
		return plan.Container{Service: component, State: state, Status: string(state) + " (1)",
			Labels: map[string]string{deploy.LabelComponent: component, deploy.LabelKind: kind}}
	}
	takes := func(target string, cs ...plan.Container) error {
		return (&running{name: "demo", have: plan.Observed{Containers: cs}}).takes(target)
	}
	old, fresh := c("greet", "core", plan.Exited), c("greet", "core", plan.Created)
	starting := c("greet", "core", plan.Running)
	starting.Health = plan.Starting
	w.must(takes("greet", old, c("greet", "core", plan.Running)))
	w.must(takes("greet", fresh, old))
	w.fails(takes("greet", old), exitComponent, "greet isn't running: exited (1)", "logs greet")
	w.fails(takes("greet", fresh), exitComponent, "greet isn't running yet: its container was made, and hasn't been started", "ww compose up -d")
	w.fails(takes("greet"), exitComponent, `message-bus isn't running: nothing of project "demo" is`, remedyNothing)
	w.fails(takes("greeet", old), exitUsage, "no component", `did you mean "greet"`)
	w.fails(takes("in", c("in", "input", plan.Running)), exitUsage, "in is an input")
	// What is only made is waited for, and then that is said.
	r := &running{name: "demo", have: plan.Observed{Containers: []plan.Container{fresh}}}
	_, _, err := w.tool.doorTo(w.ctx, r, "greet", 0)
	w.fails(err, exitComponent, "greet isn't running yet: its container was made, and hasn't been started, after 0 ms")
	for want, cs := range map[string][]plan.Container{
		"it may still be starting":                        {starting, fresh},
		"its container was made, and hasn't been started": {fresh},
		"its container is exited":                         {old},
		"":                                                {starting, c("greet", "core", plan.Running)},
	} {
		if got := silence(cs, "greet"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	w.fails(takes("db", c("db", "container", plan.Running), old), exitUsage, "no component")
}
