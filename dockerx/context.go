package dockerx

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

const ignoreFile = ".dockerignore"

// buildContext is what an image is built from: a directory of this machine, or
// an address that the engine reads by itself.
type buildContext struct {
	remote     string
	dir        string
	dockerfile string // its name in the context
	// inline is the Dockerfile where it is no file of the context; it is added
	// under the name above.
	inline  []byte
	ignored []string // patterns of the .dockerignore
	exclude *patternmatcher.PatternMatcher
}

func openContext(b *types.BuildConfig) (buildContext, error) {
	c := buildContext{dockerfile: b.Dockerfile}
	if c.dockerfile == "" {
		c.dockerfile = "Dockerfile"
	}
	if isRemote(b.Context) {
		c.remote = b.Context
		if b.DockerfileInline != "" {
			return c, errors.New("dockerfile_inline can't be used with a remote context")
		}
		return c, nil
	}
	if b.Context == "" {
		return c, errors.New("build.context is empty: name a directory")
	}
	var err error
	if c.dir, err = filepath.Abs(b.Context); err != nil {
		return c, err
	}
	if info, err := os.Stat(c.dir); err != nil || !info.IsDir() {
		return c, fmt.Errorf("build context %s is no directory", c.dir)
	}
	dockerfile, err := c.findDockerfile(b)
	if err != nil {
		return c, err
	}
	return c, c.readIgnore(dockerfile)
}

func isRemote(context string) bool {
	for _, p := range []string{"http://", "https://", "git://", "ssh://", "git@", "github.com/"} {
		if strings.HasPrefix(context, p) {
			return true
		}
	}
	return false
}

// findDockerfile returns the path of the Dockerfile, empty if it is inline.
func (c *buildContext) findDockerfile(b *types.BuildConfig) (string, error) {
	if b.DockerfileInline != "" {
		c.addDockerfile([]byte(b.DockerfileInline))
		return "", nil
	}
	path := c.dockerfile
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.dir, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("dockerfile: %w", err)
	}
	rel, err := filepath.Rel(c.dir, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		c.addDockerfile(data)
		return path, nil
	}
	c.dockerfile = filepath.ToSlash(rel)
	return path, nil
}

// addDockerfile gives a Dockerfile that is no file of the context a name of its
// own there, the same for the same content.
func (c *buildContext) addDockerfile(data []byte) {
	sum := sha256.Sum256(data)
	c.dockerfile, c.inline = ".dockerfile."+hex.EncodeToString(sum[:8]), data
}

// readIgnore reads what isn't to be sent: DOCKERFILE.dockerignore beside the
// Dockerfile, or .dockerignore of the context.
func (c *buildContext) readIgnore(dockerfile string) error {
	candidates := []string{filepath.Join(c.dir, ignoreFile)}
	if dockerfile != "" {
		candidates = slices.Insert(candidates, 0, dockerfile+ignoreFile)
	}
	for _, path := range candidates {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		c.ignored, err = ignorefile.ReadAll(f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		break
	}
	var err error
	if c.exclude, err = patternmatcher.New(c.ignored); err != nil {
		return fmt.Errorf("%s: %w", ignoreFile, err)
	}
	return nil
}

// write sends the context as a tar stream. It is the same for the same files:
// in the order of their names, and owned by root.
func (c *buildContext) write(ctx context.Context, out io.Writer) error {
	w := tar.NewWriter(out)
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(c.dir, path)
		if err != nil || rel == "." {
			return err
		}
		send, err := c.sends(rel, d)
		if err != nil || !send {
			return err
		}
		return addEntry(w, path, filepath.ToSlash(rel), d)
	})
	if err != nil {
		return err
	}
	if err := c.writeOwn(w); err != nil {
		return err
	}
	return w.Close()
}

// sends tells whether a path is sent; it is fs.SkipDir for a directory of which
// nothing is.
func (c *buildContext) sends(rel string, d fs.DirEntry) (bool, error) {
	name := filepath.ToSlash(rel)
	if name == ignoreFile || c.inline != nil && name == c.dockerfile {
		return false, nil // writeOwn sends these
	}
	if c.inline == nil && name == c.dockerfile {
		return true, nil // the engine needs it, and leaves it out of the image by itself
	}
	excluded, err := c.exclude.MatchesOrParentMatches(rel)
	if err != nil || !excluded {
		return true, err
	}
	holdsDockerfile := c.inline == nil && strings.HasPrefix(c.dockerfile, name+"/")
	if d.IsDir() && !c.exclude.Exclusions() && !holdsDockerfile {
		return false, fs.SkipDir
	}
	return false, nil
}

// writeOwn sends what isn't a file of the directory: a Dockerfile from
// elsewhere, and the .dockerignore, which tells the engine that the former is
// no part of what is copied.
func (c *buildContext) writeOwn(w *tar.Writer) error {
	ignored := slices.Clone(c.ignored)
	if c.inline != nil {
		ignored = append(ignored, c.dockerfile)
		if err := addFile(w, c.dockerfile, c.inline); err != nil {
			return err
		}
	}
	if len(ignored) == 0 {
		return nil
	}
	if !fileExists(filepath.Join(c.dir, ignoreFile)) {
		ignored = append(ignored, ignoreFile)
	}
	return addFile(w, ignoreFile, []byte(strings.Join(ignored, "\n")+"\n"))
}

func fileExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func addFile(w *tar.Writer, name string, data []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(w, bytes.NewReader(data))
	return err
}

// addEntry sends a file, directory or symbolic link. Nothing else can be part of
// an image's files.
func addEntry(w *tar.Writer, path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	link := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
	case mode.IsDir():
		name += "/"
	case mode&fs.ModeSymlink != 0:
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	default:
		return nil
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Format = name, tar.FormatPAX
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	return copyFile(w, path, info.Size())
}

func copyFile(w io.Writer, path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	n, err := io.Copy(w, io.LimitReader(f, size))
	if err == nil && n != size {
		err = fmt.Errorf("%s became shorter while it was read", path)
	}
	return err
}
