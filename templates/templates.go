// Package templates makes the build contexts of component images: a Dockerfile
// from an embedded template, the ww binary, and a component's own sources. A
// context is described first, without touching anything, so that its digest
// can name the image, and written only when something is to be built from it.
package templates

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"

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
	link    string // or what a symbolic link says
	exec    bool   // it can be executed; all can be read, whoever the component runs as
	digest  []byte // of what lies at source, where it is known already
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
	c.add("data/.keep", nil)
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
	return c, c.sources("app", source, filepath.Join(source, ignoreFile))
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
			return c, fmt.Errorf("requirements of %s: %w", name, plainError(err))
		}
	}
	c.add("requirements.txt", content)
	return c, c.sources("app", source, filepath.Join(source, ignoreFile))
}

// Own is the context of a Dockerfile that the user wrote: the folder that it
// lies in, and ww added to the image as its entry point.
func Own(name, dockerfile string, b Binary) (Context, error) {
	c := Context{Name: name}
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return c, fmt.Errorf("dockerfile of %s: %w", name, plainError(err))
	}
	// As docker has it: the Dockerfile's own ignore file is the one that counts.
	ignore := dockerfile + ignoreFile
	if _, err := os.Stat(ignore); err != nil {
		ignore = filepath.Join(filepath.Dir(dockerfile), ignoreFile)
	}
	const ownName, binary = "Dockerfile", "ww.component"
	err = c.sources("", filepath.Dir(dockerfile), ignore,
		ownName, ownName+ignoreFile, ignoreFile, binary, filepath.Base(dockerfile))
	if err != nil {
		return c, err
	}
	c.add(ownName, append(append(text, '\n'), ownDockerfile...))
	// The user's rules have been followed already, and might leave ww out.
	c.add(ignoreFile, []byte(ignoreFile+"\n"+stampFile+"\n"))
	return c, c.binaryOf(binary, b)
}

func (c *Context) add(name string, content []byte) {
	if content == nil {
		content = []byte{}
	}
	c.files = append(c.files, file{path: name, content: content})
}

func (c *Context) binary(name string, b Binary) {
	c.files = append(c.files, file{path: name, source: b.Path, exec: true, digest: b.digest})
}

func (c *Context) binaryOf(name string, b Binary) error {
	if b.Path == "" {
		return b.missing()
	}
	c.binary(name, b)
	return nil
}
