package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// pack writes a file or folder as a tar archive in which it is called name; "."
// for a folder stands for what is in it. With owners, files keep theirs, else they
// are root's.
func pack(w io.Writer, source, name string, owners bool) error {
	tw := tar.NewWriter(w)
	err := filepath.WalkDir(source, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(source, p)
		if err != nil {
			return err
		}
		as := path.Join(name, filepath.ToSlash(rel))
		if as == "." {
			return nil // the folder is there
		}
		return packOne(tw, p, as, owners)
	})
	return errors.Join(err, tw.Close())
}

func packOne(tw *tar.Writer, file, name string, owners bool) error {
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	link := ""
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if link, err = os.Readlink(file); err != nil {
			return err
		}
	case info.Mode()&fs.ModeSocket != 0:
		return nil // an archive can't have it
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	h.Name, h.Uname, h.Gname = name, "", ""
	if !owners {
		h.Uid, h.Gid = 0, 0
	}
	if err := tw.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(tw, f); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// unpack writes what is in an archive to a folder, under another name than the
// archive's first elements have; "." for what is in the folder that was packed.
// Nothing is written outside of the folder, whatever the archive's names and links
// say. With owners, files belong to whom the archive says.
func unpack(r io.Reader, folder, name string, owners bool) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	var later []*tar.Header // folders, whose rights and times come last
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if h.Name, err = renamed(h.Name, name); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeLink {
			if h.Linkname, err = renamed(h.Linkname, name); err != nil {
				return err
			}
		}
		if h.Name != "." {
			if err := unpackOne(root, tr, h); err != nil {
				return fmt.Errorf("%s: %w", h.Name, err)
			}
		}
		if h.Typeflag == tar.TypeDir {
			later = append(later, h)
		} else if err := settle(root, h, owners); err != nil {
			return err
		}
	}
	for i := len(later) - 1; i >= 0; i-- {
		if later[i].Name == "." && name == "." {
			continue // that folder is the user's own
		}
		if err := settle(root, later[i], owners); err != nil {
			return err
		}
	}
	return nil
}

// renamed replaces the first element of an entry's name. What would lead out of
// the folder is refused.
func renamed(entry, name string) (string, error) {
	clean := path.Clean(strings.TrimPrefix(entry, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("the archive has an entry %q, which leads out of the folder: it is refused", entry)
	}
	_, rest, _ := strings.Cut(clean, "/")
	if strings.HasPrefix(entry, "./") {
		rest = clean // of an archive that begins with the folder itself
	}
	return path.Join(name, rest), nil
}

func unpackOne(root *os.Root, r io.Reader, h *tar.Header) error {
	if dir := path.Dir(h.Name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeDir {
		return root.MkdirAll(h.Name, 0o700)
	}
	// What is there is replaced, and never written through a link.
	if info, err := root.Lstat(h.Name); err == nil {
		if info.IsDir() {
			return errors.New("there is a folder of that name")
		}
		if err := root.Remove(h.Name); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeReg:
		f, err := root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, h.Name)
	case tar.TypeLink:
		return root.Link(h.Linkname, h.Name)
	}
	return nil // devices and pipes are the container's own
}

// settle gives what was unpacked its rights, its time and its owner.
func settle(root *os.Root, h *tar.Header, owners bool) error {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
	case tar.TypeSymlink:
		if owners {
			return root.Lchown(h.Name, h.Uid, h.Gid)
		}
		return nil
	default:
		return nil
	}
	var err error
	if owners {
		err = root.Lchown(h.Name, h.Uid, h.Gid)
	}
	mode := fs.FileMode(h.Mode).Perm()
	if owners {
		mode |= h.FileInfo().Mode() & (fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	}
	return errors.Join(err, root.Chmod(h.Name, mode), root.Chtimes(h.Name, h.ModTime, h.ModTime))
}
