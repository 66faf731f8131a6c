package redis

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What is under way when a batcher ends is finished; what waits is dropped, and
// so is all that comes afterwards: whoever waits for it is told.
func TestBatcherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var did, dropped []int
		b := newBatcher(1, time.Hour, func(int) (int, int) { return 1, 1 })
		b.drop = func(v int) { dropped = append(dropped, v) }
		done, gate, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			b.run(done, func(batch []int) {
				<-gate
				did = append(did, batch...)
			})
		}()
		b.add(1, false)
		synctest.Wait()
		b.add(2, false)
		b.add(3, true)
		close(done)
		synctest.Wait()
		b.mu.Lock() // it is held for what is dropped
		if !slices.Equal(dropped, []int{2, 3}) {
			t.Errorf("while a call is under way: dropped %v", dropped)
		}
		b.mu.Unlock()
		close(gate)
		<-ended
		b.add(4, false)
		if !slices.Equal(did, []int{1}) || !slices.Equal(dropped, []int{2, 3, 4}) {
			t.Errorf("did %v, dropped %v", did, dropped)
		}
	})
}

// A batch is done with when its call returns: its memory is the next one's.
func TestBatchesDontMix(t *testing.T) {
	const writers, n = 8, 2000
	var mu sync.Mutex
	var got [writers][]int
	b := newBatcher(0.5, time.Millisecond, func([2]int) (int, int) { return 1, batchBytes / 5 })
	b.two = true
	done := make(chan struct{})
	arrived := make(chan struct{}, writers*n)
	var running sync.WaitGroup
	running.Go(func() {
		b.run(done, func(batch [][2]int) {
			for _, v := range batch {
				mu.Lock()
				got[v[0]] = append(got[v[0]], v[1])
				mu.Unlock()
				arrived <- struct{}{}
			}
		})
	})
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range n {
				b.add([2]int{w, i}, i%7 == 0)
			}
		})
	}
	all.Wait()
	b.hurry()
	for range writers * n {
		<-arrived
	}
	close(done)
	running.Wait()
	for w := range writers {
		slices.Sort(got[w])
		for i, v := range got[w] {
			if v != i {
				t.Fatalf("writer %d: %d at %d", w, v, i)
			}
		}
	}
}
