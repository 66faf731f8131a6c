package dockerx

import (
	"context"
	"runtime"
	"strings"

	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/plan"
)

// Near implements deploy.Driver. Only an engine that is reached over a unix
// socket of a Linux machine shares its networks with whoever asks.
func (e *Engine) Near() bool {
	return runtime.GOOS == "linux" && strings.HasPrefix(e.endpoint.host, "unix://")
}

// Addresses implements deploy.Driver.
func (e *Engine) Addresses(ctx context.Context, project string, ids ...string) (map[string]string, error) {
	all := map[string]string{}
	note := func(c plan.Container) {
		for _, ip := range c.IPs {
			if ip != "" {
				all[c.ID] = ip
			}
		}
	}
	if len(ids) > 1 {
		var list []plan.Container
		err := e.call(ctx, "look at project "+project, func(c *client.Client) (err error) {
			list, err = listContainers(ctx, c, project)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			note(c)
		}
	}
	for _, id := range ids {
		if all[id] != "" {
			continue
		}
		if c, err := e.Inspect(ctx, id); err == nil {
			note(c)
		}
	}
	return all, ctx.Err()
}
