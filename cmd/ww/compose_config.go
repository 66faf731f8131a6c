package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
)

func (t *tool) configCommand() *cli.Command {
	return &cli.Command{
		Name:      "config",
		Aliases:   []string{"convert"},
		Usage:     "check the files, and print what they say together as one compose file",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "services", Usage: "the names of services alone"},
			&cli.BoolFlag{Name: "volumes", Usage: "the names of volumes alone"},
			&cli.BoolFlag{Name: "networks", Usage: "the names of networks alone"},
			&cli.BoolFlag{Name: "images", Usage: "the names of images alone"},
			&cli.BoolFlag{Name: "models", Usage: "the names of models alone"},
			&cli.BoolFlag{Name: "profiles", Usage: "the names of profiles alone"},
			&cli.BoolFlag{Name: "environment", Usage: "the variables that the files can use"},
			&cli.StringFlag{Name: "hash", Usage: "the configuration's hash of a service, or of all for `*`"},
			formatFlag("yaml", "yaml or json"),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`"},
			&cli.BoolFlag{Name: "no-interpolate", Usage: "leave variables as they are (as they always are in what comes from a .ww file)"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "only look for mistakes"},
			// These are docker compose's, and have no meaning here yet.
			&cli.BoolFlag{Name: "resolve-image-digests", Hidden: true},
			&cli.BoolFlag{Name: "lock-image-digests", Hidden: true},
			&cli.BoolFlag{Name: "no-consistency", Hidden: true},
			&cli.BoolFlag{Name: "no-env-resolution", Hidden: true},
			&cli.BoolFlag{Name: "no-normalize", Hidden: true},
			&cli.BoolFlag{Name: "no-path-resolution", Hidden: true},
			&cli.BoolFlag{Name: "variables", Hidden: true},
		},
		Action: t.config,
	}
}

func (t *tool) config(c *cli.Context) (err error) {
	for _, name := range []string{"resolve-image-digests", "lock-image-digests", "no-consistency", "no-env-resolution", "no-normalize", "no-path-resolution", "variables"} {
		if c.Bool(name) {
			return &usageError{fmt.Errorf("--%s isn't there in ww", name), "leave it out; `ww compose export` prints a file that `docker compose config` reads as well"}
		}
	}
	if err := oneOf("format", c.String("format"), "yaml", "json"); err != nil {
		return err
	}
	services := c.Args().Slice()
	l, err := t.loadProject(c, services, nil)
	if err != nil {
		return err
	}
	if name := c.String("output"); name != "" && !c.Bool("quiet") {
		f, failed := os.Create(name)
		if failed != nil {
			return &usageError{failed, "name a file that can be written"}
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		old := t.out
		t.out = f
		defer func() { t.out = old }()
	}
	p := l.Project
	switch {
	case c.Bool("quiet"):
		return nil
	case c.Bool("services"):
		return t.printNames(p.ServiceNames())
	case c.Bool("volumes"):
		return t.printNames(slices.Collect(maps.Keys(p.Volumes)))
	case c.Bool("networks"):
		return t.printNames(slices.Collect(maps.Keys(p.Networks)))
	case c.Bool("models"):
		return t.printNames(slices.Collect(maps.Keys(p.Models)))
	case c.Bool("profiles"):
		return t.printNames(profiles(p))
	case c.Bool("images"):
		return t.printImages(l)
	case c.Bool("environment"):
		return printVariables(t.out, p.Environment)
	case c.IsSet("hash"):
		return t.printHashes(l, c.String("hash"))
	}
	doc, err := l.Export(c.Context, compose.ExportOptions{NoInterpolate: c.Bool("no-interpolate")})
	if err != nil {
		return err
	}
	doc = compose.Plain(doc)
	if len(services) > 0 {
		if doc, err = compose.Part(doc, p); err != nil {
			return err
		}
	}
	if c.String("format") == "json" {
		if doc, err = compose.JSON(doc); err != nil {
			return err
		}
	}
	_, err = t.out.Write(doc)
	return err
}

// profiles lists those of all services, also of the disabled ones.
func profiles(p *types.Project) []string {
	var all []string
	for _, services := range []types.Services{p.Services, p.DisabledServices} {
		for _, s := range services {
			all = append(all, s.Profiles...)
		}
	}
	return all
}

func printVariables(w io.Writer, env types.Mapping) error {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if _, err := fmt.Fprintf(w, "%s=%s\n", name, env[name]); err != nil {
			return err
		}
	}
	return nil
}
