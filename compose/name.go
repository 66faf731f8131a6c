package compose

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/loader"

	"woodwork.dev/ww/syntax"
)

// projectName gives the name and whether someone asked for it.
func projectName(o *options, dir string) (string, bool) {
	if o.Name != "" {
		return o.Name, true
	}
	if n := o.Environment["COMPOSE_PROJECT_NAME"]; n != "" {
		return n, true
	}
	name := loader.NormalizeProjectName(filepath.Base(dir))
	if name == "" {
		name = "ww"
	}
	return name, false
}

// FindMain looks for main.ww in a folder (the working one if empty) and those
// above it.
func FindMain(dir string) (string, error) {
	if dir == "" {
		wd, err := os.Getwd()
		if err != nil {
			return "", err
		}
		dir = wd
	}
	for d := dir; ; d = filepath.Dir(d) {
		if name := filepath.Join(d, MainFile); isFile(name) {
			return display(name), nil
		}
		if filepath.Dir(d) == d {
			return "", ErrNoFile
		}
	}
}

// FindFiles gives the files that are meant where none is named: those of
// COMPOSE_FILE, or main.ww or the compose files of the working folder or of the
// nearest one above that has any.
func FindFiles() ([]string, error) {
	o, err := projectOptions(Request{})
	if err != nil && !errors.Is(err, ErrNoFile) {
		// What is wrong with .env is no mistake of the files.
		var opts *cli.ProjectOptions
		if opts, err = cli.NewProjectOptions(nil, cli.WithOsEnv, cli.WithConfigFileEnv, withMainFile, withDefaultFile); err == nil {
			o = &options{ProjectOptions: opts}
		}
	}
	if err != nil {
		return nil, err
	}
	files := make([]string, len(o.ConfigPaths))
	for i, f := range o.ConfigPaths {
		files[i] = display(f)
	}
	return files, nil
}

// Name gives the name of a project for commands that only need to find what
// runs: from the request or the environment, from a compose file's `name`, or
// from the project's folder. As with docker compose, files are looked at where
// they are named or the name may come from them: one that isn't there is an
// error, and a compose file that is broken is a *MistakesError. A .ww file has no
// say in the name, and may be broken.
func Name(ctx context.Context, req Request) (string, error) {
	name, _, err := Named(ctx, req)
	return name, err
}

// Named is Name, and gives what the files say where they had to be loaded for
// that; it is nil where not.
func Named(ctx context.Context, req Request) (string, *Loaded, error) {
	name, l, err := findName(ctx, req)
	if err == nil {
		err = checkName(name)
	}
	if err != nil {
		return "", nil, err
	}
	return name, l, nil
}

// MistakesError is that of a file with mistakes.
type MistakesError struct {
	Diagnostics syntax.Diagnostics
	Sources     map[string][]byte // by the names in them
}

func (e *MistakesError) Error() string { return e.Diagnostics[0].String() }

// checkName refuses what can't be part of the names of containers.
func checkName(name string) error {
	if name == "" || len(name) > 150 || loader.NormalizeProjectName(name) != name {
		return fmt.Errorf("%.160q can't be the name of a project: use lower-case letters, digits, '-' and '_', beginning with a letter or a digit", name)
	}
	return nil
}

func findName(ctx context.Context, req Request) (string, *Loaded, error) {
	if req.Name != "" && len(req.Files) == 0 {
		return req.Name, nil, nil
	}
	given := os.Getenv("COMPOSE_PROJECT_NAME")
	if req.Name == "" && given != "" {
		return given, nil, nil
	}
	opts, err := projectOptions(req)
	if err != nil {
		return "", nil, err
	}
	dir, err := opts.GetWorkingDir()
	if err != nil {
		return "", nil, err
	}
	name, explicit := projectName(opts, dir)
	whole := true // it is all .ww files
	for _, p := range opts.ConfigPaths {
		if filepath.Ext(p) != ".ww" {
			whole = false
		} else if _, err := os.Stat(p); err != nil {
			return "", nil, fileError(p, err)
		}
	}
	if whole || explicit && len(req.Files) == 0 {
		return name, nil, nil
	}
	req.Running = true
	switch l, err := Load(ctx, req); {
	case err != nil:
		return "", nil, err
	case l.Project != nil:
		return l.Project.Name, l, nil
	case !slices.ContainsFunc(l.Diagnostics, func(d syntax.Diagnostic) bool { return filepath.Ext(d.Span.File) != ".ww" }):
		return name, nil, nil
	default:
		return "", nil, &MistakesError{l.Diagnostics, l.Sources}
	}
}

// ProjectDir is the folder of the project that a request means: the working one
// where no file says otherwise.
func ProjectDir(req Request) string {
	if opts, err := projectOptions(req); err == nil {
		if dir, err := opts.GetWorkingDir(); err == nil {
			return dir
		}
	}
	wd, err := os.Getwd()
	if err != nil {
		return "."
	}
	return wd
}
