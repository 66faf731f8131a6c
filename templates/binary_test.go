package templates

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// build builds a program that does nothing, as the main package of a path in a
// module that is called like this one.
func build(t *testing.T, pkg string, env ...string) string {
	t.Helper()
	dir := tree(t, map[string]string{"go.mod": "module woodwork.dev/ww\n\ngo 1.26\n", pkg + "/main.go": "package main\n\nfunc main() {}\n"})
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", out, "./"+pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append([]string{"CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=", "GOWORK=off"}, env...)...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, b)
	}
	return out
}

// dynamic gives a program an interpreter, as linking with the C library does.
func dynamic(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	offset := binary.LittleEndian.Uint64(b[32:]) // of the program headers in a 64-bit file
	size, count := int(binary.LittleEndian.Uint16(b[54:])), int(binary.LittleEndian.Uint16(b[56:]))
	for i := range count {
		if p := b[int(offset)+i*size:]; elf.ProgType(binary.LittleEndian.Uint32(p)) == elf.PT_NOTE {
			binary.LittleEndian.PutUint32(p, uint32(elf.PT_INTERP))
			out := name + "-dynamic"
			put(t, out, string(b))
			return out
		}
	}
	t.Fatal("the program has no note to change")
	return ""
}

func TestFindBinary(t *testing.T) {
	here, there := runtime.GOARCH, "arm64"
	if here == there {
		there = "amd64"
	}
	right := build(t, "cmd/ww")
	foreign := build(t, "cmd/ww", "GOARCH="+there)
	for _, tt := range []struct {
		name, file, arch, want string
	}{
		{"right", right, here, ""},
		{"right, and this machine's architecture", right, "", ""},
		{"for another machine", foreign, there, ""},
		{"of another architecture", foreign, here, "built for " + there + ", and the image's architecture is " + here},
		{"of this one for another", right, there, "built for " + here + ", and the image's architecture is " + there},
		{"of another system", build(t, "cmd/ww", "GOOS=freebsd"), here, "built for freebsd, and images are for linux"},
		{"another program", build(t, "cmd/other"), here, "not a ww binary: it is woodwork.dev/ww/cmd/other"},
		{"dynamic", dynamic(t, right), here, "not statically linked: build it with CGO_ENABLED=0"},
		{"no program", filepath.Join(tree(t, map[string]string{"x": "#!/bin/sh\n"}), "x"), here, "not a Linux binary"},
		{"an empty file", filepath.Join(tree(t, map[string]string{"x": ""}), "x"), here, "not a Linux binary"},
		{"a folder", t.TempDir(), here, "not a Linux binary"},
		{"nothing", filepath.Join(t.TempDir(), "none"), here, "no such file"},
		{"an architecture that isn't", right, "z80", `there is no ww for the architecture "z80"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(BinaryVariable, tt.file)
			b, err := FindBinary(tt.arch)
			if tt.want != "" {
				if err == nil || !strings.HasPrefix(err.Error(), BinaryVariable+"="+tt.file+": "+tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || b.Path != tt.file || b.Version == "" || (b.Arch != tt.arch && tt.arch != "") || b.Arch == "" {
				t.Errorf("%+v, %v", b, err)
			}
		})
	}
	t.Setenv(BinaryVariable, "")
	if b, err := FindBinary(""); err != nil || b.Path != "" {
		t.Errorf("a test is no ww: %+v, %v", b, err)
	}
}

// TestIdentity: a program is the same one wherever it lies, and another one when
// anything of it differs; one that has no id of Go's is known by what is in it.
func TestIdentity(t *testing.T) {
	first := build(t, "cmd/ww")
	content, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	written := func(name, content string) string {
		put(t, filepath.Join(dir, name), content)
		return filepath.Join(dir, name)
	}
	seen := map[string]string{}
	for _, tt := range []struct {
		name, path string
		read       bool // as a whole
	}{
		{"first", first, false},
		{"another machine's", build(t, "cmd/ww", "GOARCH="+map[bool]string{true: "amd64", false: "arm64"}[runtime.GOARCH == "arm64"]), false},
		{"linked otherwise", build(t, "cmd/ww", "GOFLAGS=-ldflags=-s"), false},
		{"without an id", build(t, "cmd/ww", "GOFLAGS=-ldflags=-buildid="), true},
		{"with an id", build(t, "cmd/ww", "GOFLAGS=-ldflags=-buildid=mine"), true},
		{"longer", written("longer", string(content)+"x"), false},
		{"no program", written("none", "a"), true},
		{"another one", written("other", "b"), true},
	} {
		sum, err := identity(tt.path)
		if err != nil || seen[string(sum)] != "" {
			t.Errorf("%s: %x, %v, as %s", tt.name, sum, err, seen[string(sum)])
		}
		seen[string(sum)] = tt.name
		whole, err := file{source: tt.path}.sum()
		if err != nil || bytes.Equal(sum, whole) != tt.read {
			t.Errorf("%s: read as a whole is not %v; %v", tt.name, tt.read, err)
		}
	}
	if sum, err := identity(written("copy", string(content))); err != nil || seen[string(sum)] != "first" {
		t.Errorf("a copy: %x, %v", sum, err)
	}
	if _, err := identity(filepath.Join(dir, "nothing")); err == nil {
		t.Error("what isn't there has an identity")
	}
}

// TestBinaryBesideProgram: a program that isn't for an engine takes the one
// that lies beside it.
func TestBinaryBesideProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(self), "ww-linux-"+runtime.GOARCH)
	content, err := os.ReadFile(build(t, "cmd/ww"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, beside, string(content))
	t.Cleanup(func() { _ = os.Remove(beside) })
	t.Setenv(BinaryVariable, "")
	if b, err := FindBinary(""); err != nil || b.Path != beside {
		t.Errorf("%+v, %v", b, err)
	}
	put(t, beside, "no program")
	if b, err := FindBinary(""); err != nil || b.Path != "" {
		t.Errorf("%+v, %v", b, err)
	}
}
