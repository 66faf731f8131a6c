package redis

import (
	"testing"
	"time"
)

// After a rest some turns come at once, then they are as far apart as there are
// readers; no rest saves up more.
func TestPace(t *testing.T) {
	for readers, spacing := range map[int]time.Duration{1: readSpacing, 7: 7 * readSpacing, 400: someSpacing, 750: 750 * crowdSpacing, 5000: maxSpacing} {
		var p pace
		p.join(readers + 1)
		p.join(-1)
		now := time.Unix(1_800_000_000, 0)
		for range 2 {
			for i := range readBurst {
				if d := p.turn(now); d != 0 {
					t.Fatalf("%d readers: turn %d of a burst: wait %s", readers, i, d)
				}
			}
			for i := 1; i <= 5; i++ {
				if d, want := p.turn(now), time.Duration(i)*spacing; d != want {
					t.Errorf("%d readers: turn %d after the burst: wait %s, want %s", readers, i, d, want)
				}
			}
			now = now.Add(time.Hour)
		}
	}
}
