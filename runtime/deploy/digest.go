package deploy

import (
	"context"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/sync/errgroup"

	"woodwork.dev/ww/runtime/plan"
)

// Digests give what the parts of a project are compared by with what is there.
// Those that are nil aren't compared.
type Digests struct {
	Service func(types.ServiceConfig) (string, error) // the one of docker compose
	Effect  func(types.ServiceConfig) (string, error) // of what has an effect on a container
	Network func(types.NetworkConfig) (string, error)
	Volume  func(types.VolumeConfig) (string, error)
	// Contents gives those of the configs and secrets of services. It is asked
	// when the plan is made: files may be written just before that.
	Contents func(*types.Project) (map[string]string, error)
}

// inspections is how many containers are looked at at a time.
const inspections = 8

// plan works out what is to be done, with the reasons for it: it has a look at
// each container whose configuration isn't the wanted one.
func (e *executor) plan(ctx context.Context, have plan.Observed, opts plan.Options) (plan.Wanted, plan.Plan, error) {
	want, err := e.wanted(have)
	if err != nil {
		return want, plan.Plan{}, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inspections)
	have.Containers = slices.Clone(have.Containers)
	peers := firstContainers(have)
	for i := range have.Containers {
		c := &have.Containers[i]
		s, wanted := e.project.Services[c.Service]
		if !wanted || c.OneOff || !want.Differs(c.Service, c) || s.Image != "" && s.Image != c.Image {
			continue
		}
		g.Go(func() error {
			// Without an answer the plan is the same, and says less.
			spec := ContainerSpec{Service: s, Number: c.Number, Name: c.Name, Peers: peers}
			c.Changes, _ = e.driver.Differences(ctx, c.ID, e.project, spec)
			return nil
		})
	}
	_ = g.Wait()
	p, err := plan.Up(want, have, opts)
	return want, p, err
}

func (e *executor) wanted(have plan.Observed) (plan.Wanted, error) {
	p, d := e.project, e.digests
	w := plan.Wanted{
		Project: p, Hashes: map[string]string{}, Effects: map[string]string{}, Networks: map[string]string{}, Volumes: map[string]string{},
	}
	if d.Contents != nil {
		var err error
		if w.Contents, err = d.Contents(p); err != nil {
			return w, err
		}
	}
	peers := firstContainers(have)
	for name, s := range p.Services {
		s = named(s, peers)
		if err := digest(w.Hashes, name, d.Service, s); err != nil {
			return w, err
		}
		if err := digest(w.Effects, name, d.Effect, s); err != nil {
			return w, err
		}
	}
	for key, n := range p.Networks {
		if err := digest(w.Networks, key, d.Network, n); err != nil {
			return w, err
		}
	}
	for key, v := range p.Volumes {
		if err := digest(w.Volumes, key, d.Volume, v); err != nil {
			return w, err
		}
	}
	return w, nil
}

func digest[T any](all map[string]string, key string, of func(T) (string, error), v T) error {
	if of == nil {
		return nil
	}
	h, err := of(v)
	all[key] = h
	return err
}

// firstContainers gives the container that references to a service mean.
func firstContainers(have plan.Observed) map[string]string {
	first := map[string]plan.Container{}
	for _, c := range have.Containers {
		if f, ok := first[c.Service]; !c.OneOff && (!ok || c.Number < f.Number) {
			first[c.Service] = c
		}
	}
	ids := make(map[string]string, len(first))
	for service, c := range first {
		ids[service] = c.ID
	}
	return ids
}

// named puts the ids of containers in the place of the services that others
// share parts of: Compose's digest is of that. A service that has no container
// yet is left as it is.
func named(s types.ServiceConfig, peers map[string]string) types.ServiceConfig {
	if !plan.SharesContainers(s) {
		return s
	}
	for _, mode := range []*string{&s.NetworkMode, &s.Ipc, &s.Pid} {
		if id := peers[strings.TrimPrefix(*mode, types.ServicePrefix)]; id != "" && strings.HasPrefix(*mode, types.ServicePrefix) {
			*mode = types.ContainerPrefix + id
		}
	}
	s.VolumesFrom = slices.Clone(s.VolumesFrom)
	for i, from := range s.VolumesFrom {
		parts := strings.Split(from, ":")
		if parts[0] == "container" && len(parts) > 1 {
			s.VolumesFrom[i] = parts[1]
		} else if id := peers[parts[0]]; id != "" {
			s.VolumesFrom[i] = id
		}
	}
	return s
}
