package templates

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// program is what stands in for ww where it isn't run.
const program = "the program\n"

func fakeBinary(t testing.TB) Binary {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ww")
	put(t, name, program)
	return Binary{Path: name, Arch: "amd64", Version: "v1.2.3"}
}

func put(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree makes a folder with files; content that begins with "-> " is a link.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, name)
		to, link := strings.CutPrefix(content, "-> ")
		if !link {
			put(t, name, content)
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// list reads a folder back in the form that tree takes; executable files get a
// "*" after their names. Everything has to be readable for everyone.
func list(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(p, dir+"/")
		switch perm := info.Mode().Perm(); {
		case d.IsDir():
			if perm != 0o755 {
				t.Errorf("folder %s has mode %o", p, perm)
			}
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			all[name] = "-> " + to
			return err
		case perm == 0o755:
			name += "*"
		case perm != 0o644:
			t.Errorf("file %s has mode %o", p, perm)
		}
		b, err := os.ReadFile(p)
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// written writes a context and gives what is in its folder, but for the digest.
func written(t testing.TB, c Context) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "build")
	if err := c.Write(dir); err != nil {
		t.Fatal(err)
	}
	got := list(t, filepath.Join(dir, c.Name))
	if got[stampFile] != digest(t, c)+"\n" {
		t.Errorf("digest %q, want %q", got[stampFile], digest(t, c))
	}
	delete(got, stampFile)
	return got
}

func digest(t testing.TB, c Context) string {
	t.Helper()
	d, err := c.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if len(d) != 12 {
		t.Errorf("digest %q", d)
	}
	return d
}

func wantFiles(t testing.TB, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if content, ok := got[name]; !ok {
			t.Errorf("%s is missing: %q", name, slices.Sorted(maps.Keys(got)))
		} else if content != want[name] {
			t.Errorf("%s holds %q, want %q", name, content, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is there", name)
		}
	}
}

func execContext(t testing.TB, source string) Context {
	t.Helper()
	c, err := Exec("run", "busybox:stable", source, fakeBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
