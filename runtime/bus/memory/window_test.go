package memory

import (
	"fmt"
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	w := newWindow(time.Minute)
	at := func(s int) time.Time { return w.start.Add(time.Duration(s) * time.Second) }
	w.add("a", at(0))
	w.add("b", at(1))
	w.remove("b")
	w.add("b", at(30))
	w.add("c", at(61)) // forgets a, and the first b
	for id, want := range map[string]bool{"a": false, "b": true, "c": true, "d": false} {
		if w.has(id, at(62)) != want {
			t.Errorf("%s: want %v", id, want)
		}
	}
	if w.has("b", at(91)) || len(w.until) != 2 {
		t.Errorf("%d are remembered, b: %v", len(w.until), w.has("b", at(91)))
	}
}

func TestWindowIsBounded(t *testing.T) {
	w := newWindow(time.Hour)
	for i := range windowIDs + 100 {
		w.add(fmt.Sprint(i), w.start)
	}
	if len(w.until) != windowIDs || w.has("99", w.start) || !w.has("100", w.start) {
		t.Errorf("%d are remembered", len(w.until))
	}
	if cap(w.order) > 4*windowIDs {
		t.Errorf("room for %d", cap(w.order))
	}
}
