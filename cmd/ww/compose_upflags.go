package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// planFlags are those of up that say what is to be there in the end.
func planFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "build", Usage: "build images that are there already"},
		&cli.BoolFlag{Name: "no-build", Usage: "build no image: one that isn't there is pulled, or is an error"},
		pullFlag(),
		&cli.BoolFlag{Name: "force-recreate", Usage: "replace containers that haven't changed"},
		&cli.BoolFlag{Name: "no-recreate", Usage: "keep containers that have changed"},
		&cli.BoolFlag{Name: "always-recreate-deps", Usage: "with services named: also replace what they depend on"},
		&cli.BoolFlag{Name: "no-deps", Usage: "with services named: leave what they depend on alone"},
		&cli.BoolFlag{Name: "renew-anon-volumes", Aliases: []string{"V"}, Usage: "give replaced containers new anonymous volumes, in place of those that they had"},
		&cli.BoolFlag{Name: "no-start", Usage: "create what is missing, and start nothing"},
		listFlag("scale", "run so many containers of a service: `SERVICE=N`"),
		&cli.BoolFlag{Name: "remove-orphans", Usage: "remove containers of services that the file has no more"},
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "make volumes anew whose configuration changed, without asking; what they hold is lost"},
		&cli.BoolFlag{Name: "wait", Value: true, Usage: "wait until everything is ready, not only what others need; implies -d when given"},
		timeoutFlag(),
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
		&cli.BoolFlag{Name: "quiet-build", Usage: "no progress of builds"},
		&cli.BoolFlag{Name: "quiet-pull", Usage: "no progress of pulls"},
	}
}

// runFlags are those of up that say how it goes on, and what becomes of what it
// has begun.
func runFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when everything is ready, and leave it running"},
		durationFlag("wait-timeout", deploy.DefaultTimeout, "how long one component may take to get ready"),
		&cli.BoolFlag{Name: "abort-on-container-exit", Usage: "take everything down when a container ends"},
		&cli.BoolFlag{Name: "abort-on-container-failure", Usage: "take everything down when a container ends with a code other than 0"},
		&cli.StringFlag{Name: "exit-code-from", Usage: "take everything down when `SERVICE` ends, or when another one fails before that, and exit with its code"},
		&cli.BoolFlag{Name: "rollback", Value: true, Usage: "take back what was done when it fails"},
		&cli.BoolFlag{Name: "keep", Usage: "leave what was made when it fails, for a closer look: --rollback=false"},
		&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "keep it up to date as its files change"},
		durationFlag("scale-interval", scaleEvery, "how often the load of what is to be scaled is looked at"),
	}, attachFlags()...)
}

func pullFlag() cli.Flag {
	return &cli.StringFlag{Name: "pull", Usage: "always, missing, never, build or policy (default: each service's own policy)"}
}

// planOptions reads the flags of up that change its plan.
func (t *tool) planOptions(c *cli.Context) (plan.Options, error) {
	o := plan.Options{
		ForceRecreate: c.Bool("force-recreate"), NoRecreate: c.Bool("no-recreate"), RemoveOrphans: c.Bool("remove-orphans"),
		Build: c.Bool("build"), NoBuild: c.Bool("no-build"), Wait: c.Bool("wait"),
		RecreateDeps: c.Bool("always-recreate-deps"), RenewAnonVolumes: c.Bool("renew-anon-volumes"), NoStart: c.Bool("no-start"),
		Targets: c.Args().Slice(), Scaled: scaled(listOf(c, "scale")),
	}
	switch pull := c.String("pull"); pull {
	case "", "policy":
	case "build":
		o.Build = true
	default:
		if err := oneOf("pull", pull, "always", "missing", "never", "build", "policy"); err != nil {
			return o, err
		}
		o.Pull = pull
	}
	for _, pair := range [][2]string{
		{"force-recreate", "no-recreate"}, {"always-recreate-deps", "no-recreate"}, {"renew-anon-volumes", "no-recreate"},
		{"build", "no-build"}, {"no-build", "watch"},
	} {
		if c.Bool(pair[0]) && c.Bool(pair[1]) {
			return o, &usageError{fmt.Errorf("--%s and --%s exclude each other", pair[0], pair[1]), "leave one of them out"}
		}
	}
	o.ForceRecreate = o.ForceRecreate || o.RecreateDeps && len(o.Targets) == 0
	return o, nil
}

// leaves tells whether an up returns and leaves everything running. What only
// somebody who looks on can have is refused then.
func (t *tool) leaves(c *cli.Context) (bool, error) {
	if c.IsSet("menu") && c.Bool("menu") {
		fmt.Fprintln(t.err, "note: ww has no menu: `ww compose watch` and `ww compose logs` do in a terminal of their own what it offers")
	}
	if !c.Bool("detach") && !c.IsSet("wait") {
		return false, nil
	}
	if c.Bool("watch") {
		return true, &usageError{errors.New("--watch and --detach exclude each other"), "`ww compose watch` leaves it running when it ends"}
	}
	if len(listOf(c, "attach")) > 0 || c.Bool("attach-dependencies") {
		return true, &usageError{errors.New("-d and --wait show no output, and --attach and --attach-dependencies say whose"), "leave one of them out"}
	}
	return true, nil
}

// flagsWithout leaves out the flags that have one of the names.
func flagsWithout(flags []cli.Flag, names ...string) []cli.Flag {
	return slices.DeleteFunc(flags, func(f cli.Flag) bool { return slices.Contains(names, f.Names()[0]) })
}
