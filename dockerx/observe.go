package dockerx

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"woodwork.dev/ww/runtime/plan"
)

// Observe implements deploy.Driver. It makes one listing call for each of
// containers, networks and volumes, and one for images if want names any, all
// at the same time. What it returns is sorted.
func (e *Engine) Observe(ctx context.Context, project string, want *types.Project) (plan.Observed, error) {
	var o plan.Observed
	err := e.call(ctx, "look at project "+project, func(c *client.Client) error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() (err error) { o.Containers, err = listContainers(ctx, c, project); return })
		g.Go(func() (err error) { o.Networks, err = listNetworks(ctx, c, project, want); return })
		g.Go(func() (err error) { o.Volumes, err = listVolumes(ctx, c, project, want); return })
		g.Go(func() (err error) {
			if o.Images, err = listImages(ctx, c, want); err == nil {
				o.Stale, err = staleImages(ctx, c, want, o.Images)
			}
			return
		})
		return g.Wait()
	})
	if err != nil {
		return plan.Observed{}, err
	}
	return o, nil
}

func projectFilter(project string) filters.Args {
	return filters.NewArgs(filters.Arg("label", labelProject+"="+project))
}

func listContainers(ctx context.Context, c *client.Client, project string) ([]plan.Container, error) {
	list, err := c.ContainerList(ctx, container.ListOptions{All: true, Filters: projectFilter(project)})
	if err != nil {
		return nil, err
	}
	containers := make([]plan.Container, 0, len(list))
	for _, s := range list {
		containers = append(containers, fromSummary(s))
	}
	slices.SortFunc(containers, func(a, b plan.Container) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
	})
	return containers, nil
}

// listNetworks filters by the label only where no names are wanted: the engine
// can't be asked for 'this label or one of these names', and one unfiltered
// call is cheaper than two.
func listNetworks(ctx context.Context, c *client.Client, project string, want *types.Project) ([]plan.Network, error) {
	names := map[string]bool{}
	if want != nil {
		for _, n := range want.Networks {
			names[n.Name] = true
		}
	}
	var opts network.ListOptions
	if len(names) == 0 {
		opts.Filters = projectFilter(project)
	}
	list, err := c.NetworkList(ctx, opts)
	if err != nil {
		return nil, err
	}
	var networks []plan.Network
	for _, n := range list {
		owned := n.Labels[labelProject] == project
		if !owned && !names[n.Name] {
			continue
		}
		networks = append(networks, plan.Network{
			ID: n.ID, Name: n.Name, Key: n.Labels[labelNetwork], Hash: n.Labels[labelConfigHash],
			Owned: owned, Labels: n.Labels,
		})
	}
	slices.SortFunc(networks, func(a, b plan.Network) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return networks, nil
}

func listVolumes(ctx context.Context, c *client.Client, project string, want *types.Project) ([]plan.Volume, error) {
	names := map[string]bool{}
	if want != nil {
		for _, v := range want.Volumes {
			names[v.Name] = true
		}
	}
	var opts volume.ListOptions
	if len(names) == 0 {
		opts.Filters = projectFilter(project)
	}
	list, err := c.VolumeList(ctx, opts)
	if err != nil {
		return nil, err
	}
	var volumes []plan.Volume
	for _, v := range list.Volumes {
		owned := v.Labels[labelProject] == project
		if !owned && !names[v.Name] {
			continue
		}
		volumes = append(volumes, plan.Volume{
			Name: v.Name, Key: v.Labels[labelVolume], Hash: v.Labels[labelConfigHash],
			Owned: owned, Labels: v.Labels,
		})
	}
	slices.SortFunc(volumes, func(a, b plan.Volume) int { return cmp.Compare(a.Name, b.Name) })
	return volumes, nil
}

// imageName is the image of a service, named as compose names what it builds.
func imageName(project string, s types.ServiceConfig) string {
	if s.Image != "" {
		return s.Image
	}
	return project + "-" + s.Name
}

func listImages(ctx context.Context, c *client.Client, want *types.Project) (map[string]string, error) {
	present := map[string]string{}
	if want == nil {
		return present, nil
	}
	var refs []string
	for _, s := range want.Services {
		if s.Provider == nil {
			refs = append(refs, imageName(want.Name, s))
		}
	}
	if len(refs) == 0 {
		return present, nil
	}
	sort.Strings(refs)
	list, err := c.ImageList(ctx, image.ListOptions{Filters: imageFilter(slices.Compact(refs))})
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, img := range list {
		ids[img.ID] = img.ID
		for _, ref := range slices.Concat(img.RepoTags, img.RepoDigests) {
			ids[normalRef(ref)] = img.ID
		}
	}
	for _, ref := range refs {
		if id := cmp.Or(ids[ref], ids[normalRef(ref)]); id != "" { // it may be an id itself
			present[ref] = id
		}
	}
	return present, nil
}

// staleImages are those of the present images that a service wants to be pulled
// again, as they have been for longer than its pull policy says. It asks about
// no others.
func staleImages(ctx context.Context, c *client.Client, want *types.Project, present map[string]string) (map[string]bool, error) {
	if want == nil {
		return nil, nil
	}
	stale := map[string]bool{}
	for _, name := range want.ServiceNames() {
		s := want.Services[name]
		policy, after, err := s.GetPullPolicy()
		if err != nil {
			return nil, invalid(name, "pull_policy", "pull_policy %q: %w", s.PullPolicy, err)
		}
		ref := imageName(want.Name, s)
		if policy != types.PullPolicyRefresh || present[ref] == "" {
			continue
		}
		img, err := c.ImageInspect(ctx, present[ref])
		if err != nil {
			return nil, err
		}
		stale[ref] = stale[ref] || time.Since(img.Metadata.LastTagTime) > after
	}
	return stale, nil
}

// imageFilter asks for some references only; an image can also be named by its
// id, which that filter doesn't know.
func imageFilter(refs []string) filters.Args {
	args := filters.NewArgs()
	for _, ref := range refs {
		if strings.HasPrefix(ref, "sha256:") {
			return filters.NewArgs()
		}
		args.Add("reference", filterRef(ref))
	}
	return args
}

// filterRef is a reference as the engine's filter compares it: the familiar
// form, without the tag where a digest says more.
func filterRef(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	if d, ok := named.(reference.Digested); ok {
		return reference.FamiliarName(named) + "@" + d.Digest().String()
	}
	return reference.FamiliarString(reference.TagNameOnly(named))
}

// normalRef is the one form of a reference that listings and services are
// compared in.
func normalRef(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	if d, ok := named.(reference.Digested); ok {
		return named.Name() + "@" + d.Digest().String()
	}
	return reference.TagNameOnly(named).String()
}
