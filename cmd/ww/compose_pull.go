package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) pullCommand() *cli.Command {
	return &cli.Command{
		Name:      "pull",
		Usage:     "pull the images, as each service's pull policy allows it",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "policy", Usage: "always or missing (default: each service's own)"},
			&cli.BoolFlag{Name: "include-deps", Usage: "with services named: also what they depend on"},
			&cli.BoolFlag{Name: "ignore-buildable", Usage: "not those that can be built here"},
			&cli.BoolFlag{Name: "ignore-pull-failures", Usage: "pull what can be pulled; the rest is only told"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
			// docker compose takes these, and ignores them: --parallel N stands before the verb.
			&cli.BoolFlag{Name: "parallel", Hidden: true}, &cli.BoolFlag{Name: "no-parallel", Hidden: true},
		},
		Action: t.pull,
	}
}

func (t *tool) pull(c *cli.Context) error {
	policy := c.String("policy")
	if policy != "" {
		if err := oneOf("policy", policy, "always", "missing"); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	var left, buildable []string
	err := t.images(c, imageWork{
		verb: "pulled", dependencies: c.Bool("include-deps"),
		plan: func(p *types.Project, have plan.Observed) plan.Plan {
			for name, s := range p.Services {
				if s.Build != nil {
					buildable = append(buildable, name)
				}
			}
			return plan.PullAll(p, have, plan.PullOptions{Policy: policy, Buildable: !c.Bool("ignore-buildable"), Optional: c.Bool("ignore-pull-failures")})
		},
		failed: func(s plan.Step, err error) {
			mu.Lock()
			defer mu.Unlock()
			if slices.Contains(buildable, s.Service) {
				left = append(left, s.Service)
			} else {
				fmt.Fprintf(t.err, "warning: %v\n", err)
			}
		},
	})
	if err == nil && len(left) > 0 {
		slices.Sort(left)
		fmt.Fprintf(t.err, "note: not every image could be pulled: `ww compose build %s` builds them\n", strings.Join(left, " "))
	}
	return err
}

func (t *tool) pushCommand() *cli.Command {
	return &cli.Command{
		Name:      "push",
		Usage:     "push the images that are built here to their registries",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "include-deps", Usage: "with services named: also what they depend on"},
			&cli.BoolFlag{Name: "ignore-push-failures", Usage: "push what can be pushed; the rest is only told"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
		},
		Action: func(c *cli.Context) error {
			return t.images(c, imageWork{
				verb: "pushed", dependencies: c.Bool("include-deps"),
				plan: func(p *types.Project, _ plan.Observed) plan.Plan {
					return plan.PushAll(p, c.Bool("ignore-push-failures"))
				},
				failed: func(_ plan.Step, err error) { fmt.Fprintf(t.err, "warning: %v\n", err) },
			})
		},
	}
}
