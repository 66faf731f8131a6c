package compose

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/sync/errgroup"
)

// loadFiles reads the contents of compose files into a project. parts are the
// only file in parts, if it has several. The loader looks for cycles of
// depends_on by following every path, of which there are twice as many with
// every layer of two services that depend on both below: it is kept from that,
// and dependencies are checked here.
func loadFiles(ctx context.Context, details types.ConfigDetails, parts [][]byte, plain bool, options []func(*loader.Options)) (*types.Project, map[string]types.DependsOnConfig, error) {
	dict, err := loadModel(ctx, details, parts, plain, options)
	if err != nil {
		return nil, nil, err
	}
	name, _ := dict["name"].(string)
	opts := loader.ToOptions(&details, append(slices.Clone(options), func(o *loader.Options) { o.SetProjectName(name, true) }))
	if err := checkForgotten(dict); err != nil {
		return nil, nil, err
	}
	needs, err := takeDependencies(dict)
	if err != nil {
		return nil, nil, err
	}
	p, err := loader.ModelToProject(dict, opts, details)
	if err != nil {
		return nil, nil, err
	}
	for _, services := range []types.Services{p.Services, p.DisabledServices} {
		for name, s := range services {
			s.DependsOn = needs[name]
			services[name] = s
		}
	}
	unmet, err := checkDependencies(p)
	return p, unmet, err
}

// loadModel reads files into the loader's own form. The loader compares every
// value with every pattern that it knows: parts of a large file are read at the
// same time. None refers to another before the form is made a project. In what
// is plain, a part without a variable has nothing to be interpolated, and one
// without a relative path nothing to be resolved: they are spared that.
func loadModel(ctx context.Context, details types.ConfigDetails, parts [][]byte, plain bool, options []func(*loader.Options)) (map[string]any, error) {
	if len(parts) < 2 {
		return loader.LoadModelWithContext(ctx, details, options...)
	}
	dicts := make([]map[string]any, len(parts))
	errs := make([]error, len(parts))
	var tasks errgroup.Group
	tasks.SetLimit(runtime.GOMAXPROCS(0))
	for i, part := range parts {
		tasks.Go(func() error {
			d := details
			d.ConfigFiles = []types.ConfigFile{{Filename: details.ConfigFiles[0].Filename, Content: part}}
			d.Environment = maps.Clone(details.Environment) // the loader adds the project's name
			options := append(slices.Clone(options), func(o *loader.Options) {
				o.SkipInterpolation = plain && !bytes.Contains(part, []byte("$"))
				o.ResolvePaths = !plain || bytes.Contains(part, []byte("./")) || bytes.Contains(part, []byte("~"))
			})
			dicts[i], errs[i] = loader.LoadModelWithContext(ctx, d, options...)
			return nil
		})
	}
	_ = tasks.Wait() // errs tells which part was the first to fail
	for i, dict := range dicts {
		if errs[i] != nil {
			return nil, errs[i]
		}
		for section, v := range dict {
			all, _ := dicts[0][section].(map[string]any)
			some, _ := v.(map[string]any)
			if all == nil || some == nil {
				dicts[0][section] = v
				continue
			}
			maps.Copy(all, some)
		}
	}
	name, _ := dicts[0]["name"].(string)
	details.Environment["COMPOSE_PROJECT_NAME"] = name
	return dicts[0], nil
}

// checkForgotten refuses what the specification allows and the loader has no
// place for: it would be dropped without a word.
func checkForgotten(dict map[string]any) error {
	services, _ := dict["services"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(services)) {
		s, _ := services[name].(map[string]any)
		if after, ok := s["pull_refresh_after"]; ok {
			return fmt.Errorf("services.%s.pull_refresh_after is not supported: write pull_policy: every_%v", name, after)
		}
	}
	return nil
}

// takeDependencies takes depends_on out of the services.
func takeDependencies(dict map[string]any) (map[string]types.DependsOnConfig, error) {
	services, _ := dict["services"].(map[string]any)
	all := make(map[string]types.DependsOnConfig, len(services))
	for name, v := range services {
		s, _ := v.(map[string]any)
		if s["depends_on"] == nil {
			continue
		}
		var d types.DependsOnConfig
		if err := loader.Transform(s["depends_on"], &d); err != nil {
			return nil, fmt.Errorf("services.%s.depends_on: %w", name, err)
		}
		delete(s, "depends_on")
		all[name] = d
	}
	return all, nil
}

// checkDependencies reports dependencies on what isn't there and the first
// cycle. It takes out those on disabled services that aren't required, and gives
// them.
func checkDependencies(p *types.Project) (map[string]types.DependsOnConfig, error) {
	unmet := map[string]types.DependsOnConfig{}
	for _, name := range p.ServiceNames() {
		needs := p.Services[name].DependsOn
		for _, on := range slices.Sorted(maps.Keys(needs)) {
			if _, ok := p.Services[on]; ok {
				continue
			}
			off, disabled := p.DisabledServices[on]
			switch {
			case !disabled:
				return nil, fmt.Errorf("service %q depends on undefined service %q", name, on)
			case needs[on].Required:
				return nil, fmt.Errorf("service %q is required by %q but is disabled: it is enabled by the profiles %s",
					on, name, strings.Join(off.Profiles, ", "))
			}
			if unmet[name] == nil {
				unmet[name] = types.DependsOnConfig{}
			}
			unmet[name][on] = needs[on]
			delete(needs, on)
		}
	}
	c := cycleSearch{project: p, done: map[string]bool{}, open: map[string]bool{}}
	for _, name := range p.ServiceNames() {
		if err := c.visit(name); err != nil {
			return nil, err
		}
	}
	return unmet, nil
}

// cycleSearch visits every service once.
type cycleSearch struct {
	project *types.Project
	done    map[string]bool
	open    map[string]bool
	path    []string // of those that are open
}

func (c *cycleSearch) visit(name string) error {
	if c.done[name] {
		return nil
	}
	c.path = append(c.path, name)
	if c.open[name] {
		from := slices.Index(c.path, name)
		return fmt.Errorf("dependency cycle detected: %s", strings.Join(c.path[from:], " -> "))
	}
	c.open[name] = true
	for _, on := range slices.Sorted(maps.Keys(c.project.Services[name].DependsOn)) {
		if err := c.visit(on); err != nil {
			return err
		}
	}
	c.path = c.path[:len(c.path)-1]
	delete(c.open, name)
	c.done[name] = true
	return nil
}
