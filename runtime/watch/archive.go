package watch

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Files lists all that a rule syncs as it is now.
func (r Rule) Files() ([]File, error) {
	var files []File
	err := filepath.WalkDir(r.root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && gone(err):
			return nil
		case err != nil:
			return err
		case d.IsDir() && r.prunes(name):
			return fs.SkipDir
		}
		target, ok := r.Match(name)
		if ok && copies(d.Type()) && !(d.IsDir() && name == r.root) {
			files = append(files, File{Host: name, Target: target})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("service %q: files to sync: %w", r.Service, err)
	}
	return files, nil
}

// Archive writes files as a tar stream, with their targets below the root, and
// returns how many there are. What is gone by now is left out; there will be
// another change to say so. Without folders, only folders are in it that are
// empty: what is written into the others makes them.
func Archive(out io.Writer, files []File, folders bool) (int, error) {
	w := tar.NewWriter(out)
	n := 0
	for _, f := range files {
		if f.Removed || !folders && holds(files, f.Target) {
			continue
		}
		ok, err := writeFile(w, f)
		if err != nil {
			return n, fmt.Errorf("%s: %w", f.Host, err)
		}
		if ok {
			n++
		}
	}
	return n, w.Close()
}

// holds tells whether one of the files goes into a folder.
func holds(files []File, folder string) bool {
	return slices.ContainsFunc(files, func(f File) bool {
		return !f.Removed && strings.HasPrefix(f.Target, strings.TrimSuffix(folder, "/")+"/")
	})
}

func writeFile(w *tar.Writer, f File) (bool, error) {
	info, err := os.Lstat(f.Host)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !copies(info.Mode()) || path.Clean(f.Target) == "/":
		return false, nil
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(f.Host); err != nil {
			return false, err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return false, err
	}
	h.Name = strings.TrimPrefix(path.Clean(f.Target), "/")
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", "" // the engine gives it the container's user
	if info.IsDir() {
		h.Name += "/"
	}
	if !info.Mode().IsRegular() {
		return true, w.WriteHeader(h)
	}
	err = writeContent(w, h, f.Host)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// readWhole is up to which size a file is read before its size is written down:
// it may be written at this moment.
const readWhole = 8 << 20

func writeContent(w *tar.Writer, h *tar.Header, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var content io.Reader = f
	if h.Size <= readWhole {
		data, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		h.Size, content = int64(len(data)), bytes.NewReader(data)
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(content, h.Size))
	if err == nil && n != h.Size {
		err = errors.New("it became shorter while it was read")
	}
	return err
}
