package dockerx

import (
	"context"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
)

// ProjectNames lists the projects that have containers, sorted, in one call.
func (e *Engine) ProjectNames(ctx context.Context) ([]string, error) {
	var names []string
	err := e.call(ctx, "list the projects", func(c *client.Client) error {
		list, err := c.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", labelProject))})
		if err != nil {
			return err
		}
		for _, s := range list {
			names = append(names, s.Labels[labelProject])
		}
		slices.Sort(names)
		names = slices.Compact(names)
		return nil
	})
	return names, err
}
