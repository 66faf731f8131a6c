package watch

import (
	"maps"
	"slices"
	"time"
)

// debounce gathers what changes until there is quiet, or for as long as it may
// at most. It reads no clock.
type debounce struct {
	quiet, most time.Duration
	first, last time.Time
	dirty       map[string]bool
}

func (d *debounce) add(now time.Time, path string) {
	if len(d.dirty) == 0 {
		d.first, d.dirty = now, map[string]bool{}
	}
	d.last = now
	d.dirty[path] = true
}

// due is when what has been gathered is to be taken; false if there is nothing.
func (d *debounce) due() (time.Time, bool) {
	if len(d.dirty) == 0 {
		return time.Time{}, false
	}
	quiet, most := d.last.Add(d.quiet), d.first.Add(d.most)
	if most.Before(quiet) {
		return most, true
	}
	return quiet, true
}

// take gives what has been gathered, sorted, and begins anew.
func (d *debounce) take() []string {
	paths := slices.Sorted(maps.Keys(d.dirty))
	d.dirty = nil
	return paths
}
