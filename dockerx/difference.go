package dockerx

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
)

// Rename implements deploy.Driver.
func (e *Engine) Rename(ctx context.Context, id, name string) error {
	return e.call(ctx, "rename container to "+name, func(c *client.Client) error {
		return c.ContainerRename(ctx, id, name)
	})
}

// Differences implements deploy.Driver. It compares what the service would be
// created from with what the engine says of the container, and leaves out what
// comes from the image. It takes two calls, and one more where the service
// refers to other containers.
func (e *Engine) Differences(ctx context.Context, id string, p *types.Project, spec deploy.ContainerSpec) ([]string, error) {
	var changes []string
	err := e.call(ctx, "compare container "+spec.Name, func(c *client.Client) error {
		in, err := e.prepare(ctx, c, p, spec)
		if err != nil {
			return err
		}
		is, err := c.ContainerInspect(ctx, id)
		if err != nil {
			return err
		}
		var image container.Config
		if i, err := c.ImageInspect(ctx, is.Image); err == nil && i.Config != nil {
			image.Env, image.Labels = i.Config.Env, i.Config.Labels
			image.Cmd, image.Entrypoint = i.Config.Cmd, i.Config.Entrypoint
			image.User, image.WorkingDir, image.StopSignal = i.Config.User, i.Config.WorkingDir, i.Config.StopSignal
		}
		changes = differences(in, is, image)
		return nil
	})
	return changes, err
}

// comparison collects what differs.
type comparison struct{ changes []string }

func (d *comparison) add(what string, how string) { d.changes = append(d.changes, what+" "+how) }

// differences says what of a container isn't as it would be created now.
func differences(in createInput, is container.InspectResponse, image container.Config) []string {
	var d comparison
	if is.Config == nil || is.ContainerJSONBase == nil || is.HostConfig == nil {
		return nil
	}
	was, now := is.Config, in.container
	if was.Image != now.Image {
		d.add("image", "changed: "+was.Image+" → "+now.Image)
	}
	d.keys("environment: ", fromEnv(now.Env), fromEnv(was.Env), fromEnv(image.Env))
	d.keys("label ", foreign(now.Labels), foreign(was.Labels), image.Labels)
	d.value("command", orImage(now.Cmd, image.Cmd), was.Cmd)
	d.value("entrypoint", orImage(now.Entrypoint, image.Entrypoint), was.Entrypoint)
	d.value("user", or(now.User, image.User), was.User)
	d.value("working_dir", or(now.WorkingDir, image.WorkingDir), was.WorkingDir)
	d.value("stop_signal", or(now.StopSignal, image.StopSignal), was.StopSignal)
	d.value("tty", now.Tty, was.Tty)
	d.value("stdin_open", now.OpenStdin, was.OpenStdin)
	if now.Hostname != "" {
		d.value("hostname", now.Hostname, was.Hostname)
	}
	if now.StopTimeout != nil || was.StopTimeout != nil {
		d.value("stop_grace_period", now.StopTimeout, was.StopTimeout)
	}
	if now.Healthcheck != nil {
		d.value("healthcheck", now.Healthcheck, was.Healthcheck)
	} else if was.Healthcheck != nil && image.Healthcheck == nil {
		d.add("healthcheck", "removed")
	}
	d.host(in.host, is.HostConfig)
	d.networks(in, is.NetworkSettings)
	return d.changes
}

// hostKeys are the keys of a host configuration by their names in a service.
var hostKeys = []struct {
	key string
	of  func(*container.HostConfig) any
}{
	{"ports", func(h *container.HostConfig) any { return h.PortBindings }},
	{"restart", func(h *container.HostConfig) any { return h.RestartPolicy }},
	{"network_mode", func(h *container.HostConfig) any { return h.NetworkMode }},
	{"pid", func(h *container.HostConfig) any { return h.PidMode }},
	{"privileged", func(h *container.HostConfig) any { return h.Privileged }},
	{"read_only", func(h *container.HostConfig) any { return h.ReadonlyRootfs }},
	{"cap_add", func(h *container.HostConfig) any { return []string(h.CapAdd) }},
	{"cap_drop", func(h *container.HostConfig) any { return []string(h.CapDrop) }},
	{"security_opt", func(h *container.HostConfig) any { return h.SecurityOpt }},
	{"group_add", func(h *container.HostConfig) any { return h.GroupAdd }},
	{"dns", func(h *container.HostConfig) any { return h.DNS }},
	{"dns_search", func(h *container.HostConfig) any { return h.DNSSearch }},
	{"extra_hosts", func(h *container.HostConfig) any { return h.ExtraHosts }},
	{"tmpfs", func(h *container.HostConfig) any { return h.Tmpfs }},
	{"sysctls", func(h *container.HostConfig) any { return h.Sysctls }},
	{"init", func(h *container.HostConfig) any { return h.Init }},
	{"volumes_from", func(h *container.HostConfig) any { return h.VolumesFrom }},
	{"mem_limit", func(h *container.HostConfig) any { return h.Memory }},
	{"mem_reservation", func(h *container.HostConfig) any { return h.MemoryReservation }},
	{"cpus", func(h *container.HostConfig) any { return h.NanoCPUs }},
	{"cpu_shares", func(h *container.HostConfig) any { return h.CPUShares }},
	{"devices", func(h *container.HostConfig) any { return h.Devices }},
	{"ulimits", func(h *container.HostConfig) any { return h.Ulimits }},
	{"pids_limit", func(h *container.HostConfig) any { return h.PidsLimit }},
}

