package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"woodwork.dev/ww/runtime/bus"
)

// dead makes dead letters: m1 and m2 of out, and one message of a topic that
// failed at both, out and greet.
func dead(t *testing.T) *world {
	w := newWorld(t)
	w.consume("out", []string{"news"}, refuse)
	w.consume("greet", []string{"news"}, refuse)
	w.publish(text("m1", "out", "s1", "one"))
	w.drained()
	w.publish(bus.Message{ID: "m2", Target: "out", SessionID: "s2", Payload: json.RawMessage(`{"a":{"b":[1,"<x>"]}}`)})
	w.drained()
	w.publish(bus.Message{ID: "both", Pattern: bus.PublishSubscribe, Type: "news", SessionID: "s3"})
	w.drained()
	return w
}

func (w *world) entries(components ...string) []deadEntry {
	w.Helper()
	w.must(w.tool.listDead(w.ctx, w.remote, deadRequest{names: components, limit: 100, asJSON: true}))
	var all []deadEntry
	w.must(json.Unmarshal([]byte(w.printed()), &all))
	return all
}

func TestDeadLetters(t *testing.T) {
	w := dead(t)
	all := w.entries()
	var got []string
	for _, d := range all {
		got = append(got, d.Component+" "+d.MessageID+" "+d.SessionID)
		if d.ID == "" || d.Attempts != 1 || d.Error != "it is\nbad" || d.Last.IsZero() {
			t.Errorf("%+v", d)
		}
	}
	if want := "greet both s3, out both s3, out m2 s2, out m1 s1"; strings.Join(got, ", ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if n := len(w.entries("greet")); n != 1 {
		t.Errorf("%d of one component", n)
	}
	w.must(w.tool.listDead(w.ctx, w.remote, deadRequest{names: []string{"out"}, limit: 1}))
	w.match(w.printed(), `
ID‹…›   COMPONENT   AGE‹…›   ATTEMPTS   MESSAGE   SESSION   ERROR
`+all[1].ID+`‹…›   out         ‹…›   1          both      s3        it is bad
`)
	w.fails(w.tool.listDead(w.ctx, w.remote, deadRequest{names: []string{"grete"}, limit: 1}), exitUsage, `did you mean "greet"?`)
}

func TestShowDeadLetter(t *testing.T) {
	w := dead(t)
	id := w.entries("out")[1].ID
	w.must(w.tool.showDead(w.ctx, w.remote, deadRequest{names: []string{id}}))
	w.match(w.printed(), `
id           `+id+`
component    out
message      m2
session      s2
published    ‹…›Z
first tried  ‹…›Z
last tried   ‹…›Z
attempts     1
error
  it is
  bad
payload
  {
    "a": {
      "b": [
        1,
        "<x>"
      ]
    }
  }
`)
	w.must(w.tool.showDead(w.ctx, w.remote, deadRequest{names: []string{"m1"}, asJSON: true}))
	var d deadLetter
	w.must(json.Unmarshal([]byte(w.printed()), &d))
	if d.Component != "out" || d.Message.ID != "m1" || string(d.Message.Payload) != `"one"` {
		t.Errorf("%+v", d)
	}
	w.fails(w.tool.showDead(w.ctx, w.remote, deadRequest{names: []string{"m1", "nothing"}}), exitUsage, `no dead letter "nothing"`, "ww bus dlq ls")
	w.fails(w.tool.showDead(w.ctx, w.remote, deadRequest{names: []string{"both"}}), exitUsage, `2 dead letters "both"`, "greet:", "out:")
	w.must(w.tool.showDead(w.ctx, w.remote, deadRequest{names: []string{"greet:both"}, asJSON: true}))
}

func TestRequeue(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		ended <- w.bus.Consume(ctx, bus.Consumer{Component: "out", Handler: refuse}, func() { close(ready) })
	}()
	w.wait("the consumer", ready)
	for i := range 3 {
		w.publish(text(fmt.Sprintf("m%d", i), "out", "s", "x"))
	}
	w.drained()
	cancel()
	w.must(<-ended)
	got := make(chan string, 10)
	w.consume("out", nil, func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		got <- m.ID
		return nil, nil
	})
	w.must(w.tool.requeueDead(w.ctx, w.remote, deadRequest{names: []string{w.entries()[1].ID}}))
	w.match(w.printed(), "COMPONENT   REQUEUED\nout         1\n")
	if id := <-got; id != "m1" {
		t.Errorf("%s comes back", id)
	}
	w.fails(w.tool.requeueDead(w.ctx, w.remote, deadRequest{names: []string{"m0", "m1"}}), exitUsage, `no dead letter "m1"`)
	if n := len(w.entries()); n != 2 {
		t.Errorf("%d are left though one of two ids was wrong, want both", n)
	}
	w.must(w.tool.requeueDead(w.ctx, w.remote, deadRequest{all: true, asJSON: true}))
	w.match(w.printed(), "[\n  {\n    \"component\": \"out\",\n    \"count\": 2\n  }\n]\n")
	if a, b := <-got, <-got; a+b != "m0m2" && a+b != "m2m0" {
		t.Errorf("%s and %s come back", a, b)
	}
	w.must(w.tool.requeueDead(w.ctx, w.remote, deadRequest{all: true}))
	w.match(w.told(), "nothing to do: there are no dead letters\n")
}

