package bus

import (
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait before trying again: exponential with jitter.
// Its zero value goes from 1 s to 60 s.
type Backoff struct {
	Min time.Duration // also of the first delay
	Max time.Duration
}

// Delay returns the delay before attempt number n+1, with n counted from 1. It
// is random in [Min, min(Max, Min·2ⁿ)], so that those who failed together
// don't come back together.
func (b Backoff) Delay(n int) time.Duration {
	if b.Min <= 0 {
		b.Min = time.Second
	}
	if b.Max <= 0 {
		b.Max = 60 * time.Second
	}
	top := b.Min
	for range n {
		if top *= 2; top >= b.Max {
			top = b.Max
			break
		}
	}
	if top <= b.Min {
		return min(b.Min, b.Max)
	}
	return b.Min + rand.N(top-b.Min+1)
}