func (d *comparison) host(now, was *container.HostConfig) {
	for _, k := range hostKeys {
		d.value(k.key, k.of(now), k.of(was))
	}
	if now.LogConfig.Type != "" {
		d.value("logging", now.LogConfig, was.LogConfig)
	}
	if now.ShmSize != 0 {
		d.value("shm_size", now.ShmSize, was.ShmSize)
	}
	d.keys("volume at ", targets(now), targets(was), nil)
}

// targets gives what is mounted where. Volumes without a name have one in the
// engine, which says nothing.
func targets(h *container.HostConfig) map[string]string {
	all := map[string]string{}
	for _, b := range h.Binds {
		source, rest, _ := strings.Cut(b, ":")
		target, mode, _ := strings.Cut(rest, ":")
		all[target] = source + " " + mode
	}
	for _, m := range h.Mounts {
		if len(m.Source) != 64 || m.Type != "volume" {
			all[m.Target] = fmt.Sprint(m.Type, m.Source, m.ReadOnly)
		}
	}
	return all
}

func (d *comparison) networks(in createInput, was *container.NetworkSettings) {
	if was == nil || in.host.NetworkMode.IsContainer() || in.host.NetworkMode.IsHost() {
		return
	}
	now := map[string]*network.EndpointSettings{}
	if in.networks != nil {
		maps.Copy(now, in.networks.EndpointsConfig)
	}
	for _, n := range in.later {
		now[n.name] = n.endpoint
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if was.Networks[name] == nil {
			d.add("network "+name, "added")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was.Networks)) {
		if now[name] == nil {
			d.add("network "+name, "removed")
		}
	}
}

// keys compares two sets, of which the second has what the image brings.
func (d *comparison) keys(what string, now, was, image map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(now)) {
		if v, ok := was[k]; !ok {
			d.add(what+k, "added")
		} else if v != now[k] {
			d.add(what+k, "changed")
		}
	}
	for _, k := range slices.Sorted(maps.Keys(was)) {
		_, stays := now[k]
		if v, brought := image[k]; !stays && (!brought || v != was[k]) {
			d.add(what+k, "removed")
		}
	}
}

// value compares two values as the engine's API would write them, in which
// nothing and an empty list are the same. Values aren't shown: they may be
// secrets.
func (d *comparison) value(what string, now, was any) {
	if empty(now) && empty(was) {
		return
	}
	a, errA := json.Marshal(now)
	b, errB := json.Marshal(was)
	if errA != nil || errB != nil || string(a) == string(b) {
		return
	}
	switch {
	case empty(was):
		d.add(what, "added")
	case empty(now):
		d.add(what, "removed")
	default:
		d.add(what, "changed")
	}
}

func empty(v any) bool {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Slice, reflect.Map:
		return r.Len() == 0
	case reflect.Pointer:
		return r.IsNil() || r.Elem().IsZero()
	}
	return r.IsZero()
}

func fromEnv(env []string) map[string]string {
	all := make(map[string]string, len(env))
	for _, e := range env {
		k, v, _ := strings.Cut(e, "=")
		all[k] = v
	}
	return all
}

// foreign leaves out the labels that Compose and ww give by themselves.
func foreign(labels map[string]string) map[string]string {
	all := map[string]string{}
	for k, v := range labels {
		if !strings.HasPrefix(k, "com.docker.compose.") && k != deploy.LabelEffect && k != deploy.LabelContent {
			all[k] = v
		}
	}
	return all
}

func orImage(now, image []string) []string {
	if now == nil {
		return image
	}
	return now
}

func or(now, image string) string {
	if now == "" {
		return image
	}
	return now
}
