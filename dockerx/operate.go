package dockerx

import (
	"context"
	"errors"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// Pause implements deploy.Driver.
func (e *Engine) Pause(ctx context.Context, id string) error {
	return e.call(ctx, "pause container "+id, func(c *client.Client) error { return c.ContainerPause(ctx, id) })
}

// Unpause implements deploy.Driver.
func (e *Engine) Unpause(ctx context.Context, id string) error {
	return e.call(ctx, "unpause container "+id, func(c *client.Client) error { return c.ContainerUnpause(ctx, id) })
}

// CommitSpec says what image to make of a container.
type CommitSpec struct {
	Image, Author, Message string
	Changes                []string // instructions of a Dockerfile
	Running                bool     // the container isn't paused meanwhile
}

// Commit makes an image of a container as it is, and gives its id.
func (e *Engine) Commit(ctx context.Context, id string, spec CommitSpec) (string, error) {
	var image string
	err := e.call(ctx, "make an image of container "+id, func(c *client.Client) error {
		r, err := c.ContainerCommit(ctx, id, container.CommitOptions{
			Reference: spec.Image, Author: spec.Author, Comment: spec.Message, Changes: spec.Changes, Pause: !spec.Running,
		})
		image = r.ID
		return err
	})
	return image, err
}

// Processes are those of one container, as the engine's machine sees them.
type Processes struct {
	Titles []string
	Rows   [][]string
}

// Top lists a container's processes.
func (e *Engine) Top(ctx context.Context, id string) (Processes, error) {
	var p Processes
	err := e.call(ctx, "list the processes of container "+id, func(c *client.Client) error {
		top, err := c.ContainerTop(ctx, id, nil)
		p = Processes{top.Titles, top.Processes}
		return err
	})
	return p, err
}

// Wait waits until a container doesn't run, and gives its exit code. One that has
// ended already has its code at once.
func (e *Engine) Wait(ctx context.Context, id string) (int, error) {
	code := -1
	err := e.call(ctx, "wait for container "+id, func(c *client.Client) (err error) {
		code, err = beginWait(ctx, c, id, container.WaitConditionNotRunning)()
		return err
	})
	return code, err
}

// beginWait begins to wait; the function that it returns waits for the end.
func beginWait(ctx context.Context, c *client.Client, id string, condition container.WaitCondition) func() (int, error) {
	results, errs := c.ContainerWait(ctx, id, condition)
	return func() (int, error) {
		select {
		case err := <-errs:
			return -1, err
		case r := <-results:
			if r.Error != nil {
				return -1, errors.New(r.Error.Message)
			}
			return int(r.StatusCode), nil
		}
	}
}

// Projects lists the containers of all projects, with all also those that don't
// run. It takes one call.
func (e *Engine) Projects(ctx context.Context, all bool) ([]plan.Container, error) {
	var out []plan.Container
	err := e.call(ctx, "list projects", func(c *client.Client) error {
		list, err := c.ContainerList(ctx, container.ListOptions{All: all, Filters: filters.NewArgs(
			filters.Arg("label", labelProject), filters.Arg("label", labelConfigHash),
		)})
		for _, s := range list {
			out = append(out, fromSummary(s))
		}
		return err
	})
	return out, err
}

// AttachSpec says how a container is run in the foreground.
type AttachSpec struct {
	TTY     bool
	Sizes   <-chan deploy.TerminalSize // may be nil
	Streams deploy.ExecSpec            // of which the streams count
	Removed bool                       // wait until the engine has removed it, too
}

// RunAttached starts a container that was created, with its streams connected
// from the first byte on, and waits for its end. It returns the exit code.
func (e *Engine) RunAttached(ctx context.Context, id string, spec AttachSpec) (int, error) {
	code := -1
	err := e.call(ctx, "run container "+id, func(c *client.Client) error {
		s, err := e.attach(ctx, c, id, spec.Streams.Stdin != nil)
		if err != nil {
			return err
		}
		condition := container.WaitConditionNextExit
		if spec.Removed {
			condition = container.WaitConditionRemoved
		}
		waiting, cancel := context.WithCancel(ctx)
		defer cancel()
		ended := beginWait(waiting, c, id, condition)
		if err := c.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
			_ = s.Close()
			return err
		}
		resized := followSize(ctx, spec.Sizes, func(ctx context.Context, o container.ResizeOptions) error {
			return c.ContainerResize(ctx, id, o)
		})
		err = s.pump(spec.TTY, spec.Streams.Stdin, spec.Streams.Stdout, spec.Streams.Stderr)
		resized()
		if err != nil {
			return err
		}
		code, err = ended()
		return err
	})
	return code, e.portHolder(ctx, err)
}

// followSize tells a terminal in a container each size of this one. The function
// that it returns ends that.
func followSize(ctx context.Context, sizes <-chan deploy.TerminalSize, resize func(context.Context, container.ResizeOptions) error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s, ok := <-sizes:
				if !ok {
					return
				}
				// What was just begun may have no terminal yet. A size that can't be
				// told at all is no reason to end what runs.
				for wait := 5 * time.Millisecond; wait < time.Second; wait *= 2 {
					if resize(ctx, container.ResizeOptions{Width: s.Width, Height: s.Height}) == nil {
						break
					}
					select {
					case <-time.After(wait):
					case <-ctx.Done():
						return
					}
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}
