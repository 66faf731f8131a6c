package bus

import (
	"testing"
	"time"
)

func TestLooks(t *testing.T) {
	var l looks
	now := time.Now()
	for _, look := range []struct {
		after time.Duration
		left  int64
		want  time.Duration
	}{
		{0, 1000, 3 * time.Millisecond},
		{10 * time.Millisecond, 900, 45 * time.Millisecond}, // all will be gone in 90 ms
		{50 * time.Millisecond, 400, 20 * time.Millisecond}, // in 40
		{20 * time.Millisecond, 400, 40 * time.Millisecond}, // nothing goes
		{40 * time.Millisecond, 500, 50 * time.Millisecond}, // it gets more
		{80 * time.Millisecond, 499, 50 * time.Millisecond}, // it will take long
		{200 * time.Millisecond, 1, 3 * time.Millisecond},
	} {
		now = now.Add(look.after)
		if got := l.next(map[string]int64{"a": look.left - look.left/3, "b": look.left / 3}, now); got != look.want {
			t.Errorf("%d left: again after %v, want %v", look.left, got, look.want)
		}
	}
}
