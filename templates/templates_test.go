package templates

import (
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"woodwork.dev/ww"
)

func TestBuiltin(t *testing.T) {
	c := Builtin(fakeBinary(t))
	wantFiles(t, written(t, c), map[string]string{"Dockerfile": string(builtinDockerfile), "data/.keep": "", "ww*": program})
	if len(c.Args) != 0 || c.Name != "component" {
		t.Errorf("%q, %v", c.Name, c.Args)
	}
	c = Builtin(Binary{Arch: "amd64", Version: "v1.2.3"})
	wantFiles(t, written(t, c), map[string]string{"Dockerfile": string(ww.ComponentDockerfile)})
	if !maps.Equal(c.Args, map[string]string{"WW_VERSION": "v1.2.3"}) {
		t.Errorf("%v", c.Args)
	}
}

func TestExec(t *testing.T) {
	dir := tree(t, map[string]string{"a.sh": "a", "sub/b": "b", ".ww/secrets/bus_password": "secret", ".env": "KEY=secret", ".git/config": "x"})
	if err := os.Chmod(filepath.Join(dir, "a.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "sub", "b"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := map[string]string{"Dockerfile": string(execDockerfile), "ww*": program}
	for name, tt := range map[string]struct {
		source string
		want   map[string]string
	}{
		"no source": {"", map[string]string{"app/.keep": ""}},
		"a folder":  {dir, map[string]string{"app/a.sh*": "a", "app/sub/b": "b"}},
		"a file":    {dir + "/sub/b", map[string]string{"app/b": "b"}},
		"nothing":   {t.TempDir(), map[string]string{"app/.keep": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			c := execContext(t, tt.source)
			maps.Copy(tt.want, base)
			wantFiles(t, written(t, c), tt.want)
			if !maps.Equal(c.Args, map[string]string{"BASE_IMAGE": "busybox:stable"}) {
				t.Errorf("%v", c.Args)
			}
		})
	}
}

func TestPython(t *testing.T) {
	dir := tree(t, map[string]string{"main.py": "print()", "requirements.txt": "x==1\n"})
	c, err := Python("py", "", dir, filepath.Join(dir, "requirements.txt"), fakeBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"Dockerfile": string(pythonDockerfile), "ww*": program, "requirements.txt": "x==1\n",
		"app/main.py": "print()", "app/requirements.txt": "x==1\n",
	}
	wantFiles(t, written(t, c), want)
	if c.Args["BASE_IMAGE"] != DefaultPython {
		t.Errorf("%v", c.Args)
	}
	if c, err = Python("py", "mine:1", dir, "", fakeBinary(t)); err != nil || c.Args["BASE_IMAGE"] != "mine:1" {
		t.Errorf("%v, %v", c.Args, err)
	}
	want["requirements.txt"] = ""
	wantFiles(t, written(t, c), want)
}

// TestOwn: the user's rules are followed once, and can't take ww away.
func TestOwn(t *testing.T) {
	dir := tree(t, map[string]string{
		"Dockerfile": "FROM x", "agent.Dockerfile": "FROM y", "src/a": "a", "skipped/b": "b", "ww.component": "the user's",
		".dockerignore": "*\n!src\n", "other/Dockerfile": "FROM z", "other/Dockerfile.dockerignore": "b\n", "other/.dockerignore": "a\n", "other/a": "a", "other/b": "b",
	})
	ignore := ".dockerignore\n.ww-digest\n"
	for file, want := range map[string]map[string]string{
		"Dockerfile":       {"Dockerfile": "FROM x\n" + string(ownDockerfile), "src/a": "a"},
		"agent.Dockerfile": {"Dockerfile": "FROM y\n" + string(ownDockerfile), "src/a": "a"},
		"other/Dockerfile": {"Dockerfile": "FROM z\n" + string(ownDockerfile), "a": "a"},
	} {
		c, err := Own("own", filepath.Join(dir, file), fakeBinary(t))
		if err != nil {
			t.Fatal(err)
		}
		want[".dockerignore"], want["ww.component*"] = ignore, program
		t.Run(file, func(t *testing.T) { wantFiles(t, written(t, c), want) })
	}
}

func TestIgnored(t *testing.T) {
	files := map[string]string{
		".dockerignore": "", "a": "1", "b.log": "2", "d/a": "3", "d/c.log": "4", "d/e/f": "5", "nested/.env": "6", "nested/.ww/x": "7", "nested/.git": "gitdir: x", "z": "8",
	}
	for rules, want := range map[string]string{
		"":                  ".dockerignore a b.log d/a d/c.log d/e/f z",
		"*.log":             ".dockerignore a d/a d/c.log d/e/f z",
		"**/*.log":          ".dockerignore a d/a d/e/f z",
		"/d":                ".dockerignore a b.log z",
		"d\n!d/e":           ".dockerignore a b.log d/e/f z",
		"*\n!a":             "a",
		"# a\n\n  z  \n":    ".dockerignore a b.log d/a d/c.log d/e/f",
		"!**/.env":          ".dockerignore a b.log d/a d/c.log d/e/f nested/.env z",
		"!**/.ww\n!nested":  ".dockerignore a b.log d/a d/c.log d/e/f nested/.env nested/.git z",
		".dockerignore\n**": "",
	} {
		files[".dockerignore"] = rules
		got := list(t, filepath.Join(writtenTo(t, execContext(t, tree(t, files))), "app"))
		delete(got, ".keep")
		for _, name := range strings.Fields(want) {
			if _, ok := got[name]; !ok {
				t.Errorf("%q: %s is missing", rules, name)
			}
			delete(got, name)
		}
		if len(got) > 0 {
			t.Errorf("%q: there are %v, too", rules, got)
		}
	}
	files[".dockerignore"] = "[a"
	if _, err := Exec("run", "b", tree(t, files), fakeBinary(t)); err == nil || !strings.Contains(err.Error(), ".dockerignore") {
		t.Errorf("a bad rule: %v", err)
	}
}

func writtenTo(t testing.TB, c Context) string {
	t.Helper()
	dir := t.TempDir()
	if err := c.Write(dir); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, c.Name)
}

// TestLinks: no file of this machine gets into an image by a link, and none is
// lost without a word.
func TestLinks(t *testing.T) {
	outside := tree(t, map[string]string{"secret": "s3cret"})
	dir := tree(t, map[string]string{
		"a": "a", "sub/b": "b", "file": "-> a", "folder": "-> sub", "sub/up": "-> ../a", "nothing": "-> none", "absolute": "-> " + outside + "/secret",
		"absolutefolder": "-> " + outside,
	})
	want := map[string]string{
		"app/a": "a", "app/sub/b": "b", "app/file": "-> a", "app/folder": "-> sub", "app/sub/up": "-> ../a", "app/nothing": "-> none",
		"app/absolute": "-> " + outside + "/secret", "app/absolutefolder": "-> " + outside,
		"Dockerfile": string(execDockerfile), "ww*": program,
	}
	wantFiles(t, written(t, execContext(t, dir)), want)
	named := tree(t, map[string]string{"src": "-> " + dir})
	wantFiles(t, written(t, execContext(t, filepath.Join(named, "src"))), want)

	before := digest(t, execContext(t, dir))
	put(t, filepath.Join(outside, "secret"), "another")
	if digest(t, execContext(t, dir)) != before {
		t.Error("what a link points to is part of the digest")
	}
	if err := os.Remove(filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub/b", filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	if digest(t, execContext(t, dir)) == before {
		t.Error("where a link points to is no part of the digest")
	}

	for name, to := range map[string]string{"x": "../secret", "sub/x": "../../secret", "y": "sub/../../secret", "z": ".."} {
		dir := tree(t, map[string]string{"a": "a", "sub/b": "b", name: "-> " + to})
		_, err := Exec("run", "b", dir, fakeBinary(t))
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)) || !strings.Contains(err.Error(), to) {
			t.Errorf("%s to %s: %v", name, to, err)
		}
		put(t, filepath.Join(dir, ".dockerignore"), name+"\n")
		if _, err := Exec("run", "b", dir, fakeBinary(t)); err != nil {
			t.Errorf("%s to %s, ignored: %v", name, to, err)
		}
	}
}

func TestSocketsAreLeftOut(t *testing.T) {
	dir := tree(t, map[string]string{"a": "a"})
	t.Chdir(dir) // a socket's path is short
	l, err := net.Listen("unix", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wantFiles(t, list(t, filepath.Join(writtenTo(t, execContext(t, dir)), "app")), map[string]string{"a": "a"})
}

func TestMissing(t *testing.T) {
	dir, b := t.TempDir(), fakeBinary(t)
	none := filepath.Join(dir, "none")
	for what, f := range map[string]func() error{
		"source of x: " + none + ": no such file":       func() error { _, err := Exec("x", "i", none, b); return err },
		"dockerfile of x: " + none + ": no such file":   func() error { _, err := Own("x", none, b); return err },
		"requirements of x: " + none + ": no such file": func() error { _, err := Python("x", "", dir, none, b); return err },
		"there is no ww binary for linux/arm64: put one beside this program as ww-linux-arm64": func() error {
			_, err := Exec("x", "i", "", Binary{Arch: "arm64"})
			return err
		},
	} {
		if err := f(); err == nil || !strings.HasPrefix(err.Error(), what) {
			t.Errorf("error %v, want %s", err, what)
		}
	}
}
