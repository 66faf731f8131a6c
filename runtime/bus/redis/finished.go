package redis

import (
	"context"
	"crypto/sha256"
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
	sum := sha256.Sum256([]byte(id))
	copy(m[:], sum[:])
	return m
}

// finished are the ids that were handled within a window: what comes with one
// of them again is a duplicate.
type finished struct {
	window time.Duration

	mu    sync.Mutex
	until map[uint64]int64 // ms of the server's clock
	order []uint64         // oldest first
	last  string           // what was loaded
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
	for _, m := range marks {
		key := binary.LittleEndian.Uint64(m[:])
		if _, ok := f.until[key]; !ok {
			f.order = append(f.order, key)
		}
		f.until[key] = at + f.window.Milliseconds()
	}
	for len(f.order) > 0 && (len(f.order) > maxFinished || f.until[f.order[0]] < now) {
		delete(f.until, f.order[0])
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
