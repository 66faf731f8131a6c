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

// finished are the ids that were handled within a window, and a little longer:
// what comes with one of them again is a duplicate. They go by the age, all of one
// at once, so that nothing has to be kept with each.
type finished struct {
	window int64 // ms

	mu   sync.Mutex
	ages []age  // oldest first
	last string // what was loaded
}

// ages is how many make up a window.
const ages = 4

// age is the ids that came within a part of the window.
type age struct {
	ids    map[uint64]struct{}
	from   int64 // ms of the server's clock
	latest int64 // end of a message in it
}

func newFinished(window time.Duration) *finished {
	return &finished{window: window.Milliseconds(), last: "-"}
}

func (f *finished) has(m mark, now int64) bool {
	key := binary.LittleEndian.Uint64(m[:])
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.ages) - 1; i >= 0; i-- {
		if a := &f.ages[i]; now <= a.latest+f.window {
			if _, ok := a.ids[key]; ok {
				return true
			}
		}
	}
	return false
}

// add keeps the ids of messages that ended at a time.
func (f *finished) add(at, now int64, marks ...mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.ages)
	if n == 0 || now-f.ages[n-1].from > f.window/ages || len(f.ages[n-1].ids) >= maxFinished/ages {
		f.ages = append(f.ages, age{ids: map[uint64]struct{}{}, from: now, latest: at})
		for len(f.ages) > 1 && (f.ages[0].latest+f.window < now || f.size() > maxFinished*(ages-1)/ages) {
			f.ages[0] = age{}
			f.ages = f.ages[1:]
		}
		n = len(f.ages)
	}
	a := &f.ages[n-1]
	a.latest = max(a.latest, at)
	for _, m := range marks {
		a.ids[binary.LittleEndian.Uint64(m[:])] = struct{}{}
	}
}

// size is how many ids are kept. With f.mu held.
func (f *finished) size() int {
	n := 0
	for i := range f.ages {
		n += len(f.ages[i].ids)
	}
	return n
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
