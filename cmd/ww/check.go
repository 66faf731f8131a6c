package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/model"
	"woodwork.dev/ww/syntax"
)

func (t *tool) checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "report every mistake in .ww and compose files",
		ArgsUsage: "[FILE…]",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "file", Aliases: []string{"f"}, Usage: "a .ww or compose file (default: main.ww, else compose.yaml)"},
			formatFlag("text", "text or json"),
			&cli.BoolFlag{Name: "strict", Usage: "kinds and settings that ww doesn't know, and keys of compose files without effect, are errors"},
		},
		Action: func(c *cli.Context) error {
			files := append(c.StringSlice("file"), c.Args().Slice()...)
			return t.check(c.Context, files, c.String("format"), c.Bool("strict"))
		},
	}
}

func formatFlag(def, usage string) cli.Flag {
	return &cli.StringFlag{Name: "format", Value: def, Usage: usage}
}

func (t *tool) check(ctx context.Context, files []string, format string, strict bool) error {
	if err := oneOf("format", format, "text", "json"); err != nil {
		return err
	}
	files, err := orFound(files)
	if err != nil {
		return err
	}
	look := t.checkSystem
	if haveCompose(files) {
		look = t.checkCompose
	}
	diags, sources, err := look(ctx, files, strict)
	if err != nil {
		return err
	}
	if format == "json" {
		if _, err := t.out.Write(syntax.JSON(diags)); err != nil {
			return err
		}
	} else if err := syntax.Render(t.out, diags, sources, colourful(t.out)); err != nil {
		return err
	}
	if diags.HasErrors() {
		return errReported{exitConfig}
	}
	if format == "text" && len(diags) == 0 {
		fmt.Fprintln(t.out, "no mistakes")
	}
	return nil
}

// orFound gives the files that are named, or those that are there.
func orFound(files []string) ([]string, error) {
	if len(files) > 0 {
		return files, nil
	}
	return compose.FindFiles()
}

// haveCompose tells whether there is a compose file among files.
func haveCompose(files []string) bool {
	return slices.ContainsFunc(files, func(f string) bool { return f != "-" && filepath.Ext(f) != ".ww" })
}

// checkSystem finds the mistakes of .ww files.
func (t *tool) checkSystem(_ context.Context, files []string, strict bool) (syntax.Diagnostics, map[string][]byte, error) {
	parsed, sources, diags, err := t.parse(files)
	if err != nil {
		return nil, nil, err
	}
	m, more := model.Resolve(parsed...)
	if diags.HasErrors() {
		more = nil // what doesn't parse can't be judged further
	} else {
		more = append(more, compose.Lost(m, folder(files), true)...)
	}
	if strict {
		more = model.Strict(more)
	}
	return append(diags, more...), sources, nil
}

// folder is the one of the first file that has one: paths are relative to it.
func folder(files []string) string {
	if files[0] == "-" {
		return ""
	}
	return filepath.Dir(files[0])
}

// checkCompose finds the mistakes of files of which at least one is a compose
// file: all that keeps them from being run, but for what a particular engine lacks.
func (t *tool) checkCompose(ctx context.Context, files []string, strict bool) (syntax.Diagnostics, map[string][]byte, error) {
	l, err := compose.Load(ctx, compose.Request{Files: files, Strict: strict, Stdin: t.in})
	switch {
	case l == nil || errors.Is(err, context.Canceled):
		return nil, nil, &configError{err, ""}
	case err != nil:
		return append(l.Diagnostics, syntax.Diagnostic{Severity: syntax.Error, Code: "invalid", Span: placeless(l), Message: err.Error()}), l.Sources, nil
	case l.Diagnostics.HasErrors():
		return l.Diagnostics, l.Sources, nil
	}
	more, err := keys(ctx, l, nil)
	for i := range more {
		if strict && more[i].Code == ignoredKey {
			more[i].Severity = syntax.Error
		}
	}
	return append(l.Diagnostics, more...), l.Sources, err
}

// parse reads .ww files; "-" is standard input.
func (t *tool) parse(files []string) ([]*syntax.File, map[string][]byte, syntax.Diagnostics, error) {
	var parsed []*syntax.File
	var diags syntax.Diagnostics
	sources := map[string][]byte{}
	for _, name := range files {
		src, err := t.readSource(name)
		if err != nil {
			return nil, nil, nil, err
		}
		f, d := syntax.Parse(name, src)
		parsed, sources[name], diags = append(parsed, f), src, append(diags, d...)
	}
	return parsed, sources, diags, nil
}

func (t *tool) readSource(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(t.in)
	}
	src, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, &configError{fmt.Errorf("%s: no such file", name), "name a file with -f"}
	case err != nil:
		return nil, &configError{err, ""}
	}
	return src, nil
}

// oneOf checks the value of a flag.
func oneOf(flag, value string, allowed ...string) error {
	for _, a := range allowed {
		if a == value {
			return nil
		}
	}
	return &usageError{fmt.Errorf("--%s can't be %q", flag, value), "it is one of " + strings.Join(allowed, ", ")}
}

// load loads a project for a command, and shows what is wrong with it.
func (t *tool) load(ctx context.Context, req compose.Request) (*compose.Loaded, error) {
	l, err := compose.Load(ctx, req)
	if l != nil {
		if err := syntax.Render(t.err, t.untold(l.Diagnostics), l.Sources, colourful(t.err)); err != nil {
			return nil, err
		}
	}
	if err != nil {
		if errors.Is(err, compose.ErrNoFile) || errors.Is(err, context.Canceled) {
			return nil, err
		}
		return nil, &configError{err, ""}
	}
	if l.Diagnostics.HasErrors() {
		return nil, errReported{exitConfig}
	}
	return l, nil
}

// untold leaves out warnings that have been shown: a command may
// read a file several times.
func (t *tool) untold(diags syntax.Diagnostics) syntax.Diagnostics {
	var out syntax.Diagnostics
	for _, d := range diags {
		if d.Severity == syntax.Error || !t.told[d.String()] {
			out = append(out, d)
		}
	}
	if t.told == nil {
		t.told = map[string]bool{}
	}
	for _, d := range out {
		t.told[d.String()] = true
	}
	return out
}
