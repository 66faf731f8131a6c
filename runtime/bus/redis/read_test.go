package redis

import (
	"log/slog"
	"testing"
)

// What was read of a partition before it was lost, or set back, is not handled
// when it is this replica's again: it is read again, from the beginning.
func TestReadBeforeItCameBack(t *testing.T) {
	k := &consumer{window: newWindow(1), parts: map[int]*part{}, log: slog.New(slog.DiscardHandler), bus: &Bus{}}
	handled := 0
	k.lanes = newLanes(1, func(*entry) { handled++ }, func(*part) {})
	adopt := func() *part {
		p := k.newPart(3, "1", "")
		k.parts[3] = p
		return p
	}
	ask := func(p *part) { p.asked = p.rewound }
	come := func(p *part, id string) {
		k.dispatch(entries{stream: p.stream, list: []raw{{id: id, place: parseID(id), m: []byte("{}")}}})
	}
	old := adopt()
	ask(old)
	k.mu.Lock()
	k.lose(old)
	k.mu.Unlock()
	p := adopt()
	come(p, "5-0")
	if len(p.held) != 0 || p.last != (entryID{}) {
		t.Errorf("held %v, read up to %v", p.held, p.last)
	}
	ask(p)
	k.rewindAll()
	come(p, "5-0")
	if len(p.held) != 0 || p.last != (entryID{}) {
		t.Errorf("after it was set back: held %v, read up to %v", p.held, p.last)
	}
	ask(p)
	come(p, "5-0")
	if len(p.held) != 1 || p.last != parseID("5-0") {
		t.Errorf("held %v, read up to %v", p.held, p.last)
	}
	k.lanes.stop()
	if handled > 1 {
		t.Errorf("handled %d", handled)
	}
}
