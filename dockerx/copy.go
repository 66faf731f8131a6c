package dockerx

import (
	"context"
	"io"
	"io/fs"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// PathStat is what there is at a path in a container.
type PathStat struct {
	Name string // the last element of the path
	Mode fs.FileMode
	Link string // what a symbolic link leads to: an absolute path in the container
}

// StatPath looks at a path in a container, running or not. That there is nothing
// is a NotFound.
func (e *Engine) StatPath(ctx context.Context, id, path string) (PathStat, error) {
	var s PathStat
	err := e.call(ctx, "look at "+path+" in container "+id, func(c *client.Client) error {
		r, err := c.ContainerStatPath(ctx, id, path)
		s = PathStat{r.Name, r.Mode, r.LinkTarget}
		return err
	})
	return s, err
}

// CopyFrom gives what is at a path in a container as a tar archive, whose entries
// begin with the last element of the path. The reader has to be closed.
func (e *Engine) CopyFrom(ctx context.Context, id, path string) (io.ReadCloser, PathStat, error) {
	var body io.ReadCloser
	var s PathStat
	err := e.call(ctx, "copy "+path+" from container "+id, func(c *client.Client) error {
		b, r, err := c.CopyFromContainer(ctx, id, path)
		body, s = b, PathStat{r.Name, r.Mode, r.LinkTarget}
		return err
	})
	return body, s, err
}

// CopyTo unpacks a tar archive in a folder of a container. A folder is not
// replaced by a file, nor the other way round. With owners, files belong to whom
// the archive says, else to root.
func (e *Engine) CopyTo(ctx context.Context, id, folder string, archive io.Reader, owners bool) error {
	return e.call(ctx, "copy to "+folder+" in container "+id, func(c *client.Client) error {
		return c.CopyToContainer(ctx, id, folder, archive, container.CopyToContainerOptions{CopyUIDGID: owners})
	})
}
