package dockerx

import (
	"maps"
	"net"
	"net/netip"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

const interfaceNameOption = "com.docker.network.endpoint.ifname"

// laterNetwork is a network that a container is connected to after it has been
// created.
type laterNetwork struct {
	name     string
	endpoint *network.EndpointSettings
}

// networking are the networks of a container. The one of the highest priority
// comes with its creation, and with API 1.44 and later all do.
func networking(p *types.Project, spec deploy.ContainerSpec, links []string, api string) (*network.NetworkingConfig, []laterNetwork, error) {
	s := spec.Service
	if s.NetworkMode != "" || len(p.Networks) == 0 {
		return nil, nil, nil
	}
	keys := s.NetworksByPriority()
	if len(keys) == 0 {
		keys = []string{"default"}
	}
	cfg := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{}}
	var later []laterNetwork
	for i, key := range keys {
		n, ok := p.Networks[key]
		if !ok {
			return nil, nil, invalid(s.Name, "networks."+key, "network %q is not declared", key)
		}
		ep, err := endpointSettings(spec, key, links)
		if err != nil {
			return nil, nil, err
		}
		if i == 0 && endpointHasMAC(api) {
			ep.MacAddress = primaryMAC(s)
		}
		if i > 0 && versions.LessThan(api, "1.44") {
			later = append(later, laterNetwork{n.Name, ep})
			continue
		}
		if !endpointHasMAC(api) {
			ep.MacAddress = "" // it is in the container's configuration
		}
		cfg.EndpointsConfig[n.Name] = ep
	}
	return cfg, later, nil
}

// endpointHasMAC tells whether a MAC address belongs to an endpoint: before, a
// container had one.
func endpointHasMAC(api string) bool { return versions.GreaterThanOrEqualTo(api, "1.44") }

// primaryNetwork is the key of the network that a container is created with.
func primaryNetwork(s types.ServiceConfig) string {
	if keys := s.NetworksByPriority(); len(keys) > 0 {
		return keys[0]
	}
	return "default"
}

func primaryMAC(s types.ServiceConfig) string {
	if cfg := s.Networks[primaryNetwork(s)]; cfg != nil && cfg.MacAddress != "" {
		return cfg.MacAddress
	}
	return s.MacAddress
}

// networkMode is the name of the primary network where none is said.
func networkMode(p *types.Project, s types.ServiceConfig) container.NetworkMode {
	switch {
	case s.NetworkMode != "":
		return container.NetworkMode(s.NetworkMode)
	case len(p.Networks) == 0:
		return network.NetworkNone
	}
	return container.NetworkMode(p.Networks[primaryNetwork(s)].Name)
}

func endpointSettings(spec deploy.ContainerSpec, key string, links []string) (*network.EndpointSettings, error) {
	// Who takes the place of another has its name before it gets it: others may
	// know it by that, and it is renamed only when all that is new is ready.
	ep := &network.EndpointSettings{Links: links, Aliases: []string{plan.FinalName(spec.Name)}}
	oneOff := strings.EqualFold(spec.Labels[labelOneOff], "true") && !spec.UseAliases
	if !oneOff { // what runs once must not get a share of its service's requests
		ep.Aliases = append(ep.Aliases, spec.Service.Name)
	}
	cfg := spec.Service.Networks[key]
	if cfg == nil {
		return ep, nil
	}
	if !oneOff {
		ep.Aliases = append(ep.Aliases, cfg.Aliases...)
	}
	if err := checkAddresses(spec.Service.Name, key, cfg); err != nil {
		return nil, err
	}
	ep.IPAMConfig = &network.EndpointIPAMConfig{
		IPv4Address:  cfg.Ipv4Address,
		IPv6Address:  cfg.Ipv6Address,
		LinkLocalIPs: cfg.LinkLocalIPs,
	}
	ep.MacAddress = cfg.MacAddress
	ep.GwPriority = cfg.GatewayPriority
	ep.DriverOpts = maps.Clone(cfg.DriverOpts)
	if cfg.InterfaceName != "" {
		if ep.DriverOpts == nil {
			ep.DriverOpts = map[string]string{}
		}
		ep.DriverOpts[interfaceNameOption] = cfg.InterfaceName
	}
	return ep, nil
}

func checkAddresses(service, key string, cfg *types.ServiceNetworkConfig) error {
	for _, ip := range append([]string{cfg.Ipv4Address, cfg.Ipv6Address}, cfg.LinkLocalIPs...) {
		if _, err := netip.ParseAddr(ip); ip != "" && err != nil {
			return invalid(service, "networks."+key, "networks.%s: %q is no IP address", key, ip)
		}
	}
	if _, err := net.ParseMAC(cfg.MacAddress); cfg.MacAddress != "" && err != nil {
		return invalid(service, "networks."+key, "networks.%s: %q is no MAC address", key, cfg.MacAddress)
	}
	return nil
}
