// Package watch tells which files of a project have changed on this machine,
// and what that means for its services. Rules say which files matter to whom;
// a Watcher sees changes and hands them over in batches; Decide makes work of a
// batch. It does nothing to a container.
package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// Reload is the action for the files that a project is read from. It concerns
// no service by itself.
const Reload types.WatchAction = "reload"

// Rule says what is to be done when a file changes.
type Rule struct {
	Service string
	Action  types.WatchAction
	Target  string            // where a synced path lies in the container
	Exec    types.ServiceHook // of sync+exec
	Initial bool              // what is there is synced at the beginning

	root    string // absolute, without links
	include *patterns
	ignore  []*patterns
	never   []string // files that no pattern can leave out
}

// Path is what the rule watches: a file or a folder, with links resolved. It
// may not be there yet.
func (r Rule) Path() string { return r.root }

// noise is what no rule is about: what version control and editors write beside
// the files that a person edits, and what ww generates.
var noise = []string{
	"**/.git", "**/.ww", "**/.idea", "**/*~", "**/4913", "**/.*.sw?", "**/.#*", "**/#*#",
	"**/*___jb_tmp___", "**/*___jb_old___", "**/.*.kate-swp", "**/*-go-tmp-umask",
}

// Of gives the rules of a service's develop section, in its order, and notes on
// those that are left out.
func Of(s types.ServiceConfig) (rules []Rule, notes []string, err error) {
	if s.Develop == nil {
		return nil, nil, nil
	}
	ignored, never, err := buildIgnore(s)
	if err != nil {
		return nil, nil, fmt.Errorf("service %q: %w", s.Name, err)
	}
	for i, t := range s.Develop.Watch {
		if err := checkTrigger(s, t); err != nil {
			return nil, nil, fmt.Errorf("service %q: develop.watch[%d]: %w", s.Name, i, err)
		}
		r := Rule{Service: s.Name, Action: t.Action, Target: t.Target, Exec: t.Exec, Initial: t.InitialSync, root: real(t.Path), never: never}
		if r.syncs() && mounted(r.root, s.Volumes) {
			notes = append(notes, fmt.Sprintf("service %q: %s is mounted into its container already, and isn't watched", s.Name, t.Path))
			continue
		}
		if len(t.Include) > 0 {
			if r.include, err = newPatterns(r.root, t.Include); err != nil {
				return nil, nil, fmt.Errorf("service %q: develop.watch[%d].include: %w", s.Name, i, err)
			}
		}
		own, err := newPatterns(r.root, append(slices.Clone(noise), t.Ignore...))
		if err != nil {
			return nil, nil, fmt.Errorf("service %q: develop.watch[%d].ignore: %w", s.Name, i, err)
		}
		r.ignore = append(slices.Clone(ignored), own)
		rules = append(rules, r)
	}
	return rules, notes, nil
}

func checkTrigger(s types.ServiceConfig, t types.Trigger) error {
	switch t.Action {
	case types.WatchActionRebuild:
		if s.Build == nil {
			return errors.New("rebuild needs a build section: give the service one, or sync its files")
		}
	case types.WatchActionSync, types.WatchActionSyncRestart, types.WatchActionSyncExec:
		if !path.IsAbs(t.Target) {
			return fmt.Errorf("%s needs an absolute path in the container as its target, and not %q", t.Action, t.Target)
		}
		if t.Action == types.WatchActionSyncExec && len(t.Exec.Command) == 0 {
			return errors.New("sync+exec needs exec.command")
		}
	case types.WatchActionRestart:
	default:
		return fmt.Errorf("there is no action %q: it is one of rebuild, restart, sync, sync+exec, sync+restart", t.Action)
	}
	if t.Path == "" {
		return errors.New("path is empty")
	}
	return nil
}

// Source is a rule for a file or folder that a service's image is made from.
// ignore names a file of patterns, which need not be there.
func Source(service, path, ignore string) (Rule, error) {
	r := Rule{Service: service, Action: types.WatchActionRebuild, root: real(path)}
	list, err := readIgnore(ignore)
	if err == nil {
		var own *patterns
		own, err = newPatterns(r.root, append(append(slices.Clone(noise), "**/.env"), list...))
		r.ignore = []*patterns{own}
	}
	if err != nil {
		return r, fmt.Errorf("service %q: %s: %w", service, ignore, err)
	}
	return r, nil
}

