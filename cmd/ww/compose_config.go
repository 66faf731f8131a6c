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
	"gopkg.in/yaml.v3"

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
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "only look for mistakes, also for what `up` would refuse"},
			&cli.BoolFlag{Name: "variables", Usage: "the variables that the files have, with what counts where they aren't set"},
			&cli.BoolFlag{Name: "no-normalize", Usage: "add nothing that follows from something else"},
			&cli.BoolFlag{Name: "no-path-resolution", Usage: "leave relative paths as they are"},
			&cli.BoolFlag{Name: "no-env-resolution", Usage: "leave files of variables as they are"},
			&cli.BoolFlag{Name: "no-consistency", Usage: "don't look whether all that is referred to is there"},
			&cli.BoolFlag{Name: "resolve-image-digests", Usage: "the images by the digests that their registries have for them"},
			&cli.BoolFlag{Name: "lock-image-digests", Usage: "nothing but these: an override file"},
		},
		Action: t.config,
	}
}

func (t *tool) config(c *cli.Context) (err error) {
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
		return t.checkKeys(c.Context, l, nil)
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
	case c.Bool("variables"):
		return t.printFileVariables(c, l)
	case c.IsSet("hash"):
		return t.printHashes(l, c.String("hash"))
	}
	doc, err := t.configured(c, l)
	if err == nil {
		_, err = t.out.Write(doc)
	}
	return err
}

// configured is what the files say together, in the form that is asked for.
func (t *tool) configured(c *cli.Context, l *compose.Loaded) ([]byte, error) {
	opts := compose.ExportOptions{NoInterpolate: c.Bool("no-interpolate"), JSON: c.String("format") == "json"}
	lock := c.Bool("lock-image-digests")
	pin := lock || c.Bool("resolve-image-digests")
	if opts.JSON && !pin && !opts.NoInterpolate && l.Generated == nil {
		return l.Export(c.Context, opts) // the project has been narrowed already
	}
	asJSON := opts.JSON
	opts.JSON = false
	doc, err := l.Export(c.Context, opts)
	if err != nil {
		return nil, err
	}
	doc = compose.Plain(doc)
	if c.NArg() > 0 {
		if doc, err = compose.Part(doc, l.Project); err != nil {
			return nil, err
		}
	}
	if pin {
		images, err := t.imageDigests(c, l.Project)
		if err != nil {
			return nil, err
		}
		if doc, err = compose.Pin(doc, images, lock); err != nil {
			return nil, err
		}
	}
	if asJSON {
		return compose.JSON(doc)
	}
	return doc, nil
}

// imageDigests gives the images of services by the digests that their registries
// have for them. What is built here is in none.
func (t *tool) imageDigests(c *cli.Context, p *types.Project) (map[string]string, error) {
	e, err := t.engine(c)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	images := map[string]string{}
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		if s.Build != nil || s.Image == "" {
			continue
		}
		if images[name], err = e.Pinned(c.Context, s.Image); err != nil {
			return nil, err
		}
	}
	return images, nil
}

// printFileVariables prints what variables there are, as docker compose does.
func (t *tool) printFileVariables(c *cli.Context, l *compose.Loaded) error {
	all, err := l.Variables(c.Context)
	if err != nil {
		return err
	}
	if c.IsSet("format") && c.String("format") == "json" {
		return t.printJSON(all)
	}
	if c.IsSet("format") {
		doc, err := yaml.Marshal(all)
		if err == nil {
			_, err = t.out.Write(doc)
		}
		return err
	}
	table := listing{columns: []column{{"NAME", "Name"}, {"REQUIRED", "Required"}, {"DEFAULT VALUE", "Default"}, {"ALTERNATE VALUE", "Alternate"}}}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		v := all[name]
		table.rows = append(table.rows, map[string]any{"Name": name, "Required": v.Required, "Default": v.DefaultValue, "Alternate": v.PresenceValue})
	}
	return t.print("table", table)
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
