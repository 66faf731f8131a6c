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
	"woodwork.dev/ww/templates"
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
func (t *tool) checkSystem(ctx context.Context, files []string, strict bool) (syntax.Diagnostics, map[string][]byte, error) {
	parsed, sources, diags, err := t.parse(files)
	if err != nil {
		return nil, nil, err
	}
	m, more := model.Resolve(parsed...)
	if !slices.ContainsFunc(parsed, func(f *syntax.File) bool { return len(f.Decls) > 0 }) && !diags.HasErrors() {
		more = append(more, syntax.Diagnostic{
			Severity: syntax.Warning, Code: "empty-file", Span: syntax.Span{File: parsed[0].Name},
			Message: "nothing is declared: there is nothing to run", Remedy: "`ww help files` shows what a file looks like",
		})
	}
	if diags.HasErrors() {
		more = nil // what doesn't parse can't be judged further
	} else {
		more = append(more, compose.Lost(m, folder(files), true)...)
	}
	if !diags.HasErrors() && !more.HasErrors() {
		inContainers, err := t.containerMistakes(ctx, files, more, strict)
		if err != nil {
			return nil, nil, err
		}
		more = append(more, inContainers...)
	}
	if strict {
		more = model.Strict(more)
	}
	return append(diags, more...), sources, nil
}

// containerMistakes finds what is wrong with what .ww files say of containers in
// Compose's words, which nobody knows before they are a compose file. known is
// what has been found without.
func (t *tool) containerMistakes(ctx context.Context, files []string, known syntax.Diagnostics, strict bool) (syntax.Diagnostics, error) {
	if slices.Contains(files, "-") {
		return nil, nil // it has been read
	}
	// No image is made of this: any file does in place of the binary for them.
	l, err := compose.Load(ctx, compose.Request{Files: files, Binary: templates.Binary{Path: files[0]}})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case l == nil || l.Model == nil:
		return nil, nil
	case err != nil:
		return syntax.Diagnostics{{Severity: syntax.Error, Code: "invalid", Span: placeless(l), Message: err.Error()}}, nil
	case l.Project != nil:
		ds, err := t.judgeKeys(ctx, l, strict)
		// The variables of a system are looked up when it starts.
		return slices.DeleteFunc(ds, func(d syntax.Diagnostic) bool { return d.Code == unsetVariable }), err
	}
	// What only containers need is no mistake where something may run without any.
	counts := func(d syntax.Diagnostic) bool {
		return l.Generated != nil || d.Code == "bad-image" ||
			!slices.ContainsFunc(l.Model.Components, func(c *model.Component) bool { return c.Deployment == nil })
	}
	var out syntax.Diagnostics
	for _, d := range l.Diagnostics {
		if d.Severity == syntax.Error && counts(d) && !slices.ContainsFunc(known, func(k syntax.Diagnostic) bool { return k.String() == d.String() }) {
			out = append(out, d)
		}
	}
	return out, nil
}

// judgeKeys finds keys that no engine can honour, and values that none takes. With
// strict what is ignored is an error.
func (t *tool) judgeKeys(ctx context.Context, l *compose.Loaded, strict bool) (syntax.Diagnostics, error) {
	ds, err := keys(ctx, l, nil)
	ds = append(ds, noBuildFolders(ctx, l)...)
	slices.SortStableFunc(ds, byPlace)
	for i := range ds {
		if strict && ds[i].Code == ignoredKey {
			ds[i].Severity = syntax.Error
		}
	}
	return ds, err
}

// noBuildFolders finds services that are to be built of a folder that isn't there.
func noBuildFolders(ctx context.Context, l *compose.Loaded) (ds syntax.Diagnostics) {
	var places *compose.Places
	for _, name := range l.Project.ServiceNames() {
		b := l.Project.Services[name].Build
		if b == nil || !filepath.IsAbs(b.Context) { // somewhere else
			continue
		}
		if _, err := os.Stat(b.Context); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if places == nil {
			places = l.Places(ctx)
		}
		at, ok := places.Of("services." + name + ".build.context")
		if !ok {
			continue // a component's own folder, which is written when it is built
		}
		ds = append(ds, syntax.Diagnostic{
			Severity: syntax.Error, Code: "no-such-file", Span: at, Message: fmt.Sprintf("services.%s.build: %s: no such folder", name, shownFrom(l.Dir, b.Context)),
			Remedy: "paths are relative to the folder of the first file",
		})
	}
	return ds
}

// shownFrom is a path as it is seen from a folder, where it is in that.
func shownFrom(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
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
	more, err := t.judgeKeys(ctx, l, strict)
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
