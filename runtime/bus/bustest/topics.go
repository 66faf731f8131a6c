package bustest

import (
	"context"
	"fmt"

	"woodwork.dev/ww/runtime/bus"
)

var topicTests = map[string]func(*fixture){
	"Topics":         topics,
	"TopicsDurable":  topicsDurable,
	"TopicsRetried":  topicsRetried,
	"TopicsReplicas": topicsReplicas,
	"TopicOutputs":   topicOutputs,
	"TopicResults":   topicResults,
	"Dropped":        dropped,
}

func topics(f *fixture) {
	sinks := map[string]<-chan bus.Message{
		"exact": f.sink(f.Bus, "exact", "orders.eu.new"),
		"star":  f.sink(f.Other, "star", "orders.*.new"),
		"rest":  f.sink(f.Bus, "rest", "orders.>"),
		"two":   f.sink(f.Other, "two", "orders.>", "orders.eu.*"),
		"none":  f.sink(f.Bus, "none", "orders", "orders.*", "*.eu"),
	}
	for topic, want := range map[string]string{"orders.eu.new": "[exact rest star two]", "orders.eu": "[none rest two]", "else": "[]"} {
		if names, err := f.Bus.Subscribers(f.ctx, topic); err != nil || fmt.Sprint(names) != want {
			f.Errorf("subscribers of %s: %v, %v, want %s", topic, names, err, want)
		}
	}
	f.publish(f.Other, on("orders.eu.new", 1), on("orders.us.new", 2), on("orders.eu", 3))
	f.drained()
	want := map[string][]int{"exact": {1}, "star": {1, 2}, "rest": {1, 2, 3}, "two": {1, 2, 3}, "none": {3}}
	for name, ch := range sinks {
		var got []int
		for range want[name] {
			got = append(got, number(f, receive(f, ch, "a message for "+name)))
		}
		nothing(f, ch, "message for "+name)
		seen := map[int]bool{}
		for _, n := range got {
			seen[n] = true
		}
		for _, n := range want[name] {
			if !seen[n] {
				f.Errorf("%s: got %v, want %v", name, got, want[name])
			}
		}
	}
}

// What is published while a subscriber is away is kept for it.
func topicsDurable(f *fixture) {
	c := bus.Consumer{Component: "a", Topics: []string{"t"},
		Handler: func(context.Context, bus.Message) ([]bus.Message, error) { return nil, nil }}
	f.consume(f.Other, c)()
	f.publish(f.Bus, on("t", 1))
	got := f.sink(f.Other, "a", "t")
	receive(f, got, "what was published meanwhile")
}

func topicsRetried(f *fixture) {
	good := f.sink(f.Bus, "good", "t")
	f.failing(bus.Consumer{Component: "bad", Topics: []string{"t"}}, errTest)
	m := on("t", 1)
	m.MaxRetries = 1
	f.publish(f.Bus, m)
	receive(f, good, "the message")
	if d := f.dead("bad"); d.Attempts != 2 || d.Target != "bad" || d.Message.Type != "t" {
		f.Errorf("%+v", d)
	}
	f.drained()
	nothing(f, good, "copy of what another subscriber retried")
}

func topicsReplicas(f *fixture) {
	got := make(chan int, 100)
	for i, b := range []bus.Bus{f.Bus, f.Other} {
		f.consume(b, bus.Consumer{Component: "a", Instance: fmt.Sprint("r", i), Topics: []string{"t"},
			Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
				got <- number(f, m)
				return nil, nil
			}})
	}
	for i := range 10 {
		f.publish(f.Bus, on("t", i))
	}
	for range 10 {
		receive(f, got, "a message")
	}
	f.drained()
	nothing(f, got, "message for each replica")
}

func topicOutputs(f *fixture) {
	a, b := f.sink(f.Bus, "a", "done.*"), f.sink(f.Other, "b", "done.x")
	f.consume(f.Other, bus.Consumer{Component: "work", Handler: func(_ context.Context, m bus.Message) ([]bus.Message, error) {
		return []bus.Message{on("done.x", 1)}, nil
	}})
	f.publish(f.Bus, to("work", 0))
	if x, y := receive(f, a, "a's copy"), receive(f, b, "b's copy"); x.ID != y.ID {
		f.Errorf("copies have ids %s and %s", x.ID, y.ID)
	}
}

// topicResults: what several subscribers make of one message are several
// messages, also where they are for the same component.
func topicResults(f *fixture) {
	got := f.sink(f.Bus, "out")
	for i, b := range []bus.Bus{f.Bus, f.Other} {
		f.consume(b, bus.Consumer{Component: fmt.Sprint("sub", i), Topics: []string{"t"},
			Handler: func(context.Context, bus.Message) ([]bus.Message, error) { return []bus.Message{to("out", i)}, nil }})
	}
	f.publish(f.Bus, on("t", 0))
	senders := map[string]bool{}
	for range 2 {
		senders[receive(f, got, "a result of each").Sender] = true
	}
	if len(senders) != 2 {
		f.Errorf("results of %v", senders)
	}
}

func dropped(f *fixture) {
	f.publish(f.Bus, on("nobody.listens", 1), on("nobody.listens", 2))
	n, err := f.Other.Dropped(f.ctx)
	if err != nil || n != 2 {
		f.Errorf("dropped %d, %v", n, err)
	}
	f.drained()
}
