// Package templates makes the build contexts of component images: a Dockerfile
// from an embedded template, the ww binary, and a component's own sources. A
// context is described first, without touching anything, so that its digest
// can name the image, and written only when something is to be built from it.
package templates

import (
	_ "embed"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"woodwork.dev/ww"
)

var (
	//go:embed builtin.Dockerfile
	builtinDockerfile []byte
	//go:embed exec.Dockerfile
	execDockerfile []byte
	//go:embed python.Dockerfile
	pythonDockerfile []byte
	//go:embed own.Dockerfile
	ownDockerfile []byte
)

// DefaultPython is the base image of Python components that name none.
const DefaultPython = "python:3.12-slim"

// Context is everything that goes into an image.
type Context struct {
	Name  string            // of the folder that it is written to
	Args  map[string]string // build arguments
	files []file
}

type file struct {
	path    string // in the context, with slashes
	content []byte // or, where it is nil, what lies at
	source  string
	mode    os.FileMode
	digest  []byte // of what lies there, where it is known already
}

// Builtin is the context of every component of a built-in kind.
func Builtin(b Binary) Context {
	c := Context{Name: "component"}
	if b.Path == "" {
		c.Args = map[string]string{"WW_VERSION": b.Version}
		c.add("Dockerfile", ww.ComponentDockerfile)
		return c
	}
	c.add("Dockerfile", builtinDockerfile)
	c.binary("ww", b)
	return c
}

// Exec is the context of a command in a base image; source, if it isn't empty,
// is a file or folder that becomes /app.
func Exec(name, baseImage, source string, b Binary) (Context, error) {
	c := Context{Name: name, Args: map[string]string{"BASE_IMAGE": baseImage}}
	c.add("Dockerfile", execDockerfile)
	if err := c.binaryOf("ww", b); err != nil {
		return c, err
	}
	return c, c.sources("app", source)
}

// Python is the context of Python sources. requirements may be empty.
func Python(name, baseImage, source, requirements string, b Binary) (Context, error) {
	if baseImage == "" {
		baseImage = DefaultPython
	}
	c := Context{Name: name, Args: map[string]string{"BASE_IMAGE": baseImage}}
	c.add("Dockerfile", pythonDockerfile)
	if err := c.binaryOf("ww", b); err != nil {
		return c, err
	}
	var content []byte
	if requirements != "" {
		var err error
		if content, err = os.ReadFile(requirements); err != nil {
			return c, fmt.Errorf("requirements of %s: %w", name, err)
		}
	}
	c.add("requirements.txt", content)
	return c, c.sources("app", source)
}

// Own is the context of a Dockerfile that the user wrote: the folder that it
// lies in, and ww added to the image as its entry point.
func Own(name, dockerfile string, b Binary) (Context, error) {
	c := Context{Name: name}
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return c, fmt.Errorf("dockerfile of %s: %w", name, err)
	}
	if err := c.sources("", filepath.Dir(dockerfile)); err != nil {
		return c, err
	}
	c.add("Dockerfile", append(append(text, '\n'), ownDockerfile...))
	return c, c.binaryOf("ww.component", b)
}

func (c *Context) add(name string, content []byte) {
	if content == nil {
		content = []byte{}
	}
	c.drop(name)
	c.files = append(c.files, file{path: name, content: content, mode: 0o644})
}

func (c *Context) drop(name string) {
	for i := range c.files {
		if c.files[i].path == name {
			c.files = append(c.files[:i], c.files[i+1:]...)
			return
		}
	}
}

func (c *Context) binary(name string, b Binary) {
	c.files = append(c.files, file{path: name, source: b.Path, mode: 0o755, digest: b.digest})
}

func (c *Context) binaryOf(name string, b Binary) error {
	if b.Path == "" {
		return b.missing()
	}
	c.binary(name, b)
	return nil
}

// sources adds a file or everything below a folder, but for what its
// .dockerignore names, what ww itself keeps beside a .ww file, and .git.
func (c *Context) sources(prefix, from string) error {
	if from == "" {
		if prefix != "" {
			c.add(path.Join(prefix, ".keep"), nil)
		}
		return nil
	}
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("source of %s: %w", c.Name, err)
	}
	if !info.IsDir() {
		c.files = append(c.files, file{path: path.Join(prefix, filepath.Base(from)), source: from, mode: info.Mode().Perm() | 0o444})
		return nil
	}
	ignored, err := ignoreRules(from)
	if err != nil {
		return fmt.Errorf("source of %s: %w", c.Name, err)
	}
	return filepath.WalkDir(from, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("source of %s: %w", c.Name, err)
		}
		rel, err := filepath.Rel(from, p)
		if err != nil || rel == "." {
			return err
		}
		rel = filepath.ToSlash(rel)
		if rel == ".ww" || rel == ".git" {
			return filepath.SkipDir
		}
		if skip, err := ignored.MatchesOrParentMatches(rel); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(from, ".dockerignore"), err)
		} else if skip {
			if d.IsDir() && !ignored.Exclusions() {
				return filepath.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		return c.sourceFile(path.Join(prefix, rel), p)
	})
}

func (c *Context) sourceFile(name, source string) error {
	info, err := os.Stat(source) // what a link points to goes in
	if err != nil {
		return fmt.Errorf("source of %s: %w", c.Name, err)
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	// The component runs as a user of its own: it has to be able to read.
	c.files = append(c.files, file{path: name, source: source, mode: info.Mode().Perm() | 0o444})
	return nil
}

func ignoreRules(dir string) (*patternmatcher.PatternMatcher, error) {
	f, err := os.Open(filepath.Join(dir, ".dockerignore"))
	if os.IsNotExist(err) {
		return patternmatcher.New(nil)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf(".dockerignore: %w", err)
	}
	// The Dockerfile stays whatever the rules say: the build needs it.
	for i := range patterns {
		patterns[i] = strings.TrimPrefix(patterns[i], "/")
	}
	return patternmatcher.New(patterns)
}
