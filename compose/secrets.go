package compose

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// EnsureFolder makes the folder for what is generated beside a .ww file, which
// git is told to leave alone.
func EnsureFolder(dir string) error {
	folder := filepath.Join(dir, Folder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	ignore := filepath.Join(folder, ".gitignore")
	if _, err := os.Stat(ignore); err == nil {
		return nil
	}
	return os.WriteFile(ignore, []byte("# Made by ww: build contexts, the bus password, the key of content digests. None of it belongs in a repository.\n*\n"), 0o644)
}

// EnsureBusPassword makes the project's bus password, once. The file is bound
// into containers that run as users of their own, so it has to be readable to
// everyone; the folder around it is open to its owner alone, which keeps
// everyone else on this machine out.
func EnsureBusPassword(dir string) error {
	if err := EnsureFolder(dir); err != nil {
		return err
	}
	name := filepath.Join(dir, filepath.FromSlash(BusPasswordFile))
	folder := filepath.Dir(name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		return err
	}
	switch info, err := os.Stat(name); {
	case err == nil && info.Mode().IsRegular() && info.Size() > 0:
		return nil
	case err == nil && info.IsDir():
		// An engine that was asked to bind a file that wasn't there made this.
		// Another process may have put the password in its place by now, which
		// rmdir leaves alone, and os.Remove wouldn't.
		err := syscall.Rmdir(name)
		if err != nil && !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("bus password: %s is a folder: %w", name, err)
		}
	case err == nil:
		return fmt.Errorf("bus password: %s is empty or no file: remove it, and a new one is made", name)
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("bus password: %w", err)
	}
	if err := writePassword(name); err != nil {
		return fmt.Errorf("bus password: %w", err)
	}
	return nil
}

// writePassword writes a new password, unless another process has.
func writePassword(name string) error {
	if to, err := os.Readlink(name); err == nil {
		return fmt.Errorf("%s is a link to %s, which isn't there: remove it, and a new password is made", name, to)
	}
	var b [24]byte
	if _, err := rand.Read(b[:]); err != nil {
		return err
	}
	return writeOnce(name, hex.EncodeToString(b[:])+"\n", 0o444)
}

// writeOnce writes a new file in one step: another process sees all of it or
// nothing, and the first of two wins.
func writeOnce(name, content string, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(content)
	// A link may outlive a power cut that the content doesn't.
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), name); err != nil && !errors.Is(err, os.ErrExist) {
		// Some file systems have no links.
		return os.Rename(tmp.Name(), name)
	}
	return nil
}
