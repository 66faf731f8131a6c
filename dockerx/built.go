package dockerx

import (
	"context"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"
)

// Built is an image that was built for a project.
type Built struct {
	ID string
	// Tags are those that are named after a service of the project, and so are
	// nobody else's.
	Tags []string
	// Untagged tells that it has no tag at all: another build has taken it.
	Untagged bool
}

// Built lists the images that were built for a project, of all times, and the ids
// of images that containers of other projects, or of none, are of.
func (e *Engine) Built(ctx context.Context, project string) (built []Built, others map[string]bool, err error) {
	others = map[string]bool{}
	err = e.call(ctx, "look at images of project "+project, func(c *client.Client) error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error {
			list, err := c.ImageList(ctx, image.ListOptions{Filters: projectFilter(project)})
			for _, img := range list {
				built = append(built, builtFrom(project, img))
			}
			return err
		})
		g.Go(func() error {
			list, err := c.ContainerList(ctx, container.ListOptions{All: true})
			for _, ctr := range list {
				if ctr.Labels[labelProject] != project {
					others[ctr.ImageID] = true
				}
			}
			return err
		})
		return g.Wait()
	})
	if err != nil {
		return nil, nil, err
	}
	return built, others, nil
}

func builtFrom(project string, img image.Summary) Built {
	const none = "<none>:<none>" // what older engines call no tag
	tags := slices.DeleteFunc(slices.Clone(img.RepoTags), func(ref string) bool { return ref == none })
	b := Built{ID: img.ID, Untagged: len(tags) == 0}
	own := imageName(project, types.ServiceConfig{Name: img.Labels[labelService]})
	for _, ref := range tags {
		if strings.HasPrefix(ref, own+":") {
			b.Tags = append(b.Tags, ref)
		}
	}
	slices.Sort(b.Tags)
	return b
}
