package templates

import (
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// Binary is the ww binary that goes into images.
type Binary struct {
	Path    string // empty: there is none, and the image is built from source
	Arch    string
	Version string // of this ww, for building from source

	digest  []byte // tells it from every other one, in all contexts that it goes into
	dynamic bool   // this program would do, if it were static
}

// BinaryVariable names a binary to take in place of all others.
const BinaryVariable = "WW_COMPONENT_BINARY"

// FindBinary looks for a static Linux binary of an architecture, as Go names
// it (this machine's if empty): the file that BinaryVariable names, this very
// program, or ww-linux-ARCH beside it. A file that was named and doesn't fit is
// an error; finding none is not.
func FindBinary(arch string) (Binary, error) {
	if arch == "" {
		arch = runtime.GOARCH
	}
	b := Binary{Arch: arch, Version: version()}
	if named := os.Getenv(BinaryVariable); named != "" {
		if err := usable(named, arch); err != nil {
			return b, fmt.Errorf("%s=%s: %w", BinaryVariable, named, err)
		}
		return b.at(named)
	}
	self, err := os.Executable()
	if err != nil {
		return b, fmt.Errorf("find the running program: %w", err)
	}
	if resolved, err := filepath.EvalSymlinks(self); err == nil {
		self = resolved
	}
	for _, candidate := range []string{self, filepath.Join(filepath.Dir(self), "ww-linux-"+arch)} {
		err := usable(candidate, arch)
		if err == nil {
			return b.at(candidate)
		}
		b.dynamic = b.dynamic || candidate == self && errors.Is(err, errDynamic)
	}
	return b, nil
}

func (b Binary) at(path string) (Binary, error) {
	b.Path = path
	var err error
	b.digest, err = identity(path)
	return b, err
}

// identity gives a digest of a program without reading all of it: Go notes in
// each what was linked and a hash of the outcome. A program that has no such note,
// because it was linked with an id of somebody's choice, is read.
func identity(path string) ([]byte, error) {
	id, size, err := buildID(path)
	if err != nil || strings.Count(id, "/") != 3 {
		return file{source: path}.sum()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", id, size))
	return sum[:], nil
}

// buildID reads the build id that Go notes in an ELF file, and the file's size.
func buildID(path string) (id string, size int64, err error) {
	r, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return "", 0, err
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return "", 0, err
	}
	note := f.Section(".note.go.buildid")
	if note == nil {
		return "", 0, nil
	}
	b, err := note.Data()
	if err != nil {
		return "", 0, err
	}
	const head = 16 // the sizes of name and text, the type, and the name: "Go"
	if len(b) < head || string(b[12:head]) != "Go\x00\x00" {
		return "", 0, nil
	}
	return strings.TrimRight(string(b[head:min(len(b), head+int(f.ByteOrder.Uint32(b[4:])))]), "\x00"), info.Size(), nil
}

func (b Binary) missing() error {
	if b.dynamic {
		return fmt.Errorf("this ww can't run in images FROM scratch, as it is %w (`make build` does so)", errDynamic)
	}
	return fmt.Errorf("there is no ww binary for linux/%s: put one beside this program as ww-linux-%s (`make cross` builds it), or name one in %s",
		b.Arch, b.Arch, BinaryVariable)
}

// machine gives an architecture of Go's as ELF files name it.
func machine(arch string) elf.Machine {
	return map[string]elf.Machine{
		"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "386": elf.EM_386, "arm": elf.EM_ARM,
		"riscv64": elf.EM_RISCV, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390, "loong64": elf.EM_LOONGARCH,
	}[arch]
}

// usable tells why a file can't be the program of an image FROM scratch.
func usable(name, arch string) error {
	want := machine(arch)
	if want == elf.EM_NONE {
		return fmt.Errorf("there is no ww for the architecture %q", arch)
	}
	f, err := elf.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("no such file")
	}
	if err != nil {
		return fmt.Errorf("not a Linux binary: %w", plainError(err))
	}
	defer f.Close()
	info, err := buildinfo.ReadFile(name)
	if err != nil {
		return fmt.Errorf("not a ww binary: %w", plainError(err))
	}
	if info.Path != mainPackage {
		return fmt.Errorf("not a ww binary: it is %s", info.Path)
	}
	if f.Machine != want {
		return fmt.Errorf("built for %s, and the image's architecture is %s", setting(info, "GOARCH"), arch)
	}
	if system := setting(info, "GOOS"); system != "linux" {
		return fmt.Errorf("built for %s, and images are for linux", system)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errDynamic
		}
	}
	return nil
}

var errDynamic = errors.New("not statically linked: build it with CGO_ENABLED=0")

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return "another " + key
}

const mainPackage = "woodwork.dev/ww/cmd/ww"

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "latest"
}
