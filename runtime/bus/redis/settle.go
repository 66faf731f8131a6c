package redis

import (
	"context"
	"fmt"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// lastWords is how long a consumer that is to stop tries to tell the bus what
// its handlers have done.
const lastWords = 5 * time.Second

// op is an outcome of a delivery, as settle.lua takes it. Without a name it is
// one that only ends the message.
type op struct {
	*entry
	name    string
	args    []any
	outputs []sealed
	done    bool // the message is finished

	outcome bus.Outcome // for the trail; none if empty
	cause   error
	ended   int64 // ms of the server's clock

	answer chan string // who waits; nil for nobody
	early  bool        // the delivery goes on afterwards
}

// settler tells the server what became of messages: what comes while it is at
// it goes with the next round trip. A lane doesn't wait for that, so a message
// may be handled before the end of the one before it is written down; they are
// written in order.
type settler struct {
	consumer *consumer
	batch    *batcher[*op]

	mu    sync.Mutex
	marks map[pendingMark]int // messages whose end is not written yet
}

type pendingMark struct {
	part *part
	mark mark
}

func newSettler(k *consumer) *settler {
	size := func(o *op) (n, bytes int) {
		for i := range o.outputs {
			bytes += len(o.outputs[i].body)
		}
		if o.name != "" {
			bytes += len(o.body)
		}
		return 1, bytes
	}
	s := &settler{consumer: k, marks: map[pendingMark]int{}, batch: newBatcher(10, 25*time.Millisecond, size)}
	s.batch.all = true
	return s
}

// add takes an outcome. One that nobody waits for may be written down a little
// later, with others.
func (s *settler) add(o *op) {
	if o.done {
		s.mu.Lock()
		s.marks[pendingMark{o.part, o.mark}]++
		s.mu.Unlock()
	}
	s.batch.add(o, o.name != "" || o.answer != nil)
}

// wait adds an operation and returns the answer: "lost" where the message is
// not this replica's any more, "gone" where it was settled before.
func (s *settler) wait(o *op) string {
	o.answer = make(chan string, 1)
	s.add(o)
	return <-o.answer
}

// ask is wait for an operation after which the delivery may go on.
func (s *settler) ask(e *entry, name string, args ...any) string {
	return s.wait(&op{entry: e, name: name, args: args, early: true})
}

// pending reports whether another entry with the same message was handled and
// that is being written down.
func (s *settler) pending(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks[pendingMark{e.part, e.mark}] > 0
}

// run works until the batcher is stopped, and lastWords after ctx at the latest.
func (s *settler) run(ctx context.Context) {
	within, cancel := bus.Outlive(ctx, lastWords)
	defer cancel()
	s.batch.run(nil, func(batch []*op) { s.settle(within, batch) })
}

// settle goes on trying: a handler's work isn't thrown away because the bus is
// down. Telling the same twice is harmless.
func (s *settler) settle(ctx context.Context, batch []*op) {
	k := s.consumer
	var answers []string
	var told *telling
	err := k.bus.retry(ctx, "settle messages", func(ctx context.Context) (err error) {
		r := k.bus.known()
		if r == unknown {
			if r, err = k.bus.loadRoutes(ctx); err != nil {
				return err
			}
		}
		for {
			told = k.tell(r, batch)
			if answers, err = told.run(ctx, k); err == nil && len(answers) == 1 && answers[0] == "stale" {
				if r, err = k.bus.loadRoutes(ctx); err == nil {
					continue
				}
			}
			return err
		}
	})
	if err != nil {
		k.log.Error("the outcome of messages can't be recorded: they will be handled again", "messages", len(batch), "error", err)
	}
	s.conclude(batch, told, answers, err == nil)
	if err != nil {
		k.rewindAll() // they are where they were
	}
}

// conclude acts on what the server said.
func (s *settler) conclude(batch []*op, told *telling, answers []string, ok bool) {
	k := s.consumer
	all := make([]string, len(batch))
	for i := range batch {
		all[i] = "lost"
		if ok {
			all[i] = told.answer(i, answers)
		}
	}
	k.remember(batch, all)
	s.mu.Lock()
	for _, o := range batch {
		if key := (pendingMark{o.part, o.mark}); o.done && s.marks[key] > 1 {
			s.marks[key]--
		} else if o.done {
			delete(s.marks, key)
		}
	}
	s.mu.Unlock()
	k.concluded(batch, all)
	for i, o := range batch {
		if o.answer != nil {
			o.answer <- all[i]
		}
	}
	if ok {
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, p := range told.fenced(answers) {
			if !p.lost {
				k.lose(p)
			}
		}
	}
}

// remember keeps the ids that are finished, so that what comes with one of
// them again is known.
func (k *consumer) remember(batch []*op, answers []string) {
	var marks []mark
	for i, o := range batch {
		if o.done && answers[i] != "lost" {
			marks = append(marks, o.mark)
		}
	}
	now := k.now()
	k.finished.add(now, now, marks...)
}

// concluded keeps in mind what operations changed.
func (k *consumer) concluded(batch []*op, answers []string) {
	idle, n, bytes := false, 0, 0
	k.mu.Lock()
	for i, o := range batch {
		answer := answers[i]
		switch {
		case o.name == "R":
			k.moveSoon()
		case o.name != "O" && o.name != "D" && o.name != "X":
		case answer == "free":
			delete(o.part.heads, o.message.SessionID)
		case answer != "kept" && answer != "gone" && answer != "lost":
			o.part.heads[o.message.SessionID] = answer // the id of the next one
		}
		if !o.early || answer == "gone" || answer == "lost" || answer == "parked" {
			delete(o.part.held, o.place)
			idle = idle || o.part.releasing && len(o.part.held) == 0
			n, bytes = n+1, bytes+len(o.body)
		}
	}
	k.mu.Unlock()
	k.window.remove(n, bytes)
	if idle {
		k.look()
	}
}

// telling is a batch as the script takes it.
type telling struct {
	args   []any
	parts  []*part
	owned  []int // place of each part's answer
	places []int // of each operation's; -1 - that of its part where it has none
}

// answer is what the server said of an operation.
func (t *telling) answer(i int, answers []string) string {
	place := t.places[i]
	switch {
	case place >= 0:
		return answers[place]
	case answers[-1-place] == "0":
		return "lost"
	}
	return "done"
}

// fenced are the partitions that are another replica's.
func (t *telling) fenced(answers []string) (out []*part) {
	for i, p := range t.parts {
		if answers[t.owned[i]] == "0" {
			out = append(out, p)
		}
	}
	return out
}

// tell groups a batch by partition; within one the order is kept.
func (k *consumer) tell(r *routes, batch []*op) *telling {
	t := &telling{places: make([]int, len(batch))}
	byPart := map[*part][]int{}
	for i, o := range batch {
		if byPart[o.part] == nil {
			t.parts = append(t.parts, o.part)
		}
		byPart[o.part] = append(byPart[o.part], i)
	}
	w := writer{consumer: k, routes: r, args: []any{k.Component, k.owner, "", 0}}
	for _, p := range t.parts {
		t.owned = append(t.owned, w.answers)
		w.part(p, batch, byPart[p], t.places)
	}
	t.args = w.args
	t.args[2], t.args[3] = w.version, w.nobody
	return t
}

// writer collects the arguments of the script.
type writer struct {
	consumer *consumer
	routes   *routes
	args     []any
	answers  int
	version  string // of the routes, where it matters
	nobody   int    // outputs without a receiver
}

func (w *writer) part(p *part, batch []*op, mine []int, places []int) {
	var done, trail []byte
	at, place := len(w.args), w.answers
	w.args = append(w.args, "P", p.number, p.epoch, nil, nil)
	w.answers++
	count := -1 // where the number of plain ends is
	for _, i := range mine {
		o := batch[i]
		if o.done {
			done = append(done, o.mark[:]...)
		}
		trail = w.consumer.appendHop(trail, o)
		if o.name != "" {
			count = -1
			places[i] = w.answers
			w.op(o)
			continue
		}
		places[i] = -1 - place
		if count < 0 {
			count = len(w.args) + 1
			w.args = append(w.args, "F", 0)
		}
		w.args[count] = w.args[count].(int) + 1
		w.args = append(w.args, o.id())
	}
	w.args[at+3], w.args[at+4] = done, trail
}

func (w *writer) op(o *op) {
	w.answers++
	w.args = append(append(w.args, o.name), o.args...)
	if o.name != "O" && o.name != "D" {
		return
	}
	sends, topics, nobody := w.consumer.bus.sends(w.routes, o.outputs)
	w.args = append(append(w.args, len(sends)/8), sends...)
	w.nobody += nobody
	if topics {
		w.version = w.routes.version
	}
}

// sends says where outputs go. version matters where one is on a topic, or to
// a queue with a limit.
func (b *Bus) sends(r *routes, outputs []sealed) (args []any, byRoutes bool, nobody int) {
	for i := range outputs {
		m := &outputs[i].message
		receivers := r.receivers(m)
		if m.Pattern == bus.PublishSubscribe {
			byRoutes = true
			if len(receivers) == 0 {
				nobody++
				args = append(args, "n", "", "", outputs[i].body, "", "", "", "1")
			}
		}
		for j, receiver := range receivers {
			if instance, _, ok := bus.ParseInbox(receiver); ok {
				args = append(args, "i", instance, int(inboxTTL/time.Second), outputs[i].body, "", "", "", flag(j == 0))
				continue
			}
			kind, limit, inbox, reply := "q", 0, "", []byte(nil)
			if s := r.subs[receiver]; s.Limit > 0 && s.Overflow == bus.Divert {
				kind, limit = "l", s.Limit
				inbox, reply = errorReply(m, receiver, errFull(limit))
			}
			args = append(args, kind, receiver, partition(m), outputs[i].body, limit, inbox, reply, flag(j == 0))
		}
	}
	return args, byRoutes, nobody
}

func (t *telling) run(ctx context.Context, k *consumer) ([]string, error) {
	row, err := k.bus.run(ctx, k.bus.scripts.settle, t.args...).Slice()
	if err != nil {
		return nil, err
	}
	out := make([]string, len(row))
	for i, v := range row {
		out[i] = fmt.Sprint(v)
	}
	return out, nil
}
