package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options of a Watcher. Those that are zero have defaults.
type Options struct {
	Quiet time.Duration // how long nothing may change before a batch is complete; 200 ms
	Most  time.Duration // and after which it is complete all the same; 2 s
	// Since is from when on changes count that happened before the watcher was
	// opened; zero: none.
	Since time.Time
}

// Watcher sees what happens to the files that rules are about. Folders are
// watched with all that is in them, but for what every rule ignores; links
// aren't followed.
type Watcher struct {
	notify  *fsnotify.Watcher
	tree    *tree
	roots   []string
	watched map[string]bool
	gather  debounce
	pending map[string]Change // what nobody has taken yet
	rescan  bool              // events have been lost
}

// Open begins to watch: from now on nothing is missed.
func Open(rules []Rule, o Options) (*Watcher, error) {
	if o.Quiet == 0 {
		o.Quiet = 200 * time.Millisecond
	}
	if o.Most == 0 {
		o.Most = 2 * time.Second
	}
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, limits("", err)
	}
	w := &Watcher{
		notify: n, tree: newTree(rules), watched: map[string]bool{}, pending: map[string]Change{},
		gather: debounce{quiet: o.Quiet, most: o.Most},
	}
	for _, r := range rules {
		w.roots = append(w.roots, r.root)
	}
	slices.Sort(w.roots)
	w.roots = slices.Compact(w.roots)
	for _, root := range w.roots {
		if err := w.await(root); err != nil {
			return nil, errors.Join(err, n.Close())
		}
		if _, err := w.tree.look(root, w.add); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	if !o.Since.IsZero() {
		w.keep(w.tree.since(o.Since))
	}
	return w, nil
}

// Close ends the watch. Run returns.
func (w *Watcher) Close() error { return w.notify.Close() }

// Folders is how many folders are watched. It isn't for use during Run.
func (w *Watcher) Folders() int { return len(w.watched) }

// Run sends batches of changes until ctx is done or the watcher is closed;
// then it closes out. While nobody takes a batch, it grows: each path is in it
// once, as it is.
func (w *Watcher) Run(ctx context.Context, out chan<- []Change) error {
	defer close(out)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if due, ok := w.gather.due(); ok {
			timer.Reset(time.Until(due))
		} else {
			timer.Stop()
		}
		var offer chan<- []Change
		batch := w.batch()
		if len(batch) > 0 {
			offer = out
		}
		select {
		case <-ctx.Done():
			return nil
		case offer <- batch:
			clear(w.pending)
		case ev, ok := <-w.notify.Events:
			if !ok {
				return nil
			}
			if err := w.event(ev); err != nil {
				return err
			}
		case err, ok := <-w.notify.Errors:
			if !ok {
				return nil
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch files: %w", err)
			}
			w.overflow()
		case <-timer.C:
			if err := w.settle(); err != nil {
				return err
			}
		}
	}
}

func (w *Watcher) batch() []Change {
	return slices.SortedFunc(maps.Values(w.pending), func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
}

func (w *Watcher) keep(changes []Change) {
	for _, c := range changes {
		w.pending[c.Path] = c
	}
}

// overflow: the system has dropped events, nobody knows of what.
func (w *Watcher) overflow() {
	w.rescan = true
	for _, root := range w.roots {
		w.gather.add(time.Now(), root)
	}
}

// event notes where to look. What goes is watched no more: the system would
// report it under the name that it had, wherever it is moved.
func (w *Watcher) event(ev fsnotify.Event) error {
	if ev.Has(fsnotify.Remove) || ev.Has(fsnotify.Rename) {
		w.forget(ev.Name)
	}
	for _, root := range w.roots {
		if _, above := below(ev.Name, root); above {
			// A root, or a folder that it lies in, has come or gone.
			if err := w.await(root); err != nil {
				return err
			}
			w.gather.add(time.Now(), root)
		}
	}
	if w.tree.wants(ev.Name) || w.tree.enters(ev.Name) {
		w.gather.add(time.Now(), ev.Name)
	}
	return nil
}

// settle looks at what has changed.
func (w *Watcher) settle() error {
	paths := w.gather.take()
	if w.rescan {
		w.rescan = false
		paths = w.roots
	}
	for _, p := range outermost(paths) {
		changes, err := w.tree.look(p, w.add)
		if err != nil {
			return err
		}
		w.keep(changes)
	}
	return nil
}

// outermost leaves out what lies below another path of a sorted list.
func outermost(paths []string) []string {
	var out []string
	for _, p := range paths {
		if !slices.ContainsFunc(out, func(o string) bool { _, in := below(o, p); return in }) {
			out = append(out, p)
		}
	}
	return out
}

// await watches the folder that a root lies in: a file that an editor replaces
// is a new one, and so is a folder that comes back. Where that folder isn't
// there either, the nearest one above is watched.
func (w *Watcher) await(root string) error {
	for dir := filepath.Dir(root); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || filepath.Dir(dir) == dir {
			return w.add(dir)
		}
	}
}

func (w *Watcher) add(dir string) error {
	if w.watched[dir] {
		return nil
	}
	err := w.notify.Add(dir)
	if err != nil && gone(err) {
		return nil
	}
	if err != nil {
		return limits(dir, err)
	}
	w.watched[dir] = true
	return nil
}

func (w *Watcher) forget(p string) {
	for dir := range w.watched {
		if _, in := below(p, dir); in {
			_ = w.notify.Remove(dir) // it may be gone already, and its watch with it
			delete(w.watched, dir)
		}
	}
}

// limits says what to do where the system allows no more watches.
func limits(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("watch %s: this machine allows no more watches: ignore large folders, or `sudo sysctl fs.inotify.max_user_watches=524288`: %w", dir, err)
	case errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("watch files: this machine allows no more watchers: `sudo sysctl fs.inotify.max_user_instances=512`: %w", err)
	}
	return fmt.Errorf("watch %s: %w", dir, err)
}
