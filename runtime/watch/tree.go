package watch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// tree is what the watched files were when they were last looked at. What has
// changed is told by comparing: events only say where to look, so that it does
// no harm if some are late, doubled or lost.
type tree struct {
	rules   []Rule
	entries map[string]fs.FileInfo // of what rules want
	folders map[string]bool        // that have been read
}

func newTree(rules []Rule) *tree {
	return &tree{rules, map[string]fs.FileInfo{}, map[string]bool{}}
}

// wants tells whether a path matters to a rule.
func (t *tree) wants(p string) bool {
	return slices.ContainsFunc(t.rules, func(r Rule) bool { _, ok := r.Match(p); return ok })
}

// enters tells whether anything below a folder can matter.
func (t *tree) enters(dir string) bool {
	return slices.ContainsFunc(t.rules, func(r Rule) bool { return !r.prunes(dir) })
}

// look compares what lies at a path, and below it, with what was there, and
// remembers it. folder is called for every folder before it is read; links
// aren't followed.
func (t *tree) look(p string, folder func(string) error) ([]Change, error) {
	info, err := os.Lstat(p)
	if err == nil && info.IsDir() || t.folders[p] {
		return t.lookBelow(p, folder)
	}
	if err != nil && !gone(err) {
		return nil, err
	}
	if err != nil || !t.wants(p) || !copies(info.Mode()) {
		if _, known := t.entries[p]; !known {
			return nil, nil
		}
		delete(t.entries, p)
		return []Change{{Path: p, Removed: true}}, nil
	}
	old, known := t.entries[p]
	t.entries[p] = info
	if known && same(old, info) {
		return nil, nil
	}
	return []Change{{Path: p}}, nil
}

func (t *tree) lookBelow(p string, folder func(string) error) ([]Change, error) {
	var changes []Change
	seen := map[string]bool{}
	err := filepath.WalkDir(p, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && gone(err):
			return nil
		case err != nil:
			return err
		case d.IsDir() && !t.enters(name):
			return fs.SkipDir
		case d.IsDir():
			seen[name] = true
			t.folders[name] = true
			if err := folder(name); err != nil {
				return err
			}
		}
		info, err := d.Info()
		if err != nil || !t.wants(name) || !copies(info.Mode()) {
			return nil // gone already: an event will say so
		}
		seen[name] = true
		old, known := t.entries[name]
		t.entries[name] = info
		if !known || !same(old, info) {
			changes = append(changes, Change{Path: name})
		}
		return nil
	})
	if err != nil {
		return changes, err
	}
	in := func(name string) bool {
		return name == p || strings.HasPrefix(name, strings.TrimSuffix(p, string(filepath.Separator))+string(filepath.Separator))
	}
	for name := range t.folders {
		if in(name) && !seen[name] {
			delete(t.folders, name)
		}
	}
	for name := range t.entries {
		if in(name) && !seen[name] {
			delete(t.entries, name)
			changes = append(changes, Change{Path: name, Removed: true})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return changes, nil
}

// since lists the files that were written at a moment or after it.
func (t *tree) since(moment time.Time) []Change {
	var changes []Change
	for name, info := range t.entries {
		if !info.IsDir() && !info.ModTime().Before(moment) {
			changes = append(changes, Change{Path: name})
		}
	}
	return changes
}

// gone tells that something went while it was looked at, or can't be read: a
// folder without permission holds nothing that could be copied.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR)
}

// copies tells whether a kind of file can be in an image or a container.
func copies(m fs.FileMode) bool { return m.IsRegular() || m.IsDir() || m&fs.ModeSymlink != 0 }

// same compares a file with what it was. A folder changes by what is in it.
func same(a, b fs.FileInfo) bool {
	if a.Mode() != b.Mode() {
		return false
	}
	return a.IsDir() || a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}