// ProjectFile is a rule for a file that the project is read from.
func ProjectFile(path string) Rule { return Rule{Action: Reload, root: real(path)} }

func (r Rule) syncs() bool {
	return r.Action == types.WatchActionSync || r.Action == types.WatchActionSyncRestart || r.Action == types.WatchActionSyncExec
}

// Match tells whether a path is one of the rule's, and where it lies in the
// container if the rule syncs.
func (r Rule) Match(p string) (target string, ok bool) {
	rel, inside := below(r.root, p)
	if !inside || !slices.Contains(r.never, p) && r.ignores(p) || r.include != nil && rel != "." && !r.include.match(p) {
		return "", false
	}
	switch {
	case !r.syncs():
		return "", true
	case rel != ".":
		return path.Join(r.Target, filepath.ToSlash(rel)), true
	case strings.HasSuffix(r.Target, "/") && r.isFile():
		return path.Join(r.Target, filepath.Base(r.root)), true
	}
	return path.Clean(r.Target), true
}

func (r Rule) isFile() bool {
	info, err := os.Stat(r.root)
	return err == nil && !info.IsDir()
}

func (r Rule) ignores(p string) bool {
	if p == r.root {
		return false // its author has named it
	}
	return slices.ContainsFunc(r.ignore, func(i *patterns) bool { return i.match(p) })
}

// prunes tells that nothing below a folder can match.
func (r Rule) prunes(dir string) bool {
	if _, inside := below(r.root, dir); !inside {
		return true
	}
	if dir == r.root || slices.ContainsFunc(r.never, func(f string) bool { _, in := below(dir, f); return in }) {
		return false
	}
	return slices.ContainsFunc(r.ignore, func(i *patterns) bool { return !i.exceptions && i.match(dir) })
}

// below gives a path relative to a root that it lies in, or is.
func below(root, p string) (string, bool) {
	rel, err := filepath.Rel(root, p)
	return rel, err == nil && filepath.IsLocal(rel)
}

// real resolves the links of a path as far as it is there.
func real(p string) string {
	p, rest := filepath.Clean(p), ""
	for dir := p; ; dir = filepath.Dir(dir) {
		if found, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(found, rest)
		}
		if filepath.Dir(dir) == dir {
			return p
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// mounted tells whether the container sees a path as it is on this machine.
func mounted(p string, volumes []types.ServiceVolumeConfig) bool {
	return slices.ContainsFunc(volumes, func(v types.ServiceVolumeConfig) bool {
		if v.Type != types.VolumeTypeBind {
			return false
		}
		_, inside := below(real(v.Source), p)
		return inside
	})
}

// buildIgnore reads what a service's build leaves out. The Dockerfile matters
// to a build, whatever the patterns say.
func buildIgnore(s types.ServiceConfig) (ignored []*patterns, never []string, err error) {
	b := s.Build
	if b == nil || !filepath.IsAbs(b.Context) {
		return nil, nil, nil
	}
	dockerfile := b.Dockerfile
	if dockerfile == "" {
		dockerfile = "Dockerfile"
	}
	if !filepath.IsAbs(dockerfile) {
		dockerfile = filepath.Join(b.Context, dockerfile)
	}
	name := dockerfile + ".dockerignore"
	if _, err := os.Stat(name); err != nil {
		name = filepath.Join(b.Context, ".dockerignore")
	}
	list, err := readIgnore(name)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	p, err := newPatterns(real(b.Context), list)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return []*patterns{p}, []string{real(dockerfile)}, nil
}

func readIgnore(name string) ([]string, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) || name == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ignorefile.ReadAll(f)
}

// patterns are those of an ignore file, for paths below a folder. They may be
// used from several goroutines: the matcher compiles as it goes.
type patterns struct {
	root       string
	exceptions bool
	mu         sync.Mutex
	matcher    *patternmatcher.PatternMatcher
}

func newPatterns(root string, list []string) (*patterns, error) {
	m, err := patternmatcher.New(list)
	if err != nil {
		return nil, err
	}
	return &patterns{root: root, exceptions: m.Exclusions(), matcher: m}, nil
}

func (p *patterns) match(name string) bool {
	rel, inside := below(p.root, name)
	if !inside || rel == "." {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ok, err := p.matcher.MatchesOrParentMatches(rel)
	return err == nil && ok // the patterns have been checked: no path makes an error
}
