package redis

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
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

	place int    // of the server's answer; -1 - that of its partition where it has none
	said  string // that answer
}

// settler tells the server what became of messages, for all consumers of a bus:
// what comes while it is at it goes with the next round trip. A lane doesn't wait
// for that, so a message may be handled before the end of the one before it is
// written down; they are written in order.
type settler struct {
	bus   *Bus
	batch *batcher[*op]
}

func newSettler(b *Bus) *settler {
	size := func(o *op) (n, bytes int) {
		for i := range o.outputs {
			bytes += len(o.outputs[i].body)
		}
		if o.name != "" {
			bytes += len(o.body)
		}
		return 1, bytes
	}
	s := &settler{bus: b, batch: newBatcher(10, 10*time.Millisecond, size)}
	s.batch.all = true
	return s
}

// run works until done is closed; nobody waits for what is on its way then.
func (s *settler) run(ctx context.Context, done <-chan struct{}) {
	s.batch.run(done, func(batch []*op) { s.settle(ctx, batch) })
}

// unsettled is what one consumer has on its way to the server.
type unsettled struct {
	mu    sync.Mutex
	marks map[pendingMark]int // messages whose end is not written yet
	n     int                 // operations
	none  chan struct{}       // closed when there are none; nil while nobody wants to know
}

type pendingMark struct {
	part *part
	mark mark
}

// settle takes an outcome. One that nobody waits for may be written down a little
// later, with others.
func (k *consumer) settle(o *op) {
	u := &k.unsettled
	u.mu.Lock()
	u.n++
	if o.done {
		u.marks[pendingMark{o.part, o.mark}]++
	}
	u.mu.Unlock()
	k.bus.settler.batch.add(o, o.name != "" || o.answer != nil)
}

// settleNow settles an operation and returns the answer: "lost" where the message
// is not this replica's any more, or the consumer has to end without an answer;
// "gone" where it was settled before.
func (k *consumer) settleNow(o *op) string {
	o.answer = make(chan string, 1)
	k.settle(o)
	select {
	case a := <-o.answer:
		return a
	case <-k.last:
		return "lost"
	}
}

// ask is settleNow for an operation after which the delivery may go on.
func (k *consumer) ask(e *entry, name string, args ...any) string {
	return k.settleNow(&op{entry: e, name: name, args: args, early: true})
}

// pending reports whether another entry with the same message was handled and
// that is being written down.
func (k *consumer) pending(e *entry) bool {
	u := &k.unsettled
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.marks[pendingMark{e.part, e.mark}] > 0
}

// settled waits until all that was settled is written down, but no longer than
// lastWords: what is told after that comes too late, as the partitions are
// another's then.
func (k *consumer) settled() {
	u := &k.unsettled
	none := make(chan struct{})
	u.mu.Lock()
	left := u.n
	u.none = none
	u.mu.Unlock()
	if left == 0 {
		return
	}
	k.bus.settler.batch.hurry()
	t := time.NewTimer(lastWords)
	defer t.Stop()
	select {
	case <-none:
	case <-t.C:
		k.log.Error("the outcome of messages can't be recorded: they will be handled again", "messages", left)
	}
}

// settle goes on trying: a handler's work isn't thrown away because the bus is
// down. Telling the same twice is harmless.
func (s *settler) settle(ctx context.Context, batch []*op) {
	b := s.bus
	var answers []string
	var told *telling
	err := b.retry(ctx, "settle messages", func(ctx context.Context) (err error) {
		r := b.known()
		if r == unknown {
			if r, err = b.loadRoutes(ctx); err != nil {
				return err
			}
		}
		for {
			told = b.tell(r, batch)
			if answers, err = told.run(ctx, b); err == nil && len(answers) == 1 && answers[0] == "stale" {
				if r, err = b.loadRoutes(ctx); err == nil {
					continue
				}
			}
			return err
		}
	})
	mine := byConsumer(batch)
	if err != nil && len(mine) > 1 && !errors.Is(err, bus.ErrClosed) {
		// What is wrong may be one component's, which must not be the others'.
		for _, ops := range mine {
			s.settle(ctx, ops)
		}
		return
	}
	for _, ops := range mine {
		if err != nil {
			ops[0].part.consumer.log.Error("the outcome of messages can't be recorded: they will be handled again", "messages", len(ops), "error", err)
		}
		ops[0].part.consumer.conclude(ops, told, answers, err == nil)
	}
	if err == nil {
		for _, p := range told.fenced(answers) {
			p.consumer.loseFenced(p)
		}
	}
}

// byConsumer splits a batch; the order stays.
func byConsumer(batch []*op) [][]*op {
	first := batch[0].part.consumer
	if !slices.ContainsFunc(batch, func(o *op) bool { return o.part.consumer != first }) {
		return [][]*op{batch}
	}
	var out [][]*op
	at := map[*consumer]int{}
	for _, o := range batch {
		i, ok := at[o.part.consumer]
		if !ok {
			i = len(out)
			at[o.part.consumer] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], o)
	}
	return out
}

