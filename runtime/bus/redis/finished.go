package redis

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxFinished bounds how many ids a replica remembers.
const maxFinished = 1 << 20

// mark stands for an id.
type mark [8]byte

func markOf(id string) (m mark) {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	binary.LittleEndian.PutUint64(m[:], h)
	return m
}

// finished are the ids that were handled within a window: what comes with one
// of them again is a duplicate.
type finished struct {
	window time.Duration

	mu    sync.Mutex
	until map[uint64]int64 // ms of the server's clock
	order []ending         // oldest first
	last  string           // what was loaded
}

// ending is when a key was to go, at the time when it came.
type ending struct {
	key   uint64
	until int64
}

func newFinished(window time.Duration) *finished {
	return &finished{window: window, until: map[uint64]int64{}, last: "-"}
}

func (f *finished) has(m mark, now int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	until, ok := f.until[binary.LittleEndian.Uint64(m[:])]
	return ok && now <= until
}

func (f *finished) add(at, now int64, marks ...mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	until := at + f.window.Milliseconds()
	for _, m := range marks {
		key := binary.LittleEndian.Uint64(m[:])
		f.until[key] = until
		f.order = append(f.order, ending{key, until})
	}
	for len(f.order) > 0 && (len(f.order) > maxFinished || f.order[0].until < now) {
		if first := f.order[0]; f.until[first.key] <= first.until { // else it came again
			delete(f.until, first.key)
		}
		f.order = f.order[1:]
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
