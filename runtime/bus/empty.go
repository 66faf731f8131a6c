package bus

import (
	"context"
	"slices"
	"time"
)

// emptyLook is how often queues are looked at that are waited for.
const emptyLook = 50 * time.Millisecond

// AwaitEmpty waits until nothing waits for the components that are named, or for
// any component, but no longer than wait. It returns what is left then. With
// served it doesn't wait for what nobody takes.
func AwaitEmpty(ctx context.Context, b Bus, wait time.Duration, served bool, components ...string) (left map[string]int64, err error) {
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(emptyLook)
	defer tick.Stop()
	for {
		stats, err := b.Stats(ctx)
		if err != nil {
			return nil, err
		}
		left, taken := map[string]int64{}, false
		for name, s := range stats {
			if s.Depth > 0 && (len(components) == 0 || slices.Contains(components, name)) {
				left[name] = s.Depth
				taken = taken || s.Consumers > 0
			}
		}
		if len(left) == 0 || served && !taken {
			return left, nil
		}
		select {
		case <-tick.C:
		case <-within.Done():
			return left, ctx.Err()
		}
	}
}
