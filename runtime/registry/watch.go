package registry

import (
	"context"
	"slices"
	"time"
)

// watchEvery is how often Watch asks.
const watchEvery = 500 * time.Millisecond

// Watch calls each with all entries, now and whenever something of them has
// changed, until ctx is done. It learns of a change within a second; one that
// is undone before may be missed. A registry that can't be asked is asked
// again: until then, nothing is known to have changed.
func Watch(ctx context.Context, r Registry, each func([]Entry)) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var last []Entry
	for first := true; ctx.Err() == nil; {
		es, err := r.List(ctx)
		if err == nil && (first || !slices.EqualFunc(es, last, same)) {
			each(es)
			first, last = false, es
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// same reports whether two entries say the same; that one is fresher is no
// news.
func same(a, b Entry) bool {
	return a.Name == b.Name && a.Instance == b.Instance && a.Kind == b.Kind && a.Type == b.Type &&
		a.Address == b.Address && a.State == b.State && a.Load == b.Load && a.Error == b.Error &&
		a.Started.Equal(b.Started) && slices.Equal(a.Capabilities, b.Capabilities)
}
