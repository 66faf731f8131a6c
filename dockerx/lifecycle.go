package dockerx

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
)

// Start implements deploy.Driver. One that runs already is no error.
func (e *Engine) Start(ctx context.Context, id string) error {
	err := e.call(ctx, "start container "+id, func(c *client.Client) error {
		return c.ContainerStart(ctx, id, container.StartOptions{})
	})
	return e.lostNetwork(ctx, id, e.portHolder(ctx, err))
}

var networkNotFound = regexp.MustCompile(`network (\S+) not found`)

// lostNetwork has the error of a network that a container was connected to, and
// that was removed, name it, in one call more. Any other error stays as it is.
func (e *Engine) lostNetwork(ctx context.Context, id string, err error) error {
	var ee *deploy.EngineError
	if !errors.As(err, &ee) {
		return err
	}
	m := networkNotFound.FindStringSubmatch(ee.Err.Error())
	if m == nil {
		return err
	}
	name := m[1]
	_ = e.call(ctx, "inspect container "+id, func(c *client.Client) error { // without it, there is the id
		is, err := c.ContainerInspect(ctx, id)
		if err != nil || is.NetworkSettings == nil {
			return err
		}
		for n, ep := range is.NetworkSettings.Networks {
			if ep != nil && ep.NetworkID == m[1] {
				name = n
			}
		}
		return nil
	})
	return &deploy.EngineError{
		Kind: deploy.NotFound, What: ee.What, Err: &shortError{"the network " + name + " that it was connected to was removed", err},
		Remedy: "`ww compose up -d` makes the network and the container anew",
	}
}

// Stop implements deploy.Driver. A grace is rounded up to whole seconds. A
// container that is gone is no error either.
func (e *Engine) Stop(ctx context.Context, id string, grace *time.Duration) error {
	return e.call(ctx, "stop container "+id, func(c *client.Client) error {
		return gone(c.ContainerStop(ctx, id, container.StopOptions{Timeout: wholeSeconds(grace)}))
	})
}

// Kill implements deploy.Driver. A container that doesn't run, or is gone, is no
// error.
func (e *Engine) Kill(ctx context.Context, id, signal string) error {
	return e.call(ctx, "kill container "+id, func(c *client.Client) error {
		err := c.ContainerKill(ctx, id, signal)
		if err != nil && strings.Contains(err.Error(), "is not running") {
			return nil
		}
		return gone(err)
	})
}

// Remove implements deploy.Driver. Where the container is being removed already
// it waits until that is done.
func (e *Engine) Remove(ctx context.Context, id string, anonymousVolumes bool) error {
	return e.call(ctx, "remove container "+id, func(c *client.Client) error {
		err := c.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: anonymousVolumes})
		if errdefs.IsConflict(err) && strings.Contains(err.Error(), "already in progress") {
			return waitRemoved(ctx, c, id)
		}
		return gone(err)
	})
}

func waitRemoved(ctx context.Context, c *client.Client, id string) error {
	results, errs := c.ContainerWait(ctx, id, container.WaitConditionRemoved)
	select {
	case err := <-errs:
		return gone(err)
	case r := <-results:
		if r.Error != nil {
			return errors.New(r.Error.Message)
		}
		return nil
	}
}

// Resize tells a container's terminal its size, in characters.
func (e *Engine) Resize(ctx context.Context, id string, height, width uint) error {
	return e.call(ctx, "resize the terminal of container "+id, func(c *client.Client) error {
		return c.ContainerResize(ctx, id, container.ResizeOptions{Height: height, Width: width})
	})
}
