package compose

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

func passwordFile(dir string) string { return filepath.Join(dir, filepath.FromSlash(BusPasswordFile)) }

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wantMode(t *testing.T, name string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != want {
		t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), want)
	}
}

func TestEnsureBusPassword(t *testing.T) {
	dir := t.TempDir()
	if err := EnsureBusPassword(dir); err != nil {
		t.Fatal(err)
	}
	first := read(t, passwordFile(dir))
	if !regexp.MustCompile(`^[0-9a-f]{48}\n$`).MatchString(first) {
		t.Errorf("password %q", first)
	}
	wantMode(t, passwordFile(dir), 0o444)
	wantMode(t, filepath.Dir(passwordFile(dir)), 0o700)
	if err := os.Chmod(filepath.Dir(passwordFile(dir)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := EnsureBusPassword(dir); err != nil {
		t.Fatal(err)
	}
	wantMode(t, filepath.Dir(passwordFile(dir)), 0o700)
	if again := read(t, passwordFile(dir)); again != first {
		t.Error("the second call made another password")
	}
	other := t.TempDir()
	if err := EnsureBusPassword(other); err != nil || read(t, passwordFile(other)) == first {
		t.Errorf("another project: %v, or the same password", err)
	}
	wantNames(t, filepath.Dir(passwordFile(dir)), "bus_password")
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %q, want %q", dir, names, want)
	}
}

// TestConcurrentBusPassword: whoever reads the file after its own call gets the
// one password, with nothing there before, or a folder that an engine made.
func TestConcurrentBusPassword(t *testing.T) {
	for round := range 20 {
		dir := t.TempDir()
		if round%2 == 1 {
			if err := os.MkdirAll(passwordFile(dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]string, 16)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				if err := EnsureBusPassword(dir); err != nil {
					t.Errorf("call %d: %v", i, err)
				}
				b, err := os.ReadFile(passwordFile(dir))
				if err != nil {
					t.Errorf("call %d: %v", i, err)
				}
				got[i] = string(b)
			})
		}
		wg.Wait()
		for i, p := range got {
			if p != got[0] || len(p) != 49 {
				t.Fatalf("round %d: call %d got %q, call 0 %q", round, i, p, got[0])
			}
		}
	}
}

func TestBusPasswordInItsPlace(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(t *testing.T, file string)
		want string // part of the error; empty: there is a password afterwards
	}{
		"an empty folder": {func(t *testing.T, file string) {
			if err := os.Mkdir(file, 0o755); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"a folder with something in it": {func(t *testing.T, file string) { write(t, filepath.Join(file, "x"), "") }, "is a folder"},
		"an empty file":                 {func(t *testing.T, file string) { write(t, file, "") }, "is empty"},
		"a link to a password": {func(t *testing.T, file string) {
			write(t, filepath.Join(filepath.Dir(file), "mine"), "my own\n")
			symlink(t, "mine", file)
		}, ""},
		"a link to nothing": {func(t *testing.T, file string) { symlink(t, "nowhere", file) }, "which isn't there: remove it"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := passwordFile(dir)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			tt.make(t, file)
			err := EnsureBusPassword(dir)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || read(t, file) == "" {
				t.Errorf("%v, or no password", err)
			}
		})
	}
}

func symlink(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureFolder(t *testing.T) {
	dir := t.TempDir()
	ignore := filepath.Join(dir, Folder, ".gitignore")
	if err := EnsureFolder(dir); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(read(t, ignore), "\n*\n") {
		t.Errorf("%s: %q", ignore, read(t, ignore))
	}
	write(t, ignore, "my own\n")
	if err := EnsureFolder(dir); err != nil || read(t, ignore) != "my own\n" {
		t.Errorf("%v, or the user's file was changed", err)
	}
	write(t, filepath.Join(dir, "file"), "")
	if err := EnsureFolder(filepath.Join(dir, "file")); err == nil {
		t.Error("no error below a file")
	}
}
