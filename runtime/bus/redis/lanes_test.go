package redis

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// Whatever is refused and comes again, the order of each key is kept, and
// nothing is lost.
func TestLanesKeepOrder(t *testing.T) {
	const keys, n = 7, 400
	var mu sync.Mutex
	var got [keys][]int
	var refused [keys][]int // what is to come again
	done := make(chan struct{}, keys*n)
	p := &part{}
	var l *lanes
	again := make(chan struct{}, 1)
	l = newLanes(3, func(e *entry) {
		mu.Lock()
		key, i := e.message.RetryCount, e.message.ChunkIndex
		got[key] = append(got[key], i)
		mu.Unlock()
		done <- struct{}{}
	}, func(*part) {
		select {
		case again <- struct{}{}:
		default:
		}
	})
	add := func(key, i int) bool {
		e := &entry{part: p}
		e.message.RetryCount, e.message.ChunkIndex = key, i
		return l.add(laneKey{p, markOf(fmt.Sprint(key))}, e, true)
	}
	for i := range n {
		for key := range keys {
			// What was refused is before it, as it is in a stream that is read again.
			if len(refused[key]) > 0 || !add(key, i) {
				refused[key] = append(refused[key], i)
			}
		}
	}
	for range keys * n {
		<-done
		for key := range keys {
			for len(refused[key]) > 0 && add(key, refused[key][0]) {
				refused[key] = refused[key][1:]
			}
		}
	}
	l.stop()
	want := make([]int, n)
	for i := range want {
		want[i] = i
	}
	for key := range keys {
		if !slices.Equal(got[key], want) {
			t.Errorf("key %d: %v", key, got[key])
		}
	}
}
