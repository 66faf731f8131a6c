package redis

import (
	"strconv"
	"testing"
	"time"
)

func TestFinished(t *testing.T) {
	const window = 60_000
	f := newFinished(window * time.Millisecond)
	id := func(n int) mark { return markOf(strconv.Itoa(n)) }
	if f.has(id(0), 0) {
		t.Error("nothing is finished yet")
	}
	for now := range int64(10 * window / 100) { // ten a second
		f.add(now*100, now*100, id(int(now)))
	}
	const end = 10*window - 100
	for n := range 10 * window / 100 {
		at := int64(n * 100)
		switch has := f.has(id(n), end); {
		case !has && at+window >= end:
			t.Fatalf("what ended %d ms ago is forgotten", end-at)
		case has && at+window*3/2 < end:
			t.Fatalf("what ended %d ms ago is known", end-at)
		}
	}
	if n := f.size(); n > 2*window/100 {
		t.Errorf("%d ids are kept", n)
	}
	if f.has(id(5999), end+window+1) {
		t.Error("known after its window")
	}

	// Two messages of one kind make no difference, nor does what comes late.
	f.add(end-window/2, end, id(-1), id(-1))
	if !f.has(id(-1), end) || f.has(id(-2), end) {
		t.Error("what another replica has finished isn't told from what none has")
	}

	f = newFinished(time.Hour)
	for n := range 2 * maxFinished {
		f.add(0, 0, id(n))
	}
	if n := f.size(); n > maxFinished || !f.has(id(2*maxFinished-1), 0) || !f.has(id(2*maxFinished-maxFinished/2), 0) {
		t.Errorf("%d ids are kept, at most %d", n, maxFinished)
	}
}
