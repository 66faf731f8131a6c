package redis

import (
	"context"
	"encoding/json"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// entry is a message in a partition, and what this replica does with it.
type entry struct {
	part       *part
	place      entryID
	text       string // of the place
	body       []byte // the message's payload is a part of it
	past       history
	message    bus.Message
	unreadable error

	mark   mark  // of the message's id
	head   bool  // it holds its session up
	struck bool  // it is marked as begun
	began  int64 // ms of the server's clock
	end    op    // what becomes of it
}

// history is what happened to a message before its present place, in ms of the
// server's clock.
type history struct {
	Queued int64  `json:"q"`           // when it was published
	First  int64  `json:"f,omitempty"` // when it was first tried
	Error  string `json:"e,omitempty"` // of the last attempt
	Again  bool   `json:"r,omitempty"` // a dead letter that was put back: handled, whatever was before
}

const (
	readBlock = time.Second
	readBytes = 8 << 20 // held in memory, roughly

	// Where so many come with one read, the next one waits a little, for more
	// of them at once.
	flowing   = 8
	flowPause = 20 * time.Microsecond // for each of them
	maxPause  = 2 * time.Millisecond
	// Where few come, the server is asked for more when they are handled, or
	// have taken longer than this: what a handler answers would wait until the
	// server has looked into all partitions.
	moment = time.Millisecond
)

// read hands messages to the lanes until ctx is done.
func (k *consumer) read(ctx context.Context) {
	wake, failures := entryID{}, 0
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		room := k.window.wait(ctx)
		if room == 0 {
			return
		}
		rest(ctx, timer, k.bus.reads.turn(time.Now()))
		streams, err := k.fetch(ctx, room, wake)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if failures++; failures == 1 {
				k.log.Warn("messages can't be read; they wait", "error", k.bus.explain(err))
			}
			k.rewindAll()
			pause(ctx, failures)
			continue
		}
		if failures > 0 {
			k.log.Info("messages are read again")
			failures = 0
		}
		n := 0
		for _, s := range streams {
			n += len(s.list)
			if len(s.list) == 0 {
				continue
			}
			if s.stream == k.wake {
				wake = s.list[len(s.list)-1].place
				k.look()
				continue
			}
			k.dispatch(s)
		}
		if n < flowing {
			k.window.idle(ctx, timer, moment)
		} else {
			rest(ctx, timer, min(time.Duration(n)*flowPause, maxPause))
		}
	}
}

// rest waits for d, or until ctx is done.
func rest(ctx context.Context, timer *time.Timer, d time.Duration) {
	if d <= 0 {
		return
	}
	timer.Reset(d)
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// fetch reads what is new in all partitions, or that replicas came or went; it
// waits a while for it. Reading changes nothing on the server.
func (k *consumer) fetch(ctx context.Context, room int, wake entryID) ([]entries, error) {
	k.args = append(k.args[:0], "xread", "count", nil, "block", readBlock.Milliseconds(), "streams")
	k.positions = k.positions[:0]
	k.mu.Lock()
	for _, p := range k.parts {
		if !p.releasing {
			k.args, k.positions = append(k.args, p.name), append(k.positions, p.position())
			p.asked = p.rewound
		}
	}
	k.mu.Unlock()
	k.args[2] = max(room/max(len(k.positions), 1), 1)
	k.args = append(append(k.args, k.wake), append(k.positions, wake.String())...)
	return xread(ctx, k.reader, k.args...)
}

// dispatch puts the entries of a partition on the lanes of their sessions.
// What was asked for before the partition was rewound is left out: it comes
// again, in order.
func (k *consumer) dispatch(s entries) {
	p := k.partOf(s.stream)
	if p == nil { // given back while it was read
		return
	}
	read := make([]entry, len(s.list))
	for i := range read {
		read[i].part = p
		read[i].decode(&s.list[i])
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if p.lost || p.releasing || p.rewound != p.asked {
		return
	}
	for i := range read {
		e := &read[i]
		if e.place.after(p.last) {
			p.last = e.place
		}
		if p.held[e.place] {
			continue
		}
		crowded := k.window.add(len(e.body))
		p.held[e.place] = true
		if k.lanes.add(e.lane(), e, crowded) {
			continue
		}
		// It is read again when its session is through with what is held.
		delete(p.held, e.place)
		k.window.remove(1, len(e.body))
		p.leave(e)
	}
}

func (k *consumer) partOf(stream string) *part {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.parts {
		if p.stream == stream {
			return p
		}
	}
	return nil
}

// lane is the entry's session. Where it has none, copies of one message still
// come one after another.
func (e *entry) lane() laneKey {
	switch {
	case e.unreadable != nil:
		return laneKey{e.part, markOf(e.text)}
	case e.message.SessionID == "":
		return laneKey{e.part, e.mark}
	}
	return laneKey{e.part, markOf(e.message.SessionID)}
}

func (e *entry) decode(r *raw) {
	e.place, e.text, e.body = r.place, r.id, r.m
	// A history that can't be read counts as none.
	if len(r.h) == 0 || json.Unmarshal(r.h, &e.past) != nil || e.past.Queued == 0 {
		e.past.Queued = int64(e.place.ms) // ids are the server's
	}
	e.unreadable = e.message.Decode(e.body)
	e.mark = markOf(e.message.ID)
}

func (e *entry) id() string { return e.text }

// forget ends what this replica has to do with an entry.
func (k *consumer) forget(e *entry) {
	k.mu.Lock()
	delete(e.part.held, e.place)
	idle := e.part.releasing && len(e.part.held) == 0
	k.mu.Unlock()
	k.window.remove(1, len(e.body))
	if idle {
		k.look()
	}
}

// rewind makes a partition be read again from the first entry on that was left
// behind.
func (k *consumer) rewind(p *part) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.rewind()
}

// rewindAll makes everything be read again: a server that came back may have
// lost what it had, its sequence of ids included.
func (k *consumer) rewindAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.parts {
		p.last, p.behind = entryID{}, entryID{}
		p.rewound++
	}
}
