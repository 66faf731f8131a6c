package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) buildCommand() *cli.Command {
	return &cli.Command{
		Name:      "build",
		Usage:     "build the components' images, those that are there already as well",
		ArgsUsage: "[SERVICE…]",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "missing", Usage: "only those that aren't there"},
			&cli.BoolFlag{Name: "no-cache", Usage: "don't use what earlier builds have left"},
			&cli.BoolFlag{Name: "pull", Usage: "look for newer base images"},
			&cli.BoolFlag{Name: "push", Usage: "push the images then"},
			listFlag("build-arg", "a variable of the Dockerfiles: `NAME=VALUE`, or NAME for the value that it has here"),
			&cli.StringFlag{Name: "memory", Aliases: []string{"m"}, Usage: "how much `MEMORY` a step may take, such as 512m"},
			&cli.BoolFlag{Name: "with-dependencies", Usage: "with services named: also what they depend on"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
			// docker compose takes these, and they are so.
			&cli.BoolFlag{Name: "parallel", Hidden: true}, &cli.BoolFlag{Name: "force-rm", Hidden: true}, &cli.BoolFlag{Name: "compress", Hidden: true},
		}, needBuildKit()...),
		Action: t.build,
	}
}

// buildKitFlags are those that only a BuildKit builder can honour, with what to
// do instead. ww asks for the classic one: see dockerx.Engine.Build.
var buildKitFlags = map[string]string{
	"ssh":        "copy what a build fetches into its context, or build the image with `docker build --ssh`",
	"builder":    "build the image with `docker buildx build --builder`, and name it with image in place of build",
	"sbom":       "build the image with `docker build --sbom`, and name it with image in place of build",
	"provenance": "build the image with `docker build --provenance`, and name it with image in place of build",
	"check":      "`docker build --check` looks a Dockerfile over; `ww compose config -q` the file",
	"print":      "`docker buildx bake --print -f FILE` prints what it makes of the file; `ww compose build --dry-run` what is built here",
}

func needBuildKit() []cli.Flag {
	var flags []cli.Flag
	for name := range buildKitFlags {
		if name == "check" || name == "print" {
			flags = append(flags, &cli.BoolFlag{Name: name, Hidden: true})
			continue
		}
		flags = append(flags, &cli.StringFlag{Name: name, Hidden: true})
	}
	return flags
}

func (t *tool) build(c *cli.Context) error {
	for name, instead := range buildKitFlags {
		if c.IsSet(name) {
			return &usageError{fmt.Errorf("--%s needs BuildKit, and ww builds with the engine's classic builder", name), instead}
		}
	}
	var memory int64
	if m := c.String("memory"); m != "" {
		var err error
		if memory, err = units.RAMInBytes(m); err != nil || memory < 0 {
			return &usageError{fmt.Errorf("--memory can't be %q", m), "write a size such as 512m or 2g"}
		}
	}
	adapt := func(l *compose.Loaded) {
		for name, s := range l.Project.Services {
			if s.Build != nil {
				s.Build = buildOf(c, s.Build, l.Project.Environment)
				l.Project.Services[name] = s
			}
		}
	}
	return t.images(c, imageWork{
		verb: "built", dependencies: c.Bool("with-dependencies"), memory: memory, adapt: adapt,
		plan: func(p *types.Project, have plan.Observed) plan.Plan {
			built := plan.BuildAll(p, have, c.Bool("missing"))
			if c.Bool("push") {
				for _, s := range plan.PushAll(p, false).Steps {
					at := slices.IndexFunc(built.Steps, func(b plan.Step) bool { return b.Service == s.Service })
					if at >= 0 {
						s.ID, s.Needs = len(built.Steps)+1, []int{built.Steps[at].ID}
						built.Steps = append(built.Steps, s)
					}
				}
			}
			return built
		},
	})
}

// buildOf is a build section as the flags want it. A variable that is only named
// has the value that the project's environment has for it.
func buildOf(c *cli.Context, section *types.BuildConfig, env types.Mapping) *types.BuildConfig {
	b := *section
	b.NoCache, b.Pull = b.NoCache || c.Bool("no-cache"), b.Pull || c.Bool("pull")
	args := types.NewMappingWithEquals(listOf(c, "build-arg")).Resolve(env.Resolve)
	b.Args = types.MappingWithEquals{}.OverrideBy(section.Args).OverrideBy(args)
	return &b
}

// imageWork is what a command does with images.
type imageWork struct {
	verb         string // what is done to them
	dependencies bool   // with services named: also what they depend on
	memory       int64  // of a build's steps
	adapt        func(*compose.Loaded)
	plan         func(*types.Project, plan.Observed) plan.Plan
	failed       func(plan.Step, error) // is told of what isn't an error
}

// images works on images by a plan, and starts nothing.
func (t *tool) images(c *cli.Context, w imageWork) error {
	d, err := t.engine(c)
	if err != nil {
		return err
	}
	defer d.Close()
	l, err := t.loadProject(c, nil, d)
	if err != nil {
		return err
	}
	if services := c.Args().Slice(); len(services) > 0 {
		deps := types.IgnoreDependencies
		if w.dependencies {
			deps = types.IncludeDependencies
		}
		if err := narrow(l, services, asked(c, "all-resources"), deps); err != nil {
			return err
		}
	}
	if w.adapt != nil {
		w.adapt(l)
	}
	have, err := d.Observe(c.Context, l.Project.Name, l.Project)
	if err != nil {
		return err
	}
	p := w.plan(l.Project, have)
	switch {
	case p.Empty():
		if !c.Bool("quiet") {
			fmt.Fprintf(t.err, "nothing to do: no image has to be %s\n", w.verb)
		}
		return nil
	case dryRun(c):
		_, err := fmt.Fprint(t.out, p)
		return err
	}
	if err := l.Prepare(); err != nil {
		return prepareError(err)
	}
	progress := t.newProgress(l.Project, c.Bool("quiet"))
	report := progress.report
	if w.failed != nil {
		report = func(ev deploy.Progress) {
			progress.report(ev)
			if ev.Status == deploy.Failed && ev.Step.Optional {
				w.failed(ev.Step, ev.Err)
			}
		}
	}
	err = deploy.Carry(c.Context, d, deploy.UpRequest{Project: l.Project, Parallel: parallel(c), BuildMemory: w.memory, Report: report}, p)
	progress.end()
	if err == nil {
		progress.total(p)
	}
	return err
}

// refused are the verbs of docker compose that ww has not, and what to do
// instead.
func (t *tool) refused() []*cli.Command {
	refuse := func(name, why, instead string) *cli.Command {
		return &cli.Command{
			Name: name, Hidden: true, SkipFlagParsing: true, HideHelp: true,
			Action: func(*cli.Context) error {
				return &usageError{errors.New("there is no `ww compose " + name + "`: " + why), instead}
			},
		}
	}
	return []*cli.Command{
		refuse("publish", "a compose file in a registry can be read by docker compose alone",
			"`ww compose export -o docker-compose.yml` writes the file to hand on; `ww compose push` pushes the images that it builds"),
		refuse("bridge", "it runs images that turn a compose file into something else", "`docker compose bridge` reads the file that `ww compose export` writes"),
		refuse("alpha", "these are docker compose's experiments", "`ww compose scale` and `ww compose watch` are commands of their own, `ww graph` draws a .ww file"),
	}
}
