package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/syntax"
)

func (t *tool) fmtCommand() *cli.Command {
	return &cli.Command{
		Name:      "fmt",
		Usage:     "print .ww files in their canonical form",
		ArgsUsage: "[FILE…|-]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "write", Aliases: []string{"w"}, Usage: "write the result back to the files"},
			&cli.BoolFlag{Name: "check", Usage: "list the files that aren't formatted, and exit with 1 if there are any"},
			&cli.BoolFlag{Name: "diff", Aliases: []string{"d"}, Usage: "show what would change"},
		},
		Action: func(c *cli.Context) error {
			return t.format(c.Args().Slice(), formatMode{write: c.Bool("write"), check: c.Bool("check"), diff: c.Bool("diff")})
		},
	}
}

type formatMode struct{ write, check, diff bool }

func (t *tool) format(files []string, mode formatMode) error {
	if len(files) == 0 {
		main, err := compose.FindMain("")
		if found, failed := compose.FindFiles(); errors.Is(err, compose.ErrNoFile) && failed == nil {
			return onlySystems(found[0])
		}
		if err != nil {
			return err
		}
		files = []string{main}
	}
	for _, name := range files {
		if ext := filepath.Ext(name); ext == ".yaml" || ext == ".yml" {
			return onlySystems(name)
		}
	}
	code := exitOK
	for _, name := range files {
		src, err := t.readSource(name)
		if err != nil {
			return err
		}
		f, diags := syntax.Parse(name, src)
		if diags.HasErrors() {
			if err := syntax.Render(t.err, diags, map[string][]byte{name: src}, colourful(t.err)); err != nil {
				return err
			}
			code = exitConfig
			continue
		}
		changed, err := t.formatOne(name, src, syntax.Print(f), mode)
		if err != nil {
			return err
		}
		if changed && mode.check && code == exitOK {
			code = exitFailed
		}
	}
	if code != exitOK {
		return errReported{code}
	}
	return nil
}

func onlySystems(name string) error {
	return &usageError{fmt.Errorf("fmt formats .ww files only, and %s is a compose file", name), "name a .ww file; `ww compose config` prints a compose file in its canonical form"}
}

// formatOne does with one file what the mode says, and reports whether it
// isn't in its canonical form.
func (t *tool) formatOne(name string, src, want []byte, mode formatMode) (bool, error) {
	changed := !bytes.Equal(src, want)
	if mode.check && changed {
		fmt.Fprintln(t.out, name)
	}
	if mode.diff {
		if _, err := t.out.Write(diff.Diff(name, src, name+" (formatted)", want)); err != nil {
			return changed, err
		}
	}
	switch {
	case mode.write && changed && name != "-":
		return changed, replaceFile(name, want)
	case !mode.write && !mode.check && !mode.diff:
		_, err := t.out.Write(want)
		return changed, err
	}
	return changed, nil
}

// replaceFile writes a file in one step, with the mode that it has.
func replaceFile(name string, content []byte) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".ww-fmt-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err := errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
