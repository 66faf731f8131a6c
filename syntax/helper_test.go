package syntax

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file of testdata.
func golden(t *testing.T, path, got string) {
	t.Helper()
	path = filepath.Join("testdata", path)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read the golden file (make it with -update): %v", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (rewrite it with -update)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

// corpus returns the contents of the corpus by file name.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir("testdata/corpus", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		src, err := os.ReadFile(path)
		files[filepath.ToSlash(path)] = src
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("the corpus is empty")
	}
	return files
}

// dump is the tree as text, without the spans.
func dump(f *File) string {
	var b strings.Builder
	for _, d := range f.Decls {
		fmt.Fprintf(&b, "decl %s = %s", dumpWord(d.Name), dumpWords(d.Head))
		dumpBlock(&b, d.Body, "")
	}
	return b.String()
}

func dumpWord(w Word) string {
	if w.Quoted {
		return fmt.Sprintf("quoted %q", w.Text)
	}
	return w.Text
}

func dumpWords(ws []Word) string {
	var b strings.Builder
	for _, w := range ws {
		b.WriteString(dumpWord(w) + " ")
	}
	return b.String()
}

func dumpBlock(b *strings.Builder, block *Block, indent string) {
	fmt.Fprintf(b, "block\n")
	for _, e := range block.Entries {
		op := ":"
		if e.Assign {
			op = "="
		}
		fmt.Fprintf(b, "%s  %s %s ", indent, dumpWord(e.Key), op)
		dumpValue(b, e.Value, indent+"  ")
	}
}

func dumpValue(b *strings.Builder, v Value, indent string) {
	switch v := v.(type) {
	case *String:
		fmt.Fprintf(b, "string %q", v.Text)
		if v.Multiline {
			fmt.Fprintf(b, " multiline")
		}
	case *Number:
		fmt.Fprintf(b, "number %s", v.Text)
	case *Bool:
		fmt.Fprintf(b, "bool %v", v.Value)
	case *Null:
		fmt.Fprintf(b, "null")
	case *Env:
		fmt.Fprintf(b, "env %s %q %q", v.Name, v.Op, v.Arg)
	case *Ref:
		fmt.Fprintf(b, "ref %s", v.Name)
	case *Bare:
		fmt.Fprintf(b, "bare %q", v.Text)
	case *Array:
		fmt.Fprintf(b, "array\n")
		for _, item := range v.Items {
			b.WriteString(indent + "  - ")
			dumpValue(b, item, indent+"  ")
		}
		return
	case *Block:
		b.WriteString(dumpWords(v.Head))
		dumpBlock(b, v, indent)
		return
	}
	b.WriteByte('\n')
}

// rendered is the text form of diagnostics, with their codes.
func rendered(t *testing.T, ds Diagnostics, name string, src []byte) string {
	t.Helper()
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintf(&b, "[%s]\n", d.Code)
		if err := Render(&b, Diagnostics{d}, map[string][]byte{name: src}, false); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}
