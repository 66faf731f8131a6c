package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "print the compose file that `up` runs",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`; one that was edited by hand is left alone"},
			&cli.BoolFlag{Name: "force", Usage: "overwrite an edited file"},
			&cli.BoolFlag{Name: "check", Usage: "compare with the file on disk (-o, default docker-compose.yml): exit code 1 and a diff if it is out of date"},
			formatFlag("yaml", "yaml or json"),
			&cli.BoolFlag{Name: "services", Usage: "print the services' names"},
			&cli.BoolFlag{Name: "images", Usage: "print the images' names"},
			&cli.StringFlag{Name: "hash", Usage: "print the configuration's hash of a service, or of all for `*`"},
			&cli.BoolFlag{Name: "no-interpolate", Usage: "leave variables as they are"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "only look for mistakes"},
		},
		Action: t.export,
	}
}

func (t *tool) export(c *cli.Context) error {
	if err := oneOf("format", c.String("format"), "yaml", "json"); err != nil {
		return err
	}
	l, err := t.loadProject(c, c.Args().Slice(), nil)
	if err != nil {
		return err
	}
	switch {
	case c.Bool("quiet"):
		return nil
	case c.Bool("services"):
		for _, name := range l.Project.ServiceNames() {
			fmt.Fprintln(t.out, name)
		}
		return nil
	case c.Bool("images"):
		return t.printImages(l)
	case c.IsSet("hash"):
		return t.printHashes(l, c.String("hash"))
	}
	if len(c.Args().Slice()) > 0 {
		return &usageError{errors.New("a part of a system can't be exported"), "leave the services out; what docker compose exports, a container's files, is `ww compose cp SERVICE:/ - >files.tar`"}
	}
	doc, err := l.Export(c.Context, compose.ExportOptions{JSON: c.String("format") == "json", NoInterpolate: c.Bool("no-interpolate")})
	if err != nil {
		return err
	}
	output := c.String("output")
	if c.Bool("check") {
		return t.checkExport(output, doc)
	}
	// The file refers to build contexts and the bus password: they have to be
	// there for whoever runs it.
	if err := l.Prepare(); err != nil {
		return prepareError(err)
	}
	if output == "" {
		_, err := t.out.Write(doc)
		return err
	}
	return t.writeExport(l, output, doc, c.Bool("force"))
}

func (t *tool) writeExport(l *compose.Loaded, output string, doc []byte, force bool) error {
	err := compose.WriteExport(output, doc, force)
	if errors.Is(err, compose.ErrEdited) {
		return &configError{err, "--force overwrites it; `ww compose export --check -o " + output + "` shows how it differs"}
	}
	if err != nil {
		return err
	}
	if abs, err := filepath.Abs(output); err == nil && filepath.Dir(abs) != l.Dir {
		fmt.Fprintf(t.err, "note: its paths are relative to %s: run it with --project-directory %s\n", l.Dir, l.Dir)
	}
	return nil
}

func (t *tool) checkExport(name string, doc []byte) error {
	if name == "" {
		name = "docker-compose.yml"
	}
	d, err := compose.Diff(name, doc)
	if err != nil {
		return &configError{err, "name the exported file with -o"}
	}
	if len(d) == 0 {
		return nil
	}
	if _, err := t.out.Write(d); err != nil {
		return err
	}
	fmt.Fprintf(t.err, "%s is out of date, or was edited\n", name)
	return errReported{exitFailed}
}

func (t *tool) printImages(l *compose.Loaded) error {
	seen := map[string]bool{}
	for _, name := range l.Project.ServiceNames() {
		ref := plan.ImageOf(l.Project, l.Project.Services[name])
		if !seen[ref] {
			fmt.Fprintln(t.out, ref)
		}
		seen[ref] = true
	}
	return nil
}

func (t *tool) printHashes(l *compose.Loaded, which string) error {
	h, err := hashes(l.Project)
	if err != nil {
		return err
	}
	if _, ok := h[which]; which != "*" && !ok {
		return &usageError{fmt.Errorf("there is no service %q", which), suggestion(which, l.Project.ServiceNames(), "")}
	}
	for _, name := range l.Project.ServiceNames() {
		if which == "*" || which == name {
			fmt.Fprintln(t.out, name, h[name])
		}
	}
	return nil
}

// hashes gives the digests of all services' configurations.
func hashes(p *types.Project) (map[string]string, error) {
	all := make(map[string]string, len(p.Services))
	for name, s := range p.Services {
		h, err := compose.Hash(s)
		if err != nil {
			return nil, err
		}
		all[name] = h
	}
	return all, nil
}
