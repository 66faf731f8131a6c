package openai

import (
	"container/list"
	"slices"
	"sync"
)

// turn is a question and its answer.
type turn struct{ user, model string }

// history keeps the last turns of the sessions that were used last.
type history struct {
	turns    int // of a session
	sessions int

	mu   sync.Mutex
	byID map[string]*list.Element
	used list.List // of *session, last used first
}

type session struct {
	id    string
	turns []turn
}

// newHistory keeps the given number of messages, two of which are a turn.
func newHistory(messages, sessions int) *history {
	return &history{turns: messages / 2, sessions: sessions, byID: map[string]*list.Element{}}
}

// of returns the turns of a session, oldest first.
func (h *history) of(id string) []turn {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.byID[id]
	if e == nil {
		return nil
	}
	h.used.MoveToFront(e)
	return slices.Clone(e.Value.(*session).turns)
}

func (h *history) add(id string, t turn) {
	if h.turns == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.byID[id]
	if e == nil {
		e = h.used.PushFront(&session{id: id})
		h.byID[id] = e
	}
	h.used.MoveToFront(e)
	s := e.Value.(*session)
	s.turns = append(s.turns, t)
	if extra := len(s.turns) - h.turns; extra > 0 {
		s.turns = slices.Delete(s.turns, 0, extra)
	}
	if h.used.Len() > h.sessions {
		last := h.used.Remove(h.used.Back()).(*session)
		delete(h.byID, last.id)
	}
}
