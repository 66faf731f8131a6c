package dockerx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// Refusal is one key of a compose file that can't be honoured, or that has no
// effect.
type Refusal struct {
	Key   string // its path: services.web.volumes.0.volume.subpath
	Why   string // "needs engine API 1.45, and this engine speaks 1.41"
	value bool   // its value makes no sense, and Why is a sentence of its own
}

func (r Refusal) String() string {
	if r.value {
		return r.Key + ": " + r.Why
	}
	return r.Key + " " + r.Why
}

// Refusals is the error of keys that can't be honoured.
type Refusals []Refusal

func (r Refusals) Error() string {
	lines := make([]string, len(r))
	for i, one := range r {
		lines[i] = one.String()
	}
	return strings.Join(lines, "; ")
}

// Check tells whether all that a project says can be had from this engine. It
// changes nothing. Its error holds Refusals where keys can't be honoured, or their
// values make no sense to any engine: all of them, but for one value of a service.
//
// What an image is built with is checked by Build: an image that is there
// already isn't built.
func (e *Engine) Check(ctx context.Context, p *types.Project) error {
	return e.call(ctx, "check project "+p.Name, func(c *client.Client) error {
		return checkProject(p, target{c.ClientVersion(), e.ping.OSType})
	})
}

// Check tells what no engine can do, without one.
func Check(p *types.Project) error { return checkProject(p, target{api: api.DefaultVersion}) }

// Ignored lists the keys that only a swarm, or nobody, does something with: as
// with docker compose, they are no mistake and have no effect.
func Ignored(p *types.Project) Refusals {
	k := checkedKeys(p, target{api: api.DefaultVersion})
	return k.ignored
}

func checkedKeys(p *types.Project, on target) keyCheck {
	k := keyCheck{target: on}
	for _, name := range p.ServiceNames() {
		k.at = "services." + name + "."
		k.service(p, p.Services[name])
	}
	for _, key := range slices.Sorted(maps.Keys(p.Networks)) {
		k.at = "networks." + key + "."
		k.network(p.Networks[key])
	}
	return k
}

func checkProject(p *types.Project, on target) error {
	k := checkedKeys(p, on)
	if len(k.refusals) > 0 {
		return unsupported("project "+p.Name, k.refusals)
	}
	var value *valueError
	if errors.As(uniqueNames(p), &value) {
		k.refusals = append(k.refusals, Refusal{value.key, value.Error(), true})
	}
	names := p.ServiceNames()
	standIns := peers{}
	for _, name := range names {
		standIns[name] = []plan.Container{{ID: name, Name: name}}
	}
	for _, name := range names {
		s := p.Services[name]
		if s.GetScale() == 0 {
			continue
		}
		spec := deploy.ContainerSpec{Service: s, Number: 1, Name: plan.ContainerName(p, s, 1)}
		_, err := convert(p, spec, standIns, on.api)
		var refused Refusals
		switch {
		case errors.As(err, &refused):
			k.refusals = append(k.refusals, refused...)
		case errors.As(err, &value):
			k.refusals = append(k.refusals, Refusal{value.key, value.Error(), true})
		case err != nil:
			return err
		}
	}
	if len(k.refusals) > 0 {
		return &deploy.EngineError{Kind: deploy.Invalid, What: "project " + p.Name, Err: k.refusals, Remedy: "correct what is named, or remove it"}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Networks)) {
		if err := checkPools(key, p.Networks[key].Ipam); err != nil {
			return err
		}
	}
	return nil
}

// uniqueNames refuses two containers of one name.
func uniqueNames(p *types.Project) error {
	owner := map[string]string{}
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		if s.ContainerName == "" {
			continue
		}
		if s.GetScale() > 1 {
			return invalid(name, "container_name", "container_name %q is for one container, and %d are wanted", s.ContainerName, s.GetScale())
		}
		if other, taken := owner[s.ContainerName]; taken {
			return invalid(name, "container_name", "container_name %q is that of service %s already", s.ContainerName, other)
		}
		owner[s.ContainerName] = name
	}
	return nil
}

func (k *keyCheck) network(n types.NetworkConfig) {
	if !bool(n.External) {
		k.need(n.EnableIPv4 != nil, "enable_ipv4", "1.47")
	}
}

// checkPools refuses addresses that are none, which an engine says only when
// other things have been made.
func checkPools(network string, cfg types.IPAMConfig) error {
	bad := func(key, value, what string) error {
		return &deploy.EngineError{
			Kind: deploy.Invalid, What: "network " + network,
			Err: fmt.Errorf("ipam.config: %s %q is no %s", key, value, what), Remedy: "correct the network's configuration",
		}
	}
	for _, pool := range cfg.Config {
		if pool == nil {
			continue
		}
		for key, v := range map[string]string{"subnet": pool.Subnet, "ip_range": pool.IPRange} {
			if _, err := netip.ParsePrefix(v); v != "" && err != nil {
				return bad(key, v, "range of addresses such as 10.1.0.0/16")
			}
		}
		addresses := map[string]string{"gateway": pool.Gateway}
		for name, v := range pool.AuxiliaryAddresses {
			addresses["aux_addresses."+name] = v
		}
		for key, v := range addresses {
			if _, err := netip.ParseAddr(v); v != "" && err != nil {
				return bad(key, v, "IP address")
			}
		}
	}
	return nil
}

// files refuses configs and secrets that only a swarm has.
func (k *keyCheck) files(p *types.Project, s types.ServiceConfig) {
	at := k.at
	defer func() { k.at = at }()
	const swarm = "it needs a swarm"
	one := func(section, source string, o types.FileObjectConfig) {
		k.at = section + "." + source + "."
		k.refuse(bool(o.External), "external", swarm+"; use file, environment or content")
		k.refuse(o.Driver != "", "driver", swarm)
		k.refuse(len(o.DriverOpts) > 0, "driver_opts", swarm)
		k.refuse(o.TemplateDriver != "", "template_driver", swarm)
		k.ignore(len(o.Labels) > 0, "labels", "it needs a swarm: a file in a container has none")
	}
	for _, use := range s.Secrets {
		one("secrets", use.Source, types.FileObjectConfig(p.Secrets[use.Source]))
	}
	for _, use := range s.Configs {
		one("configs", use.Source, types.FileObjectConfig(p.Configs[use.Source]))
	}
}
