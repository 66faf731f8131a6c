package dockerx

import (
	"context"
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"woodwork.dev/ww/runtime/deploy"
)

// cleanupTimeout bounds the removal of what a failed call leaves behind.
const cleanupTimeout = 15 * time.Second

// Create implements deploy.Driver. It takes one call, and one more for each of:
// each further network with an engine API below 1.44, all copied secrets and
// configs, the look-up of other containers that the service refers to.
func (e *Engine) Create(ctx context.Context, p *types.Project, spec deploy.ContainerSpec) (string, error) {
	var id string
	err := e.call(ctx, "create container "+spec.Name, func(c *client.Client) error {
		in, err := e.prepare(ctx, c, p, spec)
		if err != nil {
			return err
		}
		id, err = e.create(ctx, c, in, spec.Name)
		return err
	})
	return id, err
}

// createInput is everything that one container is created from.
type createInput struct {
	container *container.Config
	host      *container.HostConfig
	networks  *network.NetworkingConfig
	platform  *ocispec.Platform
	later     []laterNetwork // those that an old engine takes only one by one
	files     []fileCopy
}

func (e *Engine) prepare(ctx context.Context, c *client.Client, p *types.Project, spec deploy.ContainerSpec) (createInput, error) {
	if err := checkKeys(p, spec.Service, target{c.ClientVersion(), e.ping.OSType}); err != nil {
		return createInput{}, err
	}
	peers, err := findPeers(ctx, c, p, spec.Service, spec.Peers)
	if err != nil {
		return createInput{}, err
	}
	return convert(p, spec, peers, c.ClientVersion())
}

// convert maps a service to what the engine is asked for. It makes no call; it
// reads the files that security_opt and copied secrets name.
func convert(p *types.Project, spec deploy.ContainerSpec, peers peers, api string) (in createInput, err error) {
	s, err := peers.resolve(p, spec.Service)
	if err != nil {
		return in, err
	}
	spec.Service = s
	links := peers.links(p, spec)
	if in.networks, in.later, err = networking(p, spec, links, api); err != nil {
		return in, err
	}
	if in.container, err = containerConfig(p, spec, api); err != nil {
		return in, err
	}
	if in.host, err = hostConfig(p, spec, links, api); err != nil {
		return in, err
	}
	if in.files, err = copiedFiles(p, s); err != nil {
		return in, err
	}
	if len(in.files) > 0 {
		if in.container.Labels[labelCopied], err = copiedLabel(in.files); err != nil {
			return in, err
		}
	}
	in.platform, err = parsePlatform(s)
	return in, err
}

func (e *Engine) create(ctx context.Context, c *client.Client, in createInput, name string) (id string, err error) {
	created, err := c.ContainerCreate(ctx, in.container, in.host, in.networks, in.platform, name)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			e.discard(ctx, c, created.ID)
		}
	}()
	for _, w := range created.Warnings {
		e.log.Warn("the engine warns", "container", name, "warning", w)
	}
	for _, n := range in.later {
		if err := c.NetworkConnect(ctx, n.name, created.ID, n.endpoint); err != nil {
			return "", fmt.Errorf("connect to network %s: %w", n.name, err)
		}
	}
	if err := copyFiles(ctx, c, created.ID, in.files); err != nil {
		return "", err
	}
	return created.ID, nil
}

// discard removes a container that couldn't be finished, also when what stopped
// it is the end of ctx.
func (e *Engine) discard(ctx context.Context, c *client.Client, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	err := c.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil {
		e.log.Warn("a container that couldn't be finished is left behind", "container", id, "error", err)
	}
}

func containerConfig(p *types.Project, spec deploy.ContainerSpec, api string) (*container.Config, error) {
	s := spec.Service
	exposed, err := exposedPorts(s)
	if err != nil {
		return nil, err
	}
	grace := (*time.Duration)(s.StopGracePeriod)
	switch {
	case s.StopSignal != "" && !IsSignal(s.StopSignal):
		return nil, invalid(s.Name, "stop_signal", "%q is no signal: write a name such as SIGTERM, or a number", s.StopSignal)
	case grace != nil && *grace < 0:
		return nil, invalid(s.Name, "stop_grace_period", "%s is less than nothing", *grace)
	}
	if image := imageName(p.Name, s); image != "" {
		if _, err := reference.ParseAnyReference(image); err != nil {
			return nil, invalid(s.Name, "image", "%q is no image's name: %w", image, err)
		}
	}
	cfg := &container.Config{
		Hostname:        s.Hostname,
		Domainname:      s.DomainName,
		User:            s.User,
		ExposedPorts:    exposed,
		Tty:             s.Tty,
		OpenStdin:       s.StdinOpen,
		AttachStdin:     spec.StdinOnce,
		StdinOnce:       spec.StdinOnce,
		AttachStdout:    true,
		AttachStderr:    true,
		Cmd:             []string(s.Command),
		Entrypoint:      []string(s.Entrypoint),
		Image:           imageName(p.Name, s),
		WorkingDir:      s.WorkingDir,
		NetworkDisabled: s.NetworkMode == "disabled",
		Labels:          merged(s.Labels, s.CustomLabels, spec.Labels),
		StopSignal:      s.StopSignal,
		StopTimeout:     wholeSeconds(grace),
		Env:             environment(s.Environment),
		Healthcheck:     healthcheck(s.HealthCheck, api),
	}
	if !endpointHasMAC(api) {
		//lint:ignore SA1019 older engines have it here, and only here
		cfg.MacAddress = primaryMAC(s)
	}
	return cfg, nil
}

