package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"
)

// attachFlags say whose output a foreground up shows, and how.
func attachFlags() []cli.Flag {
	return []cli.Flag{
		listFlag("attach", "show the output of `SERVICE` alone; may be given several times"),
		listFlag("no-attach", "don't show the output of `SERVICE`"),
		&cli.BoolFlag{Name: "attach-dependencies", Usage: "with services named: also show the output of what they depend on"},
		&cli.BoolFlag{Name: "no-color", Usage: "without colours in what the containers write"},
		&cli.BoolFlag{Name: "no-log-prefix", Usage: "without the names of the containers in what they write"},
		&cli.BoolFlag{Name: "timestamps", Usage: "with the time of each line"},
		&cli.BoolFlag{Name: "menu", Hidden: true},
	}
}

// shown tells whose output a foreground up shows: as docker compose, that of the
// services that are named, not of what they depend on, and not of those with
// attach: false.
func shown(c *cli.Context, p *types.Project) (func(service string) bool, error) {
	only, without := listOf(c, "attach"), listOf(c, "no-attach")
	for flag, names := range map[string][]string{"attach": only, "no-attach": without} {
		for _, s := range names {
			if _, ok := p.Services[s]; !ok {
				return nil, &usageError{fmt.Errorf("--%s: there is no service %q among those that are brought up", flag, s), suggestion(s, p.ServiceNames(), "there are: "+strings.Join(p.ServiceNames(), ", "))}
			}
		}
	}
	named := c.Args().Slice()
	return func(service string) bool {
		a := p.Services[service].Attach
		switch {
		case slices.Contains(without, service):
			return false
		case len(only) > 0:
			return slices.Contains(only, service)
		case a != nil && !*a:
			return false
		}
		return len(named) == 0 || c.Bool("attach-dependencies") || slices.Contains(named, service)
	}, nil
}
