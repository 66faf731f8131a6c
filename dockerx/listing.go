package dockerx

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"
)

// Image is an image that containers were made of.
type Image struct {
	ID          string
	Tags        []string // references
	Platform    string
	Size        int64 // bytes
	Created     time.Time
	LastTagTime time.Time
}

// Images looks images up by id, each once. Those that are gone are left out.
func (e *Engine) Images(ctx context.Context, ids []string) (map[string]Image, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	found := make([]*Image, len(ids))
	err := e.call(ctx, "look at images", func(c *client.Client) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(8)
		for i, id := range ids {
			g.Go(func() error {
				r, err := c.ImageInspect(ctx, id)
				if err != nil {
					return gone(err)
				}
				img := Image{ID: r.ID, Tags: r.RepoTags, Size: r.Size, LastTagTime: r.Metadata.LastTagTime, Platform: r.Os + "/" + r.Architecture}
				if r.Variant != "" {
					img.Platform += "/" + r.Variant
				}
				img.Created, _ = time.Parse(time.RFC3339Nano, r.Created) // images may be without
				found[i] = &img
				return nil
			})
		}
		return g.Wait()
	})
	all := map[string]Image{}
	for i, img := range found {
		if img != nil {
			all[ids[i]] = *img
		}
	}
	return all, err
}

// Volume is a volume of a project.
type Volume struct {
	Name, Driver, Mountpoint, Scope string
	Labels                          map[string]string
}

// Volumes lists a project's volumes by the label, in the order of their names.
func (e *Engine) Volumes(ctx context.Context, project string) ([]Volume, error) {
	var out []Volume
	err := e.call(ctx, "list the volumes of project "+project, func(c *client.Client) error {
		list, err := c.VolumeList(ctx, volume.ListOptions{Filters: projectFilter(project)})
		if err != nil {
			return err
		}
		for _, v := range list.Volumes {
			out = append(out, Volume{v.Name, v.Driver, v.Mountpoint, v.Scope, v.Labels})
		}
		slices.SortFunc(out, func(a, b Volume) int { return cmp.Compare(a.Name, b.Name) })
		return nil
	})
	return out, err
}
