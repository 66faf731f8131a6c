package templates

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stampFile holds a context's digest. It lies in the context's folder, so that
// both are exchanged in one step.
const stampFile = ".ww-digest"

// staleAfter is the age from which a folder that was being written belongs to
// a process that has died.
const staleAfter = 10 * time.Minute

// Digest names the content: paths, what can be executed, links, arguments and
// every byte. It has twelve hexadecimal digits.
func (c Context) Digest() (string, error) {
	files := slices.Clone(c.files)
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(c.Args)) {
		fmt.Fprintf(h, "arg %q %q\n", k, c.Args[k])
	}
	for _, f := range files {
		if f.link != "" {
			fmt.Fprintf(h, "link %q %q\n", f.path, f.link)
			continue
		}
		sum, err := f.sum()
		if err != nil {
			return "", fmt.Errorf("image of %s: %w", c.Name, plainError(err))
		}
		fmt.Fprintf(h, "file %q %o %x\n", f.path, f.mode(), sum)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

func (f file) mode() fs.FileMode {
	if f.exec {
		return 0o755
	}
	return 0o644
}

func (f file) open() (io.ReadCloser, error) {
	if f.content != nil {
		return io.NopCloser(bytes.NewReader(f.content)), nil
	}
	return os.Open(f.source)
}

func (f file) sum() ([]byte, error) {
	if f.digest != nil {
		return f.digest, nil
	}
	r, err := f.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// Write puts the context into the folder Name below dir, in place of what is
// there, and leaves it alone where the same content is there already. Another
// ww that writes at the same moment does no harm: folders are exchanged whole.
// What an interrupted Write has left behind is removed ten minutes later, by
// the next one.
func (c Context) Write(dir string) error {
	if err := c.write(dir); err != nil {
		return fmt.Errorf("build context of %s: %w", c.Name, err)
	}
	return nil
}

func (c Context) write(dir string) error {
	digest, err := c.Digest()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	prefix := "." + c.Name + "-"
	if err := removeStale(dir, prefix); err != nil {
		return err
	}
	target := filepath.Join(dir, c.Name)
	if holds(target, digest) {
		return nil
	}
	tmp, err := os.MkdirTemp(dir, prefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	stamp := file{path: stampFile, content: []byte(digest + "\n")}
	for _, f := range append(slices.Clone(c.files), stamp) {
		if err := f.place(dir, filepath.Join(tmp, filepath.FromSlash(f.path))); err != nil {
			return plainError(err)
		}
	}
	if err := openFolders(tmp); err != nil {
		return err
	}
	return exchange(tmp, target, digest)
}

// removeStale removes what processes have left that died while they wrote.
func removeStale(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !(e.IsDir() && strings.HasPrefix(e.Name(), prefix) || !e.IsDir() && strings.HasPrefix(e.Name(), sharedPrefix)) {
			continue
		}
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < staleAfter {
			continue // another process is at work there, or has just ended it
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// holds reports whether a folder has the content of a digest.
func holds(target, digest string) bool {
	have, err := os.ReadFile(filepath.Join(target, stampFile))
	return err == nil && string(have) == digest+"\n"
}

// exchange moves the folder tmp to target. What is there is moved aside first,
// as a folder that isn't empty can't be replaced; whoever comes between has
// written the same, or is replaced as well.
func exchange(tmp, target, digest string) error {
	aside := tmp + ".old"
	for range 100 {
		err := os.Rename(tmp, target)
		if err == nil || holds(target, digest) {
			return nil
		}
		if moved := os.Rename(target, aside); moved == nil {
			if err := os.RemoveAll(aside); err != nil {
				return err
			}
		} else if !errors.Is(moved, fs.ErrNotExist) {
			return errors.Join(err, moved)
		}
	}
	return fmt.Errorf("%s: other processes keep writing it", target)
}

// openFolders lets everyone read a tree's folders, whatever this process's
// umask is: the modes get into the image.
func openFolders(root string) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(p, 0o755)
	})
}

// sharedPrefix begins the name of the one copy of the binary that all contexts
// of a project share: it is large, and every component of foreign code has one.
const sharedPrefix = ".shared-"

// place puts a file into a context: the binary as another name of the shared
// copy, where the file system has such a thing.
func (f file) place(dir, name string) error {
	if f.digest == nil {
		return f.writeTo(name)
	}
	sum := sha256.Sum256(f.digest)
	shared := filepath.Join(dir, sharedPrefix+hex.EncodeToString(sum[:6]))
	if os.Link(shared, name) == nil {
		return nil
	}
	if err := f.writeTo(name); err != nil {
		return err
	}
	_ = os.Link(name, shared) // without it, the next one is a copy as well
	return nil
}

func (f file) writeTo(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if f.link != "" {
		return os.Symlink(filepath.FromSlash(f.link), name)
	}
	r, err := f.open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Chmod(f.mode()), w.Close())
}
