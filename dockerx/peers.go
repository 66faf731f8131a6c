package dockerx

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// peers are the containers of a project by service, for the keys of a service
// that refer to other services' containers.
type peers map[string][]plan.Container

// findPeers lists the project's containers if the service refers to any. The
// container that the caller names for a service comes first.
func findPeers(ctx context.Context, c *client.Client, p *types.Project, s types.ServiceConfig, first map[string]string) (peers, error) {
	if !refersToPeers(p, s) {
		return nil, nil
	}
	list, err := listContainers(ctx, c, p.Name)
	if err != nil {
		return nil, err
	}
	found := peers{}
	for _, ctr := range list { // in the order of their numbers
		if !ctr.OneOff {
			found[ctr.Service] = append(found[ctr.Service], ctr)
		}
	}
	for service, id := range first {
		slices.SortStableFunc(found[service], func(a, b plan.Container) int {
			switch id {
			case a.ID:
				return -1
			case b.ID:
				return 1
			}
			return 0
		})
	}
	return found, nil
}

func refersToPeers(p *types.Project, s types.ServiceConfig) bool {
	for _, mode := range []string{s.NetworkMode, s.Ipc, s.Pid} {
		if strings.HasPrefix(mode, types.ServicePrefix) {
			return true
		}
	}
	return len(s.Links) > 0 || slices.ContainsFunc(s.VolumesFrom, func(v string) bool {
		_, isService := volumesFromService(p, v)
		return isService
	})
}

// volumesFromService is the service that an entry of volumes_from names, if it
// names one: it may also be a container, by prefix or resolved before.
func volumesFromService(p *types.Project, entry string) (string, bool) {
	name, _, _ := strings.Cut(entry, ":")
	_, ok := p.Services[name]
	return name, ok && name != "container"
}

// resolve replaces the names of services by the ids of their first containers.
func (ps peers) resolve(p *types.Project, s types.ServiceConfig) (types.ServiceConfig, error) {
	for key, mode := range map[string]*string{"network_mode": &s.NetworkMode, "ipc": &s.Ipc, "pid": &s.Pid} {
		name, ok := strings.CutPrefix(*mode, types.ServicePrefix)
		if !ok {
			continue
		}
		id, err := ps.first(s.Name, key, name)
		if err != nil {
			return s, err
		}
		*mode = types.ContainerPrefix + id
	}
	s.VolumesFrom = slices.Clone(s.VolumesFrom)
	for i, entry := range s.VolumesFrom {
		name, ok := volumesFromService(p, entry)
		if !ok {
			s.VolumesFrom[i] = strings.TrimPrefix(entry, types.ContainerPrefix)
			continue
		}
		id, err := ps.first(s.Name, "volumes_from", name)
		if err != nil {
			return s, err
		}
		s.VolumesFrom[i] = id + strings.TrimPrefix(entry, name)
	}
	return s, nil
}

func (ps peers) first(service, key, other string) (string, error) {
	if len(ps[other]) > 0 {
		return ps[other][0].ID, nil
	}
	return "", &deploy.EngineError{
		Kind:   deploy.NotFound,
		What:   "service " + service,
		Err:    fmt.Errorf("%s: service %s has no container", key, other),
		Remedy: fmt.Sprintf("create service %s first", other),
	}
}

// links are the names that a container gives to others, in the three forms that
// compose gives each.
func (ps peers) links(p *types.Project, spec deploy.ContainerSpec) []string {
	var links []string
	number := strconv.Itoa(spec.Number)
	for _, l := range spec.Service.Links {
		service, alias, ok := strings.Cut(l, ":")
		if !ok {
			alias = service
		}
		for _, ctr := range ps[service] {
			to := plan.FinalName(ctr.Name)
			links = append(links,
				to+":"+alias,
				to+":"+service+"-"+number,
				to+":"+p.Name+"-"+service+"-"+number)
		}
	}
	for _, l := range spec.Service.ExternalLinks {
		name, alias, ok := strings.Cut(l, ":")
		if !ok {
			alias = name
		}
		links = append(links, name+":"+alias)
	}
	return links
}
