package compose

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/compose-spec/compose-go/v2/loader"
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

// Name gives the name of a project for commands that only need to find what
// runs: from the request or the environment, from a compose file's `name`, or
// from the project's folder. The files may be broken.
func Name(ctx context.Context, req Request) (string, error) {
	name, err := findName(ctx, req)
	if err != nil {
		return "", err
	}
	return name, checkName(name)
}

// checkName refuses what can't be part of the names of containers.
func checkName(name string) error {
	if name == "" || len(name) > 150 || loader.NormalizeProjectName(name) != name {
		return fmt.Errorf("%.160q can't be the name of a project: use lower-case letters, digits, '-' and '_', beginning with a letter or a digit", name)
	}
	return nil
}

func findName(ctx context.Context, req Request) (string, error) {
	if req.Name != "" {
		return req.Name, nil
	}
	opts, err := projectOptions(req)
	if err != nil {
		if n := os.Getenv("COMPOSE_PROJECT_NAME"); n != "" {
			return n, nil
		}
		return "", err
	}
	dir, err := opts.GetWorkingDir()
	if err != nil {
		return "", err
	}
	name, explicit := projectName(opts, dir)
	if explicit || !slices.ContainsFunc(opts.ConfigPaths, func(p string) bool { return filepath.Ext(p) != ".ww" }) {
		return name, nil
	}
	if l, err := Load(ctx, req); err == nil && l.Project != nil {
		return l.Project.Name, nil
	}
	return name, nil
}