// environment lists the variables in order. One without a value takes that of
// the image away.
func environment(m types.MappingWithEquals) []string {
	env := make([]string, 0, len(m))
	for k, v := range m {
		if v == nil {
			env = append(env, k)
			continue
		}
		env = append(env, k+"="+*v)
	}
	sort.Strings(env)
	return env
}

// wholeSeconds rounds up, so that no fraction of a second becomes 'kill at
// once'. Nil stays nil.
func wholeSeconds(d *time.Duration) *int {
	if d == nil {
		return nil
	}
	s := int((*d + time.Second - 1) / time.Second)
	return &s
}

// healthcheck leaves start_interval out where the engine doesn't know it: it
// checks at the usual interval then, and who waits has probes of its own.
func healthcheck(h *types.HealthCheckConfig, api string) *container.HealthConfig {
	if h == nil {
		return nil
	}
	value := func(d *types.Duration) time.Duration {
		if d == nil {
			return 0
		}
		return time.Duration(*d)
	}
	cfg := &container.HealthConfig{
		Test:        h.Test,
		Interval:    value(h.Interval),
		Timeout:     value(h.Timeout),
		StartPeriod: value(h.StartPeriod),
	}
	if versions.GreaterThanOrEqualTo(api, "1.44") {
		cfg.StartInterval = value(h.StartInterval)
	}
	if h.Retries != nil {
		cfg.Retries = int(*h.Retries)
	}
	if h.Disable {
		cfg.Test = []string{"NONE"}
	}
	return cfg
}

// exposedPorts are the published ports and those of expose, which may be
// ranges.
func exposedPorts(s types.ServiceConfig) (nat.PortSet, error) {
	set := nat.PortSet{}
	for _, p := range s.Ports {
		set[portOf(p)] = struct{}{}
	}
	for _, e := range s.Expose {
		proto, ports := nat.SplitProtoPort(e)
		start, end, err := nat.ParsePortRange(ports)
		if err != nil {
			return nil, invalid(s.Name, "expose", "expose %q is neither a port nor a range of ports", e)
		}
		for n := start; n <= end; n++ {
			set[nat.Port(fmt.Sprintf("%d/%s", n, strings.ToLower(proto)))] = struct{}{}
		}
	}
	return set, nil
}

func portOf(p types.ServicePortConfig) nat.Port {
	proto := p.Protocol
	if proto == "" {
		proto = "tcp"
	}
	return nat.Port(fmt.Sprintf("%d/%s", p.Target, proto))
}

func portBindings(s types.ServiceConfig) (nat.PortMap, error) {
	m := nat.PortMap{}
	for i, p := range s.Ports {
		if _, err := netip.ParseAddr(p.HostIP); p.HostIP != "" && err != nil {
			return nil, invalid(s.Name, fmt.Sprintf("ports.%d", i), "ports: host_ip %q is no IP address", p.HostIP)
		}
		if p.Target == 0 || p.Target > 65535 {
			return nil, invalid(s.Name, fmt.Sprintf("ports.%d", i), "ports: target %d is no port: those are 1 to 65535", p.Target)
		}
		if _, _, err := nat.ParsePortRange(p.Published); p.Published != "" && err != nil {
			return nil, invalid(s.Name, fmt.Sprintf("ports.%d", i), "ports: published %q is neither a port nor a range of ports", p.Published)
		}
		port := portOf(p)
		m[port] = append(m[port], nat.PortBinding{HostIP: p.HostIP, HostPort: p.Published})
	}
	return m, nil
}

func parsePlatform(s types.ServiceConfig) (*ocispec.Platform, error) {
	if s.Platform == "" {
		return nil, nil
	}
	parts := strings.Split(s.Platform, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return nil, invalid(s.Name, "platform", "platform %q: write it as os/arch or os/arch/variant", s.Platform)
	}
	p := &ocispec.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}
