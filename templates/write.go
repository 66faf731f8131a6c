package templates

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

// Digest names the content: paths, modes, arguments and every byte. It has
// twelve hexadecimal digits.
func (c Context) Digest() (string, error) {
	files := append([]file(nil), c.files...)
	sort.Slice(files, func(i, j int) bool { return files[i].path < files[j].path })
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(c.Args)) {
		fmt.Fprintf(h, "arg %q %q\n", k, c.Args[k])
	}
	for _, f := range files {
		sum, err := f.sum()
		if err != nil {
			return "", fmt.Errorf("image of %s: %w", c.Name, err)
		}
		fmt.Fprintf(h, "file %q %o %x\n", f.path, f.mode&0o111, sum)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
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
func (c Context) Write(dir string) error {
	digest, err := c.Digest()
	if err != nil {
		return err
	}
	target := filepath.Join(dir, c.Name)
	stamp := target + ".digest"
	if have, err := os.ReadFile(stamp); err == nil && string(have) == digest+"\n" && isDir(target) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(dir, "."+c.Name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	for _, f := range c.files {
		if err := f.writeTo(filepath.Join(tmp, filepath.FromSlash(f.path))); err != nil {
			return fmt.Errorf("build context of %s: %w", c.Name, err)
		}
	}
	if err := exchange(tmp, target); err != nil {
		return fmt.Errorf("build context of %s: %w", c.Name, err)
	}
	return os.WriteFile(stamp, []byte(digest+"\n"), 0o644)
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// exchange moves the folder tmp to target.
func exchange(tmp, target string) error {
	for range 3 {
		if err := os.RemoveAll(target); err != nil {
			return err
		}
		err := os.Rename(tmp, target)
		if err == nil || !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("%s: another process keeps writing it", target)
}

func (f file) writeTo(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	r, err := f.open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		w.Close()
		return err
	}
	return w.Close()
}