// Dead letters of a component that has another name now are given to that.
func TestMoveDead(t *testing.T) {
	w := newWorld(t)
	w.consume("out", nil, refuse)
	for i := range 3 {
		w.publish(text(fmt.Sprintf("m%d", i), "out", "s", fmt.Sprint(i)))
	}
	w.drained()
	got := make(chan bus.Message, 10)
	w.consume("new", nil, func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		got <- m
		return nil, nil
	})
	w.fails(w.tool.requeueDead(w.ctx, w.remote, deadRequest{all: true, to: "nwe"}), exitUsage, `no component "nwe"`, `did you mean "new"?`)
	w.must(w.tool.requeueDead(w.ctx, w.remote, deadRequest{names: []string{w.entries("out")[1].ID}, to: "new"}))
	w.match(w.printed(), "COMPONENT   MOVED\nout         1\n")
	if m := <-got; string(m.Payload) != `"1"` || m.ID == "m1" || m.Target != "new" || m.RetryCount != 0 {
		t.Errorf("%+v comes to it", m)
	}
	w.must(w.tool.requeueDead(w.ctx, w.remote, deadRequest{all: true, names: []string{"out"}, to: "new"}))
	w.match(w.printed(), "COMPONENT   MOVED\nout         2\n")
	if a, b := <-got, <-got; string(a.Payload) != `"0"` || string(b.Payload) != `"2"` {
		t.Errorf("%s and %s come to it", a.Payload, b.Payload)
	}
	if left := w.entries("out"); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

// A dead letter that was moved and dies again can go back: it isn't taken for the
// message that the component has had before.
func TestMoveDeadBack(t *testing.T) {
	w := newWorld(t)
	first := true
	got := make(chan bus.Message, 10)
	w.consume("out", nil, func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		if first {
			first = false
			return nil, bus.Permanent(fmt.Errorf("no"))
		}
		got <- m
		return nil, nil
	})
	w.consume("new", nil, refuse)
	w.publish(text("m", "out", "s", "x"))
	w.drained()
	w.must(w.tool.requeueDead(w.ctx, w.remote, deadRequest{all: true, to: "new"}))
	w.drained()
	w.must(w.tool.requeueDead(w.ctx, w.remote, deadRequest{all: true, to: "out"}))
	select {
	case m := <-got:
		if string(m.Payload) != `"x"` || m.SessionID != "s" {
			t.Errorf("%+v", m)
		}
	case <-w.ctx.Done():
		t.Error("it is lost")
	}
}

// What moves all of many tells how far it is, and where it is cancelled how
// many went.
func TestRequeueAllTells(t *testing.T) {
	w := dead(t)
	first := w.entries("out")[0].ID
	told := make(chan progressOf, 1)
	w.remote.progress = func(p progressOf) {
		select {
		case told <- p:
		default:
		}
	}
	w.requeue = func(ctx context.Context, component string, _ ...string) (int, error) {
		if n, err := w.bus.Requeue(ctx, component, first); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		select {
		case p := <-told:
			if p.Component != "out" || p.Total != 3 || p.Done > 1 { // it may have died again
				t.Errorf("%+v", p)
			}
		case <-ctx.Done():
			t.Error("nothing is told")
		}
		return 1, nil
	}
	w.must(w.tool.requeueDead(w.ctx, w.remote, deadRequest{all: true, names: []string{"out"}}))
	w.match(w.printed(), "COMPONENT   REQUEUED\nout         1\n")

	w.told()
	for _, progress := range []func(progressOf){w.remote.progress, nil} {
		w.remote.progress = progress
		ctx, interrupt := context.WithCancel(w.ctx)
		w.requeue = func(ctx context.Context, component string, _ ...string) (int, error) {
			interrupt()
			<-ctx.Done()
			return 2, ctx.Err()
		}
		w.fails(w.tool.requeueDead(ctx, w.remote, deadRequest{all: true, names: []string{"out"}}), exitCancelled)
		w.match(w.told(), "note: 2 dead letters were requeued before that; the others are where they were\n")
		w.match(w.printed(), "COMPONENT   REQUEUED\nout         2\n")
	}
	w.fails(w.tool.requeueDead(w.ctx, w.remote, deadRequest{all: true, names: []string{"otu"}}), exitUsage, `did you mean "out"?`)
	w.match(w.told(), "")
}

