package main

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tarOf makes an archive of "NAME", "NAME/" (a folder) and "NAME -> TARGET" (a
// link).
func tarOf(t *testing.T, entries ...string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		name, link, isLink := strings.Cut(e, " -> ")
		h := &tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len("text"))}
		switch {
		case isLink:
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, link, 0
		case strings.HasSuffix(name, "/"):
			h.Typeflag, h.Mode, h.Size = tar.TypeDir, 0o750, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			_, _ = w.Write([]byte("text")) // Close tells
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func tree(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, p); rel != "." {
			all = append(all, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestUnpack(t *testing.T) {
	for name, tt := range map[string]struct {
		entries []string
		as      string
		want    string
	}{
		"a folder by its name":   {[]string{"src/", "src/a", "src/b/", "src/b/c"}, "src", "src src/a src/b src/b/c"},
		"by another name":        {[]string{"src/", "src/a"}, "dst", "dst dst/a"},
		"what is in it":          {[]string{"src/", "src/a", "src/b/", "src/b/c"}, ".", "a b b/c"},
		"what is in it, with ./": {[]string{"./", "./a"}, ".", "a"},
		"one file":               {[]string{"a"}, "b", "b"},
		"a link that leads out":  {[]string{"src/", "src/l -> /etc/passwd"}, "src", "src src/l"},
	} {
		dir := t.TempDir()
		if err := unpack(tarOf(t, tt.entries...), dir, tt.as, false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := tree(t, dir); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestUnpackStaysInside: no archive writes anything outside of the folder.
func TestUnpackStaysInside(t *testing.T) {
	for name, entries := range map[string][]string{
		"a name that leads up":     {"../outside"},
		"up from inside":           {"src/../../outside"},
		"through a link":           {"src/", "src/l -> ..", "src/l/../../outside"},
		"through an absolute link": {"src/", "src/l -> OUT", "src/l/outside"},
		"through a link upwards":   {"src/", "src/l -> ../..", "src/l/outside"},
	} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range entries {
			entries[i] = strings.ReplaceAll(entries[i], "OUT", parent)
		}
		if err := unpack(tarOf(t, entries...), dir, "src", false); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := os.Lstat(filepath.Join(parent, "outside")); err == nil {
			t.Errorf("%s: it has left the folder", name)
		}
	}
	// A link that is there is replaced, not written through.
	parent := t.TempDir()
	secret, dir := filepath.Join(parent, "secret"), filepath.Join(parent, "in")
	for _, err := range []error{os.Mkdir(dir, 0o755), os.WriteFile(secret, []byte("mine"), 0o600), os.Symlink(secret, filepath.Join(dir, "a"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := unpack(tarOf(t, "a"), dir, "a", false); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(secret); string(b) != "mine" {
		t.Errorf("it was written through a link: %q, %v", b, err)
	}
}

func TestPackAndUnpack(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(from, "a/b"), 0o750), os.WriteFile(filepath.Join(from, "a/b/c"), []byte("deep"), 0o640),
		os.Symlink("b/c", filepath.Join(from, "a/l")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := pack(&b, filepath.Join(from, "a"), "x", false); err != nil {
		t.Fatal(err)
	}
	h, err := tar.NewReader(bytes.NewReader(b.Bytes())).Next()
	if err != nil || h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
		t.Errorf("%+v, %v", h, err)
	}
	if err := unpack(&b, to, "y", false); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, to); got != "y y/b y/b/c y/l" {
		t.Error(got)
	}
	info, err := os.Stat(filepath.Join(to, "y/b/c"))
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if content, err := os.ReadFile(filepath.Join(to, "y/l")); string(content) != "deep" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestSplitCopy(t *testing.T) {
	for arg, want := range map[string][2]string{
		"web:/a": {"web", "/a"}, "web:a:b": {"web", "a:b"}, "./web:a": {"", "./web:a"}, "/a:b": {"", "/a:b"}, "a": {"", "a"}, "-": {"", "-"}, ":a": {"", ":a"},
	} {
		if service, p := splitCopy(arg); service != want[0] || p != want[1] {
			t.Errorf("%s: %q %q", arg, service, p)
		}
	}
}
