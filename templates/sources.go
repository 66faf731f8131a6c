package templates

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

const ignoreFile = ".dockerignore"

// sources adds a file or everything below a folder, but for what ignore names,
// what ww keeps beside a .ww file, and .git and .env, which an exception in the
// ignore file brings back. Files at the top that are named by replaced are left
// out: the context has its own.
//
// A link stays a link, as it would for docker: what it points to is read in the
// image, so that no file of this machine gets in that the folder doesn't hold.
// One that leads out of the folder would point to nothing, and is an error.
func (c *Context) sources(prefix, from, ignore string, replaced ...string) error {
	if err := c.addSources(prefix, from, ignore, replaced); err != nil {
		return fmt.Errorf("source of %s: %w", c.Name, err)
	}
	below := func(f file) bool { return strings.HasPrefix(f.path, prefix+"/") }
	if prefix != "" && !slices.ContainsFunc(c.files, below) {
		c.add(path.Join(prefix, ".keep"), nil) // what is copied has to be there
	}
	return nil
}

func (c *Context) addSources(prefix, from, ignore string, replaced []string) error {
	if from == "" {
		return nil
	}
	info, err := os.Stat(from)
	if err != nil {
		return plainError(err)
	}
	if !info.IsDir() {
		return c.sourceFile(path.Join(prefix, filepath.Base(from)), from, info)
	}
	// The folder itself may be a link: the author has named it.
	root, err := filepath.EvalSymlinks(from)
	if err != nil {
		return plainError(err)
	}
	rules, err := ignoreRules(ignore)
	if err != nil {
		return fmt.Errorf("%s: %w", ignore, err)
	}
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return plainError(err)
		}
		rel, err := filepath.Rel(root, p)
		if err != nil || rel == "." {
			return err
		}
		rel = filepath.ToSlash(rel)
		skip, err := rules.MatchesOrParentMatches(rel)
		if err != nil {
			return fmt.Errorf("%s: %w", ignore, err)
		}
		switch {
		case d.Name() == ".ww" && d.IsDir():
			return fs.SkipDir
		case skip && d.IsDir() && !rules.Exclusions():
			return fs.SkipDir
		case skip || d.IsDir() || slices.Contains(replaced, rel):
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			return c.link(path.Join(prefix, rel), root, p)
		}
		info, err := d.Info()
		if err != nil {
			return plainError(err)
		}
		return c.sourceFile(path.Join(prefix, rel), p, info)
	})
}

// sourceFile adds a regular file. Nothing else, such as a socket, can be part
// of an image's files.
func (c *Context) sourceFile(name, source string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		c.files = append(c.files, file{path: name, source: source, exec: info.Mode()&0o111 != 0})
	}
	return nil
}

func (c *Context) link(name, root, source string) error {
	to, err := os.Readlink(source)
	if err != nil {
		return plainError(err)
	}
	if !filepath.IsAbs(to) {
		rel, err := filepath.Rel(root, filepath.Join(filepath.Dir(source), to))
		if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return fmt.Errorf("the link %s leads out of the folder, to %s: copy what it points to, or name the link in %s",
				source, to, ignoreFile)
		}
	}
	c.files = append(c.files, file{path: name, link: filepath.ToSlash(to)})
	return nil
}

// plainError names the file and what is wrong, and not the call.
func plainError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Path, pe.Err)
	}
	return err
}

// ignoreRules reads an ignore file; one that isn't there ignores nothing.
func ignoreRules(name string) (*patternmatcher.PatternMatcher, error) {
	patterns := []string{"**/.git", "**/.env"}
	f, err := os.Open(name)
	if err == nil {
		defer f.Close()
		own, err := ignorefile.ReadAll(f)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, own...)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return patternmatcher.New(patterns)
}
