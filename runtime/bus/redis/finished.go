package redis

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"woodwork.dev/ww/runtime/bus"
)

// mark stands for an id, the same for all replicas.
type mark [8]byte

func markOf(id string) (m mark) {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	binary.LittleEndian.PutUint64(m[:], h)
	return m
}

func (m mark) number() uint64 { return binary.LittleEndian.Uint64(m[:]) }

// finished are the ids that were handled within a window: what comes with one of
// them again is a duplicate.
type finished struct {
	mu   sync.Mutex
	ids  *bus.Window // by the server's clock
	last string      // what was loaded
}

func newFinished(window time.Duration) *finished {
	return &finished{ids: bus.NewWindow(window), last: "-"}
}

func (f *finished) has(m mark, now int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ids.Has(m.number(), now)
}

// add keeps the ids of messages that ended at a time.
func (f *finished) add(at, now int64, marks ...mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range marks {
		f.ids.Add(m.number(), at, now)
	}
}

// load reads what other replicas have finished since the last time.
func (f *finished) load(ctx context.Context, client redis.UniversalClient, stream string, now int64) error {
	for {
		f.mu.Lock()
		from := f.last
		f.mu.Unlock()
		page, err := client.XRangeN(ctx, stream, from, "+", 1000).Result()
		if err != nil {
			return err
		}
		for _, x := range page {
			at := int64(parseID(x.ID).ms)
			d, _ := x.Values["d"].(string)
			for ; len(d) >= len(mark{}); d = d[len(mark{}):] {
				f.add(at, now, mark([]byte(d[:len(mark{})])))
			}
		}
		if len(page) == 0 {
			return nil
		}
		f.mu.Lock()
		f.last = "(" + page[len(page)-1].ID
		f.mu.Unlock()
		if len(page) < 1000 {
			return nil
		}
	}
}
