package dockerx

import (
	"context"
	"io"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
)

// Logs implements deploy.Driver. It takes one call, and one more where opts
// doesn't say whether the container has a terminal. When ctx ends it, the error
// is that of ctx.
func (e *Engine) Logs(ctx context.Context, id string, opts deploy.LogOptions, stdout, stderr io.Writer) error {
	return e.call(ctx, "read the log of container "+id, func(c *client.Client) error {
		tty, err := hasTTY(ctx, c, id, opts.TTY)
		if err != nil {
			return err
		}
		tail := opts.Tail
		if tail == "" {
			tail = "all"
		}
		body, err := c.ContainerLogs(ctx, id, container.LogsOptions{
			ShowStdout: true,
			ShowStderr: true,
			Follow:     opts.Follow,
			Tail:       tail,
			Since:      opts.Since,
			Until:      opts.Until,
			Timestamps: opts.Timestamps,
		})
		if err != nil {
			return err
		}
		defer func() { _ = body.Close() }()
		return demultiplex(body, tty, stdout, stderr)
	})
}

func hasTTY(ctx context.Context, c *client.Client, id string, known *bool) (bool, error) {
	if known != nil {
		return *known, nil
	}
	r, err := c.ContainerInspect(ctx, id)
	if err != nil {
		return false, err
	}
	return r.Config != nil && r.Config.Tty, nil
}