func TestRemoveDeadLetters(t *testing.T) {
	w := dead(t)
	w.must(w.tool.removeDead(w.ctx, w.remote, deadRequest{names: []string{"m1"}}))
	w.match(w.printed(), "COMPONENT   DELETED\nout         1\n")
	w.must(w.tool.removeDead(w.ctx, w.remote, deadRequest{all: true, names: []string{"greet"}}))
	w.match(w.printed(), "COMPONENT   DELETED\ngreet       1\n")
	if n := len(w.entries()); n != 2 {
		t.Errorf("%d are left, want 2", n)
	}
	for answer, left := range map[string]int{"\n": 2, "no\n": 2, "": 2, "y\n": 0} {
		w.tool.in = strings.NewReader(answer)
		sure, err := w.tool.sure(w.ctx, w.remote, nil)
		if err != nil || sure != (left == 0) {
			t.Errorf("%q: %v, %v", answer, sure, err)
		}
		want := "delete 2 dead letters for good? [y/N] "
		if left > 0 {
			want += "nothing is deleted\n"
		}
		w.match(w.told(), want)
	}
}

func TestTail(t *testing.T) {
	w := newWorld(t)
	w.consume("greet", []string{">"}, accept)
	tail := func(asJSON bool, names []string, until string, ms ...bus.Message) string {
		t.Helper()
		ctx, cancel := context.WithCancel(w.ctx)
		var all strings.Builder
		w.tool.out = writer(func(p []byte) (int, error) {
			all.Write(p)
			if strings.Contains(string(p), until) {
				cancel()
			}
			return len(p), nil
		})
		w.remote.ready = func() { w.publish(ms...) }
		w.must(w.tool.tail(ctx, w.remote, names, asJSON))
		if code := <-w.ended; code != exitOK {
			t.Errorf("the other side ends with %d", code)
		}
		return all.String()
	}
	chunk := text("c1", "greet", "s1", "piece")
	chunk.StreamID, chunk.ChunkIndex = "st", 4
	failed := text("e1", "greet", "s1", "")
	failed.Error = "no\nway"
	news := bus.Message{ID: "n", Pattern: bus.PublishSubscribe, Type: "news.sport", Sender: "in", Payload: json.RawMessage(`{"a":1}`)}
	other := func(s string) bus.Message {
		return bus.Message{Pattern: bus.PublishSubscribe, Type: "other", Payload: json.RawMessage(`"` + s + `"`)}
	}
	w.match(tail(false, nil, "end", text("t1", "greet", "s1", "two\nlines\x1b[2J"), chunk, failed, news, other("end")), `
‹…›  test → greet              input     s1                          two lines\x1b[2J
‹…›  test → greet              input     s1                          #4 piece
‹…›  test → greet              input     s1                          error: no way
‹…›  in → topic                news.sport  -                           {"a":1}
‹…›  - → topic                 other     -                           end
`)
	got := tail(true, []string{"news.*"}, "n2", text("t2", "greet", "s", "x"), other("x"), bus.Message{ID: "n2", Pattern: bus.PublishSubscribe, Type: "news.late"})
	var m bus.Message
	w.must(json.Unmarshal([]byte(got), &m))
	if m.ID != "n2" || m.Type != "news.late" {
		t.Errorf("%s", got)
	}
	w.told()
	tail(true, []string{"gret"}, "n3", bus.Message{ID: "n3", Pattern: bus.PublishSubscribe, Type: "gret"})
	if told := w.told(); !strings.Contains(told, `did you mean "greet"?`) {
		t.Errorf("a name that is nearly a component's: %q", told)
	}
}

func TestMessageLine(t *testing.T) {
	m := bus.Message{Target: bus.InboxName("i", "r"), Payload: json.RawMessage(`"x"`)}
	if got := messageLine(m); !strings.Contains(got, "- → whoever asked ") {
		t.Error(got)
	}
}

func TestTrace(t *testing.T) {
	w := newWorld(t)
	w.consume("greet", nil, func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		return []bus.Message{{Target: "out", Type: "result", Payload: m.Payload}, {Target: bus.InboxName("i", "r"), Payload: m.Payload}}, nil
	})
	w.consume("out", nil, refuse)
	w.publish(text("m1", "greet", "s1", "a"))
	w.publish(text("m2", "greet", "s2", "b"))
	w.drained()
	w.must(w.tool.trace(w.ctx, w.remote, "s1", false))
	w.match(w.printed(), `
TIME‹…›   COMPONENT   FROM    TYPE     WAITED‹…›   TOOK‹…›   ATTEMPT   OUTCOME   TO                   ERROR
‹…›   greet       test    input    ‹…›ms‹…›   ‹…›ms‹…›   1         done      out, whoever asked   -
‹…›   out         greet   result   ‹…›ms‹…›   ‹…›ms‹…›   1         dead      -                    it is bad
`)
	w.must(w.tool.trace(w.ctx, w.remote, "s1", true))
	var hops []bus.Hop
	w.must(json.Unmarshal([]byte(w.printed()), &hops))
	if len(hops) != 2 || hops[1].Error != "it is\nbad" || hops[0].Session != "s1" {
		t.Errorf("%+v", hops)
	}
	w.fails(w.tool.trace(w.ctx, w.remote, "s3", false), exitUsage, `remembers nothing of a session "s3"`, "ww bus tail")
}
