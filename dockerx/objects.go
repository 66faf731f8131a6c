package dockerx

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
)

// An engine may still count endpoints of containers that are gone. It catches
// up within moments, or not at all.
const (
	activeEndpointsFor   = 5 * time.Second
	activeEndpointsFirst = 25 * time.Millisecond
	activeEndpointsMost  = 500 * time.Millisecond
)

// CreateNetwork implements deploy.Driver. That a network of this name exists
// already is a Conflict.
func (e *Engine) CreateNetwork(ctx context.Context, p *types.Project, key string) error {
	n, ok := p.Networks[key]
	if !ok {
		return fmt.Errorf("create network: project %s declares no network %q", p.Name, key)
	}
	return e.call(ctx, "create network "+n.Name, func(c *client.Client) error {
		k := keyCheck{target: target{api: c.ClientVersion()}, at: "networks." + key + "."}
		if k.network(n); len(k.refusals) > 0 {
			return unsupported("network "+key, k.refusals)
		}
		opts, err := networkOptions(p, key)
		if err != nil {
			return err
		}
		_, err = c.NetworkCreate(ctx, n.Name, opts)
		return err
	})
}

func networkOptions(p *types.Project, key string) (network.CreateOptions, error) {
	n := p.Networks[key]
	hash, err := hashOf(n)
	return network.CreateOptions{
		Driver:     n.Driver,
		Options:    n.DriverOpts,
		Internal:   n.Internal,
		Attachable: n.Attachable,
		EnableIPv4: n.EnableIPv4,
		EnableIPv6: n.EnableIPv6,
		IPAM:       ipam(n.Ipam),
		Labels: merged(n.Labels, n.CustomLabels, map[string]string{
			labelNetwork: key, labelProject: p.Name, labelVersion: composeVersion, labelConfigHash: hash,
		}),
	}, err
}

func ipam(cfg types.IPAMConfig) *network.IPAM {
	if cfg.Driver == "" && len(cfg.Config) == 0 && len(cfg.Options) == 0 {
		return nil
	}
	out := &network.IPAM{Driver: cfg.Driver, Options: cfg.Options}
	for _, pool := range cfg.Config {
		if pool == nil {
			continue
		}
		out.Config = append(out.Config, network.IPAMConfig{
			Subnet: pool.Subnet, Gateway: pool.Gateway, IPRange: pool.IPRange, AuxAddress: pool.AuxiliaryAddresses,
		})
	}
	return out
}

// RemoveNetwork implements deploy.Driver. While the engine says that the network
// has active endpoints it tries again, for up to five seconds. One that is gone
// already is no error.
func (e *Engine) RemoveNetwork(ctx context.Context, nameOrID string) error {
	return e.call(ctx, "remove network "+nameOrID, func(c *client.Client) error {
		deadline := time.Now().Add(activeEndpointsFor)
		for wait := activeEndpointsFirst; ; wait = min(2*wait, activeEndpointsMost) {
			err := c.NetworkRemove(ctx, nameOrID)
			if err == nil || errdefs.IsNotFound(err) {
				return nil
			}
			if !strings.Contains(err.Error(), activeEndpoints) {
				return err
			}
			if time.Now().Add(wait).After(deadline) {
				return whoseEndpoints(ctx, c, nameOrID, err)
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// whoseEndpoints tells why a network can't be removed.
func whoseEndpoints(ctx context.Context, c *client.Client, nameOrID string, cause error) error {
	n, err := c.NetworkInspect(ctx, nameOrID, network.InspectOptions{})
	if err != nil {
		return cause
	}
	var names []string
	for _, at := range n.Containers {
		names = append(names, at.Name)
	}
	slices.Sort(names)
	return &endpointsError{network: n.Name, containers: names, err: cause}
}

// endpointsError says what is on a network that can't be removed.
type endpointsError struct {
	network    string
	containers []string // none: the engine doesn't know itself
	err        error
}

func (e *endpointsError) Error() string {
	if len(e.containers) == 0 {
		return "the engine counts endpoints on it that no container has any more, a defect of some engines"
	}
	return "other containers are on it: " + strings.Join(e.containers, ", ")
}

func (e *endpointsError) Unwrap() error { return e.err }

func (e *endpointsError) remedy() string {
	if len(e.containers) == 0 {
		return "nothing else is left, and `up` can use it again; to be rid of it restart the engine ('sudo systemctl restart docker') and take it down once more"
	}
	return "stop them, or take them off with 'docker network disconnect " + e.network + " NAME', and take it down once more"
}

// CreateVolume implements deploy.Driver. An engine takes the creation of a
// volume that exists for a success, and leaves the volume as it is.
func (e *Engine) CreateVolume(ctx context.Context, p *types.Project, key string) error {
	v, ok := p.Volumes[key]
	if !ok {
		return fmt.Errorf("create volume: project %s declares no volume %q", p.Name, key)
	}
	return e.call(ctx, "create volume "+v.Name, func(c *client.Client) error {
		opts, err := volumeOptions(p, key)
		if err != nil {
			return err
		}
		_, err = c.VolumeCreate(ctx, opts)
		return err
	})
}

func volumeOptions(p *types.Project, key string) (volume.CreateOptions, error) {
	v := p.Volumes[key]
	hash, err := volumeHash(v)
	return volume.CreateOptions{
		Name:       v.Name,
		Driver:     v.Driver,
		DriverOpts: v.DriverOpts,
		Labels: merged(v.Labels, v.CustomLabels, map[string]string{
			labelVolume: key, labelProject: p.Name, labelVersion: composeVersion, labelConfigHash: hash,
		}),
	}, err
}

func volumeHash(v types.VolumeConfig) (string, error) {
	if v.Driver == "" {
		v.Driver = "local"
	}
	return hashOf(v)
}

// RemoveVolume implements deploy.Driver. One that is gone already is no error;
// one that a container has is a Conflict.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	return e.call(ctx, "remove volume "+name, func(c *client.Client) error {
		return gone(c.VolumeRemove(ctx, name, false))
	})
}

// RemoveImage implements deploy.Driver. One that is gone already is no error;
// one that a container uses is a Conflict.
func (e *Engine) RemoveImage(ctx context.Context, ref string) error {
	return e.call(ctx, "remove image "+ref, func(c *client.Client) error {
		_, err := c.ImageRemove(ctx, ref, image.RemoveOptions{PruneChildren: true})
		if err != nil && strings.Contains(err.Error(), "unrecognized image ID") {
			// What it was built upon has just gone with another image.
			_, err = c.ImageInspect(ctx, ref)
			if err == nil {
				_, err = c.ImageRemove(ctx, ref, image.RemoveOptions{PruneChildren: true})
			}
		}
		return gone(err)
	})
}

// Tag implements deploy.Driver.
func (e *Engine) Tag(ctx context.Context, id, ref string) error {
	return e.call(ctx, "tag image "+ref, func(c *client.Client) error {
		return c.ImageTag(ctx, id, ref)
	})
}

// gone takes 'not found' for a success.
func gone(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
