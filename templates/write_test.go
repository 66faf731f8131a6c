package templates

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestDigest(t *testing.T) {
	source := tree(t, map[string]string{"a": "a", "sub/b": "b"})
	first := digest(t, execContext(t, source))
	same := func(what string) {
		t.Helper()
		if d := digest(t, execContext(t, source)); d != first {
			t.Errorf("%s: %s, was %s", what, d, first)
		}
	}
	other := func(what string, c Context) {
		t.Helper()
		if digest(t, c) == first {
			t.Errorf("%s: no change", what)
		}
	}
	chmod := func(mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(filepath.Join(source, "a"), mode); err != nil {
			t.Fatal(err)
		}
	}
	same("again")
	past := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(filepath.Join(source, "a"), past, past); err != nil {
		t.Fatal(err)
	}
	same("mtime")
	for _, mode := range []os.FileMode{0o600, 0o664, 0o444, 0o640} {
		chmod(mode)
		same(fmt.Sprintf("mode %o", mode))
	}
	chmod(0o755)
	other("executable", execContext(t, source))
	chmod(0o644)
	moved := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(source, moved); err != nil {
		t.Fatal(err)
	}
	source = moved
	same("another path")
	c := execContext(t, source)
	for i, j := 0, len(c.files)-1; i < j; i, j = i+1, j-1 {
		c.files[i], c.files[j] = c.files[j], c.files[i]
	}
	if digest(t, c) != first {
		t.Error("the order counts")
	}
	c = execContext(t, source)
	c.Name = "other"
	if digest(t, c) != first {
		t.Error("the name counts: the image is the same")
	}
	c.Args = map[string]string{"BASE_IMAGE": "busybox:other"}
	other("argument", c)
	c.Args = map[string]string{"BASE_IMAGE": "busybox:stable", "MORE": ""}
	other("one more argument", c)
	other("a folder less", execContext(t, filepath.Join(source, "sub")))
	put(t, filepath.Join(source, "a"), "A")
	other("content", execContext(t, source))
	put(t, filepath.Join(source, "a"), "a")
	same("content as it was")
	put(t, filepath.Join(source, "empty"), "")
	other("an empty file", execContext(t, source))
}

func TestWriteLeavesAlone(t *testing.T) {
	dir := t.TempDir()
	source := tree(t, map[string]string{"a": "1"})
	target := filepath.Join(dir, "run")
	write := func() os.FileInfo {
		t.Helper()
		if err := execContext(t, source).Write(dir); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(target)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := write()
	if !os.SameFile(first, write()) {
		t.Error("an unchanged context was written again")
	}
	put(t, filepath.Join(source, "a"), "2")
	second := write()
	if os.SameFile(first, second) {
		t.Error("a changed one wasn't")
	}
	put(t, filepath.Join(source, "a"), "1")
	if write(); list(t, target)["app/a"] != "1" {
		t.Error("the first content doesn't come back")
	}
	if err := os.RemoveAll(target); err != nil {
		t.Fatal(err)
	}
	put(t, target, "a file in its place")
	if write(); list(t, target)["app/a"] != "1" {
		t.Error("a file in its place stays")
	}
	wantFiles(t, list(t, dir), prefixed("run/", list(t, target))) // and nothing else
}

func prefixed(prefix string, files map[string]string) map[string]string {
	all := map[string]string{}
	for name, content := range files {
		all[prefix+name] = content
	}
	return all
}

// TestUmask: the modes get into the image, where another user reads.
func TestUmask(t *testing.T) {
	source := tree(t, map[string]string{"sub/a": "1"})
	c := execContext(t, source)
	dir := t.TempDir()
	old := syscall.Umask(0o077)
	err := c.Write(dir)
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	list(t, filepath.Join(dir, "run")) // which looks at the modes
}

// TestConcurrentWrites: many write the same or one of two contents, and at every
// moment after the first Write the folder is one of them, whole.
func TestConcurrentWrites(t *testing.T) {
	for _, contents := range [][]string{{"one"}, {"one", "two"}} {
		dir := t.TempDir()
		var contexts []Context
		for _, s := range contents {
			contexts = append(contexts, execContext(t, tree(t, map[string]string{"a": s, "b": s, "c/d": s})))
		}
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for range 10 {
					if err := contexts[i%len(contexts)].Write(dir); err != nil {
						t.Errorf("write: %v", err)
					}
				}
			})
		}
		wg.Wait()
		got := list(t, filepath.Join(dir, "run"))
		whole := false
		for i, c := range contexts {
			whole = whole || got["app/a"] == contents[i] && got["app/b"] == contents[i] && got["app/c/d"] == contents[i] && got[stampFile] == digest(t, c)+"\n"
		}
		if !whole {
			t.Errorf("it holds %v", got)
		}
		wantFiles(t, list(t, dir), prefixed("run/", got))
	}
}

func TestInterruptedWrites(t *testing.T) {
	dir := t.TempDir()
	c := execContext(t, "")
	for range 2 { // the second time the context itself is there already
		for name, age := range map[string]time.Duration{
			".run-123": 11 * time.Minute, ".run-124.old": time.Hour, ".run-125": 9 * time.Minute, ".other-1": time.Hour, "run-1": time.Hour,
		} {
			put(t, filepath.Join(dir, name, "sub", "f"), "")
			then := time.Now().Add(-age)
			if err := os.Chtimes(filepath.Join(dir, name), then, then); err != nil {
				t.Fatal(err)
			}
		}
		put(t, filepath.Join(dir, ".run-file"), "")
		if err := c.Write(dir); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names string
		for _, e := range entries {
			names += e.Name() + " "
		}
		if names != ".other-1 .run-125 .run-file run run-1 " {
			t.Errorf("there are %s", names)
		}
	}
}

// TestFailedWrite leaves what was there, and nothing else.
func TestFailedWrite(t *testing.T) {
	dir := t.TempDir()
	source := tree(t, map[string]string{"a": "1"})
	if err := execContext(t, source).Write(dir); err != nil {
		t.Fatal(err)
	}
	before := list(t, dir)
	put(t, filepath.Join(source, "a"), "2")
	c := execContext(t, source)
	c.files = append(c.files, file{path: "app/b", source: filepath.Join(source, "none"), digest: []byte("known")})
	if err := c.Write(dir); err == nil {
		t.Fatal("no error")
	}
	wantFiles(t, list(t, dir), before)
}

// TestBinaryIsSharedOnDisk: contexts of one project have one copy of the binary
// between them.
func TestBinaryIsSharedOnDisk(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(t.TempDir(), "ww")
	if err := os.WriteFile(source, []byte("binary"), 0o755); err != nil {
		t.Fatal(err)
	}
	var infos []os.FileInfo
	for _, name := range []string{"a", "b"} {
		c := Context{Name: name}
		c.files = append(c.files, file{path: "ww", source: source, exec: true, digest: []byte("its digest")})
		if err := c.Write(dir); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, name, "ww"))
		if err != nil || info.Mode().Perm() != 0o755 {
			t.Fatalf("%v, %v", info, err)
		}
		infos = append(infos, info)
	}
	if !os.SameFile(infos[0], infos[1]) {
		t.Error("there are two copies")
	}
	if original, err := os.Stat(source); err != nil || os.SameFile(original, infos[0]) {
		t.Error("a context shares the installed binary, which may be overwritten in place")
	}
}
