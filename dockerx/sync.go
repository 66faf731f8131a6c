package dockerx

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// Unpack puts the files of a tar stream into a container, running or not, at
// their paths below its root. They belong to the container's user. With replace,
// a folder takes the place of a file or a link; without, that is an error for
// which IsOverwrite is true.
func (e *Engine) Unpack(ctx context.Context, id string, archive io.Reader, replace bool) error {
	return e.call(ctx, "copy files into container "+id, func(c *client.Client) error {
		return c.CopyToContainer(ctx, id, "/", archive, container.CopyToContainerOptions{CopyUIDGID: true, AllowOverwriteDirWithFile: replace})
	})
}

// IsOverwrite tells of an Unpack that would have put a folder in the place of
// something else.
func IsOverwrite(err error) bool {
	// Engines have no code for it.
	return err != nil && strings.Contains(err.Error(), "cannot overwrite")
}

// IsReadOnly tells of an Unpack into a container whose root can't be written.
func IsReadOnly(err error) bool {
	return err != nil && strings.Contains(err.Error(), "read-only")
}

// PruneImages removes images that were built for a project and have no tag any
// more. Those that a container uses stay.
func (e *Engine) PruneImages(ctx context.Context, project string) (removed int, err error) {
	err = e.call(ctx, "remove old images of "+project, func(c *client.Client) error {
		list, err := c.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(
			filters.Arg("dangling", "true"), filters.Arg("label", labelProject+"="+project))})
		if err != nil {
			return err
		}
		for _, img := range list {
			switch _, err := c.ImageRemove(ctx, img.ID, image.RemoveOptions{PruneChildren: true}); {
			case err == nil:
				removed++
			case !errdefs.IsConflict(err) && !errdefs.IsNotFound(err):
				return fmt.Errorf("%s: %w", img.ID, err)
			}
		}
		return nil
	})
	return removed, err
}
