package dockerx

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"woodwork.dev/ww/runtime/plan"
)

// Source says where an engine's address comes from.
func Source(o Options) string {
	switch {
	case o.Host != "":
		return "--host"
	case o.Context != "":
		return "--context " + o.Context
	case o.Getenv("DOCKER_HOST") != "":
		return "DOCKER_HOST"
	case o.Getenv("DOCKER_CONTEXT") != "":
		return "DOCKER_CONTEXT, " + o.Getenv("DOCKER_CONTEXT")
	}
	if o.ConfigDir == "" {
		o.ConfigDir = defaultConfigDir(o.Getenv)
	}
	if cfg, err := readConfigFile(o.ConfigDir); err == nil && cfg.CurrentContext != "" && cfg.CurrentContext != defaultContext {
		return "docker's current context, " + cfg.CurrentContext
	}
	return "the default"
}

// Local tells that the engine is reached over a socket of this machine.
func (e *Engine) Local() bool { return e.endpoint.network == "unix" || e.endpoint.network == "npipe" }

// Details is what an engine says of itself.
type Details struct {
	Version, API   string
	Storage, Root  string // the driver, and where it keeps everything
	Rootless       bool
	Limits         []string // those that it can't set: memory, swap, cpu, pids
	Warnings       []string
	Time           time.Time // its clock, zero where it doesn't tell
	Ahead          time.Duration
	Proxy          string // for HTTPS, or HTTP
	NoProxy        string
	AddressRanges  int // how many networks its address pools have room for
	CPUs           int
	Memory         int64
	CgroupVersion  string
	ServerPlatform string
}

// Details implements what a diagnosis asks first. It takes two calls.
func (e *Engine) Details(ctx context.Context) (Details, error) {
	var d Details
	err := e.call(ctx, "ask the engine about itself", func(c *client.Client) error {
		begin := time.Now()
		info, err := c.Info(ctx)
		if err != nil {
			return err
		}
		end := time.Now()
		d = Details{
			Version: info.ServerVersion, API: c.ClientVersion(), Storage: info.Driver, Root: info.DockerRootDir,
			Warnings: info.Warnings, NoProxy: info.NoProxy, CPUs: info.NCPU, Memory: info.MemTotal,
			CgroupVersion: info.CgroupVersion, ServerPlatform: info.OperatingSystem,
		}
		d.Proxy = info.HTTPSProxy
		if d.Proxy == "" {
			d.Proxy = info.HTTPProxy
		}
		d.Rootless = slices.ContainsFunc(info.SecurityOptions, func(s string) bool { return strings.Contains(s, "rootless") })
		for _, l := range []struct {
			name string
			can  bool
		}{{"memory", info.MemoryLimit}, {"swap", info.SwapLimit}, {"cpu", info.CPUCfsQuota}, {"pids", info.PidsLimit}} {
			if !l.can && info.OSType == "linux" {
				d.Limits = append(d.Limits, l.name)
			}
		}
		if t, err := time.Parse(time.RFC3339Nano, info.SystemTime); err == nil {
			d.Time, d.Ahead = t, ahead(t, begin, end)
		}
		d.AddressRanges = defaultRanges
		if len(info.DefaultAddressPools) > 0 {
			d.AddressRanges = 0
			for _, p := range info.DefaultAddressPools {
				d.AddressRanges += rangesOf(p.Base, p.Size)
			}
		}
		return nil
	})
	return d, err
}

// ahead is by how much a clock that was read between two moments is ahead of
// this machine's at least; negative: behind.
func ahead(t, begin, end time.Time) time.Duration {
	switch {
	case t.Before(begin):
		return t.Sub(begin)
	case t.After(end):
		return t.Sub(end)
	}
	return 0
}

// defaultRanges is how many networks the pools have room for that an engine has
// by itself: 172.17.0.0 to 172.31.0.0 of 16 bits, and 192.168.0.0/16 in ranges
// of 20.
const defaultRanges = 15 + 16

func rangesOf(base string, size int) int {
	p, err := netip.ParsePrefix(base)
	if err != nil || size < p.Bits() {
		return 0
	}
	return 1 << min(size-p.Bits(), 20)
}

// Survey is what there is on an engine, of whatever project.
type Survey struct {
	Containers []plan.Container
	Networks   map[string]map[string]string // name → labels
	Volumes    map[string]map[string]string
	Ranges     int // networks that have taken an address range
}

// ProjectOf is the project that labels are of; empty: none.
func ProjectOf(labels map[string]string) string { return labels[labelProject] }

// VersionOf is the version of the tool that labels are of.
func VersionOf(labels map[string]string) string { return labels[labelVersion] }

// Survey lists everything on the engine. It takes three calls.
func (e *Engine) Survey(ctx context.Context) (Survey, error) {
	s := Survey{Networks: map[string]map[string]string{}, Volumes: map[string]map[string]string{}}
	err := e.call(ctx, "look at what is on the engine", func(c *client.Client) error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error {
			list, err := c.ContainerList(ctx, container.ListOptions{All: true})
			for _, l := range list {
				s.Containers = append(s.Containers, fromSummary(l))
			}
			return err
		})
		g.Go(func() error {
			list, err := c.NetworkList(ctx, network.ListOptions{})
			for _, n := range list {
				s.Networks[n.Name] = n.Labels
				if n.Driver == "bridge" {
					s.Ranges++
				}
			}
			return err
		})
		g.Go(func() error {
			list, err := c.VolumeList(ctx, volume.ListOptions{})
			for _, v := range list.Volumes {
				s.Volumes[v.Name] = v.Labels
			}
			return err
		})
		return g.Wait()
	})
	return s, err
}

// Available asks the registry, through the engine, whether an image is there,
// and pulls nothing.
func (e *Engine) Available(ctx context.Context, ref string) error {
	what := "look for image " + ref
	return e.call(ctx, what, func(c *client.Client) error {
		auth, err := e.pullAuth(ctx, ref)
		if err != nil {
			return err
		}
		_, err = c.DistributionInspect(ctx, ref, auth)
		return e.pullError(ctx, what, err)
	})
}