// conclude acts on what the server said of a consumer's operations.
func (k *consumer) conclude(ops []*op, told *telling, answers []string, ok bool) {
	for _, o := range ops {
		o.said = "lost"
		if ok {
			o.said = told.answer(o, answers)
		}
	}
	k.remember(ops)
	u := &k.unsettled
	u.mu.Lock()
	for _, o := range ops {
		if key := (pendingMark{o.part, o.mark}); o.done && u.marks[key] > 1 {
			u.marks[key]--
		} else if o.done {
			delete(u.marks, key)
		}
	}
	u.mu.Unlock()
	k.concluded(ops)
	for _, o := range ops {
		if o.answer != nil {
			o.answer <- o.said
		}
	}
	if !ok {
		k.rewindAll() // they are where they were
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n -= len(ops); u.n == 0 && u.none != nil {
		close(u.none)
		u.none = nil
	}
}

func (k *consumer) loseFenced(p *part) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !p.lost {
		k.lose(p)
	}
}

// remember keeps the ids that are finished, so that what comes with one of
// them again is known.
func (k *consumer) remember(ops []*op) {
	marks := make([]mark, 0, len(ops))
	for _, o := range ops {
		if o.done && o.said != "lost" {
			marks = append(marks, o.mark)
		}
	}
	now := k.now()
	k.finished.add(now, now, marks...)
}

// concluded keeps in mind what operations changed.
func (k *consumer) concluded(ops []*op) {
	idle, n, bytes := false, 0, 0
	k.mu.Lock()
	for _, o := range ops {
		switch {
		case o.name == "R":
			k.moveSoon()
		case o.name != "O" && o.name != "D" && o.name != "X":
		case o.said == "free":
			delete(o.part.heads, o.message.SessionID)
		case o.said != "kept" && o.said != "gone" && o.said != "lost":
			o.part.heads[o.message.SessionID] = o.said // the id of the next one
		}
		if !o.early || o.said == "gone" || o.said == "lost" || o.said == "parked" {
			delete(o.part.held, o.entry.place)
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
	args  []any
	parts []*part
	owned []int // place of each part's answer
}

// answer is what the server said of an operation.
func (t *telling) answer(o *op, answers []string) string {
	switch {
	case o.place >= 0:
		return answers[o.place]
	case answers[-1-o.place] == "0":
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

// tell groups a batch by consumer and partition; within one the order is kept.
func (b *Bus) tell(r *routes, batch []*op) *telling {
	t := &telling{}
	byPart := map[*part][]*op{}
	for _, o := range batch {
		if byPart[o.part] == nil {
			t.parts = append(t.parts, o.part)
		}
		byPart[o.part] = append(byPart[o.part], o)
	}
	slices.SortStableFunc(t.parts, func(x, y *part) int { return cmp.Compare(x.consumer.serial, y.consumer.serial) })
	w := writer{bus: b, routes: r, args: make([]any, 3, 3+2*len(batch))}
	w.args[0] = string(b.keys)
	var of *consumer
	for _, p := range t.parts {
		if p.consumer != of {
			of = p.consumer
			w.args = append(w.args, "C", of.Component, of.owner)
		}
		t.owned = append(t.owned, w.answers)
		w.part(p, byPart[p])
	}
	t.args = w.args
	t.args[1], t.args[2] = w.version, w.nobody
	return t
}

// writer collects the arguments of the script.
type writer struct {
	bus     *Bus
	routes  *routes
	args    []any
	answers int
	version string // of the routes, where it matters
	nobody  int    // outputs without a receiver
}

func (w *writer) part(p *part, mine []*op) {
	var done, trail []byte
	at, place := len(w.args), w.answers
	w.args = append(w.args, "P", p.number, p.epoch, nil, nil)
	w.answers++
	count := -1 // where the number of plain ends is
	for _, o := range mine {
		if o.done {
			done = append(done, o.mark[:]...)
		}
		trail = p.consumer.appendHop(trail, o)
		if o.name != "" {
			count = -1
			o.place = w.answers
			w.op(o)
			continue
		}
		o.place = -1 - place
		if count < 0 {
			count = len(w.args) + 1
			w.args = append(w.args, "F", 0)
		}
		w.args[count] = w.args[count].(int) + 1
		w.args = append(w.args, &o.text)
	}
	w.args[at+3], w.args[at+4] = done, trail
}

func (w *writer) op(o *op) {
	w.answers++
	w.args = append(append(w.args, o.name), o.args...)
	if o.name != "O" && o.name != "D" {
		return
	}
	sends, topics, nobody := w.bus.sends(w.routes, o.outputs)
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

func (t *telling) run(ctx context.Context, b *Bus) ([]string, error) {
	row, err := b.scripts.settle.Run(ctx, b.client, []string{b.keys.version()}, t.args...).Slice()
	if err != nil {
		return nil, err
	}
	out := make([]string, len(row))
	for i, v := range row {
		switch v := v.(type) {
		case string:
			out[i] = v
		case int64:
			out[i] = strconv.FormatInt(v, 10)
		}
	}
	return out, nil
}
