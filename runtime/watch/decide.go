package watch

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// Change is a file, folder or link that isn't as it was.
type Change struct {
	Path    string
	Removed bool
}

// File is what has to be copied into a container, or removed there.
type File struct {
	Host    string
	Target  string
	Removed bool
}

// Work is what a batch of changes asks of one service, in this order: rebuild,
// sync, restart, exec.
type Work struct {
	Service string
	Rebuild bool
	Files   []File // what is removed first; then by target
	Restart bool
	Exec    []types.ServiceHook
	Changed []string // what led to it, sorted
}

// Decide gives the work for some changes, by service, and the changed files of
// the project itself.
func Decide(rules []Rule, changes []Change) (work []Work, reload []string) {
	all := map[string]*order{}
	for i, r := range rules {
		for _, c := range changes {
			target, ok := r.Match(c.Path)
			if !ok {
				continue
			}
			if r.Action == Reload {
				reload = append(reload, c.Path)
				continue
			}
			o := all[r.Service]
			if o == nil {
				o = &order{files: map[string]File{}, exec: map[int]types.ServiceHook{}, changed: map[string]bool{}}
				all[r.Service] = o
			}
			o.add(i, r, c, target)
		}
	}
	for _, service := range slices.Sorted(maps.Keys(all)) {
		work = append(work, all[service].work(service))
	}
	slices.Sort(reload)
	return work, slices.Compact(reload)
}

// order collects one service's work.
type order struct {
	rebuild       bool
	restart       bool // whatever else is done
	restartSynced bool // because of files that are synced
	files         map[string]File
	exec          map[int]types.ServiceHook // by rule
	changed       map[string]bool
}

func (o *order) add(i int, r Rule, c Change, target string) {
	o.changed[c.Path] = true
	switch r.Action {
	case types.WatchActionRebuild:
		o.rebuild = true
	case types.WatchActionRestart:
		o.restart = true
	case types.WatchActionSyncRestart:
		o.restartSynced = true
	case types.WatchActionSyncExec:
		o.exec[i] = r.Exec
	}
	// Nothing is worth to remove all that a container holds.
	if !r.syncs() || c.Removed && target == "/" {
		return
	}
	if old, twice := o.files[target]; twice && c.Removed && !old.Removed {
		return // one rule's file lies where another one's has been
	}
	o.files[target] = File{Host: c.Path, Target: target, Removed: c.Removed}
}

func (o *order) work(service string) Work {
	w := Work{Service: service, Rebuild: o.rebuild, Changed: slices.Sorted(maps.Keys(o.changed))}
	// A container that is new needs no restart but for what is copied into it.
	w.Restart = o.restartSynced || o.restart && !o.rebuild
	for _, i := range slices.Sorted(maps.Keys(o.exec)) {
		w.Exec = append(w.Exec, o.exec[i])
	}
	var written []File
	for _, target := range slices.Sorted(maps.Keys(o.files)) {
		switch f := o.files[target]; {
		case !f.Removed:
			written = append(written, f)
		case !o.removedAbove(target):
			w.Files = append(w.Files, f)
		}
	}
	w.Files = append(w.Files, written...)
	return w
}

// removedAbove tells whether a folder above a target goes as a whole.
func (o *order) removedAbove(target string) bool {
	for dir := path.Dir(target); dir != "/" && strings.HasPrefix(dir, "/"); dir = path.Dir(dir) {
		if f, ok := o.files[dir]; ok && f.Removed {
			return true
		}
	}
	return false
}
