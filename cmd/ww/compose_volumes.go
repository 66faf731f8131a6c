package main

import (
	"slices"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
)

func (t *tool) volumesCommand() *cli.Command {
	return &cli.Command{
		Name:      "volumes",
		Usage:     "list the system's volumes, or those that services mount",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "names alone"},
			formatFlag("table", formatUsage),
		},
		Action: func(c *cli.Context) error {
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			cs, err := t.pick(c, r, c.Args().Slice(), false)
			if err != nil {
				return err
			}
			volumes, err := r.engine.Volumes(c.Context, r.name)
			if err != nil {
				return err
			}
			if c.NArg() > 0 {
				mounted := map[string]bool{}
				for _, ctr := range cs {
					for _, m := range ctr.Mounts {
						mounted[m.Volume] = true
					}
				}
				volumes = slices.DeleteFunc(volumes, func(v dockerx.Volume) bool { return !mounted[v.Name] })
			}
			if c.Bool("quiet") {
				var names []string
				for _, v := range volumes {
					names = append(names, v.Name)
				}
				return t.printNames(names)
			}
			return t.print(c.String("format"), volumeListing(volumes))
		},
	}
}

func volumeListing(volumes []dockerx.Volume) listing {
	l := listing{columns: []column{{"DRIVER", "Driver"}, {"VOLUME NAME", "Name"}}}
	for _, v := range volumes {
		l.rows = append(l.rows, map[string]any{
			"Driver": v.Driver, "Name": v.Name, "Mountpoint": v.Mountpoint, "Scope": v.Scope, "Labels": labelText(v.Labels),
			// docker's own listing of volumes has these; an engine doesn't tell
			// them for the volumes of one machine.
			"Availability": "N/A", "Group": "N/A", "Links": "N/A", "Size": "N/A", "Status": "N/A",
		})
	}
	return l
}
