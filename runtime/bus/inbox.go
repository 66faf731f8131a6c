package bus

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

const inboxPrefix = "_inbox."

// InboxName names the place where the answers to one request go: instance is
// the process that waits, request is unique within it.
func InboxName(instance, request string) string {
	return inboxPrefix + instance + "." + request
}

// IsInbox reports whether a target is an inbox and not a component.
func IsInbox(target string) bool { return strings.HasPrefix(target, inboxPrefix) }

// ParseInbox takes the name of an inbox apart.
func ParseInbox(target string) (instance, request string, ok bool) {
	rest, ok := strings.CutPrefix(target, inboxPrefix)
	if !ok {
		return "", "", false
	}
	i := strings.LastIndexByte(rest, '.')
	if i <= 0 || i == len(rest)-1 {
		return "", "", false
	}
	return rest[:i], rest[i+1:], true
}

// Inboxes hands answers to whoever waits for them in this process. It is for
// backends: they bring the messages.
type Inboxes struct {
	instance string

	mu     sync.Mutex
	closed bool
	open   map[string]*replies
}

// NewInboxes returns the inboxes of the process with the given unique name.
func NewInboxes(instance string) *Inboxes {
	return &Inboxes{instance: instance, open: map[string]*replies{}}
}

// Open opens the inbox that is named, or a fresh one where none is. It returns
// its name, and the process that the name is of.
func (x *Inboxes) Open(named string) (name, instance string, _ Replies, err error) {
	request := NewID()
	instance = x.instance
	if named != "" {
		var ok bool
		if instance, request, ok = ParseInbox(named); !ok {
			return "", "", nil, fmt.Errorf("reply to %q: it is no inbox", named)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.closed:
		return "", "", nil, ErrClosed
	case x.open[request] != nil:
		return "", "", nil, fmt.Errorf("reply to %q: somebody waits there already", named)
	}
	r := &replies{owner: x, request: request, seen: map[string]bool{}, changed: make(chan struct{})}
	x.open[request] = r
	return InboxName(instance, request), instance, r, nil
}

// Deliver hands m to whoever waits for it, once for each id; it reports
// whether someone does.
func (x *Inboxes) Deliver(m Message) bool {
	_, request, ok := ParseInbox(m.Target)
	if !ok {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.open[request]
	if r == nil {
		return false
	}
	if !r.seen[m.ID] {
		r.seen[m.ID] = true
		r.queue = append(r.queue, m)
		r.wake()
	}
	return true
}

// Close ends all streams of answers with ErrClosed.
func (x *Inboxes) Close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	for _, r := range x.open {
		r.end(ErrClosed)
	}
	clear(x.open)
}

// replies is guarded by its owner's mutex.
type replies struct {
	owner   *Inboxes
	request string
	queue   []Message
	seen    map[string]bool
	ended   error
	changed chan struct{}
}

func (r *replies) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *replies) end(err error) {
	if r.ended == nil {
		r.ended = err
		r.wake()
	}
}

func (r *replies) Next(ctx context.Context) (Message, error) {
	for {
		m, changed, err := r.take()
		if changed == nil {
			return m, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

// take returns an answer or an error, or a channel to wait on.
func (r *replies) take() (Message, <-chan struct{}, error) {
	r.owner.mu.Lock()
	defer r.owner.mu.Unlock()
	if r.ended != nil {
		return Message{}, nil, r.ended
	}
	if len(r.queue) == 0 {
		return Message{}, r.changed, nil
	}
	m := r.queue[0]
	r.queue = r.queue[1:]
	if !m.Chunk() {
		delete(r.owner.open, r.request)
		r.end(io.EOF)
	}
	return m, nil, nil
}

func (r *replies) Close() error {
	r.owner.mu.Lock()
	defer r.owner.mu.Unlock()
	delete(r.owner.open, r.request)
	r.end(ErrClosed)
	return nil
}
