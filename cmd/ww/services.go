package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/registry"
)

func (t *tool) servicesCommand() *cli.Command {
	return withProject(&cli.Command{
		Name:  "services",
		Usage: "list the components that are there, as they say of themselves on the bus",
		Flags: []cli.Flag{formatFlag("table", "table or json")},
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "table", "json"); err != nil {
				return err
			}
			return t.onBus(c, func(ctx context.Context, r *remote) error {
				return t.services(ctx, r, c.String("format") == "json")
			})
		},
	})
}

func (t *tool) services(ctx context.Context, r *remote, asJSON bool) error {
	entries, err := collect[registry.Entry](ctx, r, order{Op: opServices})
	if err != nil {
		return err
	}
	if asJSON {
		return t.printJSON(entries)
	}
	now := time.Now()
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, []string{e.Name, strings.TrimSpace(e.Kind + " " + e.Type), string(e.State),
			fmt.Sprintf("%d%%", int(math.Round(e.Load*100))), ago(now, e.Started), e.Address, e.Instance, strings.Join(e.Capabilities, ", ")})
	}
	return t.table([]string{"NAME", "KIND", "STATE", "LOAD", "UP", "ADDRESS", "INSTANCE", "CAPABILITIES"}, rows)
}
