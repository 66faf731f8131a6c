package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/fsnotify/fsnotify"
)

// seeing is a watcher that a test takes batches from.
type seeing struct {
	t       *testing.T
	folders int // that are watched at first
	out     chan []Change
}

func see(t *testing.T, rules ...Rule) *seeing {
	t.Helper()
	w, err := Open(rules, Options{Quiet: 20 * time.Millisecond})
	check(t, err)
	s := &seeing{t, w.Folders(), make(chan []Change)}
	done := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- w.Run(ctx, s.out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		check(t, w.Close())
	})
	return s
}

// until takes batches until the last word on each path is as wanted: "+a" is
// there, "-a" is removed. A path that isn't wanted fails the test.
func (s *seeing) until(root string, want ...string) {
	s.t.Helper()
	slices.Sort(want)
	got := map[string]bool{}
	for {
		select {
		case batch := <-s.out:
			for _, c := range batch {
				rel, err := filepath.Rel(root, c.Path)
				check(s.t, err)
				delete(got, "+"+rel)
				delete(got, "-"+rel)
				sign := "+"
				if c.Removed {
					sign = "-"
				}
				got[sign+rel] = true
			}
		case <-time.After(10 * time.Second):
			s.t.Fatalf("saw %v, want %v", got, want)
		}
		var all []string
		for p := range got {
			all = append(all, p)
			if !slices.Contains(want, p) && !slices.Contains(want, "-"+p[1:]) && !slices.Contains(want, "+"+p[1:]) {
				s.t.Fatalf("saw %s, which nobody asked for", p)
			}
		}
		slices.Sort(all)
		if slices.Equal(all, want) {
			return
		}
	}
}

func TestWatcher(t *testing.T) {
	dir := folder(t)
	write(t, dir+"/src/old/a", "1")
	write(t, dir+"/src/b", "1")
	write(t, dir+"/one", "1")
	check(t, os.MkdirAll(dir+"/src/node_modules/deep/er", 0o755))
	check(t, os.Symlink("..", dir+"/src/loop"))
	check(t, os.Symlink(dir+"/src", dir+"/link"))
	s := see(t, rulesOf(t, service(dir,
		types.Trigger{Path: dir + "/link", Action: "sync", Target: "/app", Ignore: []string{"node_modules"}},
		types.Trigger{Path: dir + "/one", Action: "restart"},
		types.Trigger{Path: dir + "/later/on", Action: "restart"},
	))...)
	if s.folders != 3 { // dir, src, src/old
		t.Errorf("%d folders are watched", s.folders)
	}
	write(t, dir+"/src/b", "22")
	write(t, dir+"/src/node_modules/x", "1")
	write(t, dir+"/other", "1")
	s.until(dir, "+src/b")
	// Folders that are new, with what is in them.
	write(t, dir+"/src/new/deep/c", "1")
	s.until(dir, "+src/new", "+src/new/deep", "+src/new/deep/c")
	write(t, dir+"/src/new/deep/d", "1")
	s.until(dir, "+src/new/deep/d")
	// An editor that replaces a file.
	write(t, dir+"/one.tmp", "333")
	check(t, os.Rename(dir+"/one.tmp", dir+"/one"))
	s.until(dir, "+one")
	// A folder that is moved is another one, and is followed.
	check(t, os.Rename(dir+"/src/old", dir+"/src/moved"))
	s.until(dir, "-src/old", "-src/old/a", "+src/moved", "+src/moved/a")
	write(t, dir+"/src/moved/a", "changed")
	s.until(dir, "+src/moved/a")
	// What isn't there at first.
	write(t, dir+"/later/on/e", "1")
	s.until(dir, "+later/on", "+later/on/e")
	write(t, dir+"/later/on/f", "1")
	s.until(dir, "+later/on/f")
	// A root that goes and comes back.
	check(t, os.RemoveAll(dir+"/later"))
	s.until(dir, "-later/on", "-later/on/e", "-later/on/f")
	write(t, dir+"/later/on/g", "1")
	s.until(dir, "+later/on", "+later/on/g")
	// A link is seen as such.
	check(t, os.Remove(dir+"/src/loop"))
	s.until(dir, "-src/loop")
}

// TestBatchesGrow: while nobody takes them, batches become one, in which each
// path is as it is in the end.
func TestBatchesGrow(t *testing.T) {
	dir := folder(t)
	write(t, dir+"/a", "1")
	s := see(t, rulesOf(t, service(dir, types.Trigger{Path: dir, Action: "restart"}))...)
	for i := range 300 {
		write(t, fmt.Sprintf("%s/d/%d", dir, i), "1")
	}
	check(t, os.Remove(dir+"/a"))
	check(t, os.RemoveAll(dir+"/d/7"))
	want := []string{"-a", "+d"}
	for i := range 300 {
		if i != 7 {
			want = append(want, fmt.Sprintf("+d/%d", i))
		}
	}
	// It may have been seen before it went.
	var all []Change
	for len(all) < len(want) {
		select {
		case batch := <-s.out:
			all = append(all, batch...)
		case <-time.After(10 * time.Second):
			t.Fatalf("%d changes, want %d", len(all), len(want))
		}
	}
	last := map[string]bool{}
	for _, c := range all {
		last[c.Path] = c.Removed
	}
	for _, p := range want {
		if removed, seen := last[filepath.Join(dir, p[1:])]; !seen || removed != (p[0] == '-') {
			t.Errorf("%s: seen %v, removed %v", p, seen, removed)
		}
	}
}

// TestOverflow: when the system has dropped events, all is looked at again.
func TestOverflow(t *testing.T) {
	dir := folder(t)
	write(t, dir+"/a", "1")
	write(t, dir+"/b", "1")
	w, err := Open(rulesOf(t, service(dir, types.Trigger{Path: dir, Action: "restart"})), Options{Quiet: time.Millisecond})
	check(t, err)
	defer w.Close()
	// Nobody reads the events: they are lost to the watcher.
	real := w.notify.Events
	w.notify.Events = make(chan fsnotify.Event)
	write(t, dir+"/c", "1")
	check(t, os.Remove(dir+"/a"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for range real {
		}
	}()
	overflow := make(chan error, 1)
	errs := w.notify.Errors
	w.notify.Errors = overflow
	go func() {
		for range errs {
		}
	}()
	overflow <- fmt.Errorf("the queue is full: %w", fsnotify.ErrEventOverflow)
	out := make(chan []Change)
	go func() { _ = w.Run(ctx, out) }()
	got := <-out
	want := []Change{{dir + "/a", true}, {Path: dir + "/c"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	overflow <- errors.New("broken")
	for range out {
	}
}

func TestSince(t *testing.T) {
	dir := folder(t)
	write(t, dir+"/a", "1")
	write(t, dir+"/b", "1")
	begin := time.Now()
	check(t, os.Chtimes(dir+"/a", begin.Add(-time.Hour), begin.Add(-time.Hour)))
	check(t, os.Chtimes(dir+"/b", begin.Add(time.Second), begin.Add(time.Second)))
	w, err := Open(rulesOf(t, service(dir, types.Trigger{Path: dir, Action: "restart"})), Options{Since: begin})
	check(t, err)
	defer w.Close()
	if got := w.batch(); !slices.Equal(got, []Change{{Path: dir + "/b"}}) {
		t.Error(got)
	}
}
