package dockerx

import (
	"fmt"
	"sort"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/versions"
)

// checkKeys refuses what can't be honoured: keys that no engine knows what to
// do with, and those that the engine is too old for. All of them are named at
// once.
func checkKeys(p *types.Project, s types.ServiceConfig, on target) error {
	k := keyCheck{target: on, at: "services." + s.Name + "."}
	k.service(p, s)
	if len(k.refusals) == 0 {
		return nil
	}
	return unsupported("service "+s.Name, k.refusals)
}

// target is the engine that keys are checked for.
type target struct {
	api string
	os  string // empty: not known
}

// A keyCheck collects the keys that can't be honoured.
type keyCheck struct {
	target
	at       string // path that keys are relative to, with a dot at its end
	refusals Refusals
	ignored  Refusals // and need not be
}

func (k *keyCheck) service(p *types.Project, s types.ServiceConfig) {
	k.neverSupported(s)
	k.deploy(s.Deploy)
	k.needNewer(s)
	k.mounts(s)
	k.networks(s)
	k.files(p, s)
}

func (k *keyCheck) refuse(is bool, key, why string) {
	if is {
		k.refusals = append(k.refusals, Refusal{Key: k.at + key, Why: "is not supported: " + why})
	}
}

// ignore notes what docker compose leaves out as well.
func (k *keyCheck) ignore(is bool, key, why string) {
	if is {
		k.ignored = append(k.ignored, Refusal{Key: k.at + key, Why: "has no effect: " + why})
	}
}

func (k *keyCheck) need(is bool, key, version string) {
	if is && versions.LessThan(k.api, version) {
		k.refusals = append(k.refusals, Refusal{Key: k.at + key, Why: fmt.Sprintf("needs engine API %s, and this engine speaks %s", version, k.api)})
	}
}

func (k *keyCheck) neverSupported(s types.ServiceConfig) {
	k.refuse(s.UseAPISocket, "use_api_socket", "whoever has the engine's socket has the machine; if that is meant, mount /var/run/docker.sock under volumes")
	k.refuse(s.Provider != nil, "provider", "it runs outside the engine")
	k.refuse(len(s.Models) > 0, "models", "it needs a model runner; run the model server as a service")
	k.refuse(s.CredentialSpec != nil && s.CredentialSpec.Config != "", "credential_spec.config", "it needs a swarm; use file or registry")
	k.refuse(s.Net != "", "net", "it has been replaced by network_mode")
	k.refuse(s.LogDriver != "", "log_driver", "it has been replaced by logging.driver")
	k.refuse(len(s.LogOpt) > 0, "log_opt", "it has been replaced by logging.options")
	k.refuse(s.Dockerfile != "", "dockerfile", "it has been replaced by build.dockerfile")
	k.unplanned(s)
}

// unplanned refuses what the engine has no word for, and no plan has a step for.
func (k *keyCheck) unplanned(s types.ServiceConfig) {
	k.refuse(len(s.PreStart) > 0, "pre_start", "no step of a plan does it; use a service that others depend on with service_completed_successfully")
	if s.Deploy == nil {
		return
	}
	if u := s.Deploy.UpdateConfig; u != nil {
		const waits = "each new container has to get ready before the next is replaced; where one doesn't, `up` fails and the old one stays"
		k.ignore(u.Delay != 0, "deploy.update_config.delay", waits)
		k.ignore(u.Monitor != 0, "deploy.update_config.monitor", waits)
		k.ignore(u.MaxFailureRatio != 0, "deploy.update_config.max_failure_ratio", waits)
		k.ignore(u.FailureAction != "" && u.FailureAction != "pause", "deploy.update_config.failure_action", waits)
	}
	k.ignore(s.Deploy.RollbackConfig != nil, "deploy.rollback_config", "nothing is rolled back but the container that didn't get ready")
}

// deploy notes what only a scheduler could do.
func (k *keyCheck) deploy(d *types.DeployConfig) {
	if d == nil {
		return
	}
	const scheduler = "it needs a scheduler, and this is one engine"
	replicated := d.Mode == "" || d.Mode == "replicated" || d.Mode == "global" && (d.Replicas == nil || *d.Replicas == 1)
	k.ignore(!replicated, "deploy.mode", fmt.Sprintf("%q: %s", d.Mode, scheduler))
	k.ignore(len(d.Labels) > 0, "deploy.labels", "they belong to a swarm's service; use labels")
	p := d.Placement
	k.ignore(len(p.Constraints) > 0, "deploy.placement.constraints", scheduler)
	k.ignore(len(p.Preferences) > 0, "deploy.placement.preferences", scheduler)
	k.ignore(p.MaxReplicas > 0, "deploy.placement.max_replicas_per_node", scheduler)
	k.ignore(d.EndpointMode == "vip", "deploy.endpoint_mode", `"vip": it needs a scheduler, and this is one engine`)
	if r := d.Resources.Reservations; r != nil {
		k.ignore(r.NanoCPUs != 0, "deploy.resources.reservations.cpus", scheduler)
		k.ignore(r.Pids != 0, "deploy.resources.reservations.pids", "there are only limits for it")
		k.ignore(len(r.GenericResources) > 0, "deploy.resources.reservations.generic_resources", scheduler)
	}
	if l := d.Resources.Limits; l != nil {
		k.ignore(len(l.Devices) > 0, "deploy.resources.limits.devices", "devices are reserved; use reservations")
		k.ignore(len(l.GenericResources) > 0, "deploy.resources.limits.generic_resources", scheduler)
	}
	if r := d.RestartPolicy; r != nil {
		k.ignore(r.Delay != nil && *r.Delay != 0, "deploy.restart_policy.delay", "the engine has a delay of its own, from 100 ms doubling to a minute")
		k.ignore(r.Window != nil && *r.Window != 0, "deploy.restart_policy.window", "the engine takes a start for a success after 10 s")
		k.refuse(r.MaxAttempts != nil && *r.MaxAttempts > 0 && r.Condition != "on-failure",
			"deploy.restart_policy.max_attempts", "the engine counts attempts only with condition: on-failure")
	}
}

func (k *keyCheck) needNewer(s types.ServiceConfig) {
	k.need(s.Cgroup != "", "cgroup", "1.41")
	k.need(s.Platform != "", "platform", "1.41")
	k.need(len(s.Annotations) > 0, "annotations", "1.43")
	k.need(len(s.Gpus) > 0, "gpus", "1.40")
	for i, d := range s.Devices {
		k.need(isCDI(d), fmt.Sprintf("devices.%d", i), "1.44")
	}
	if h := s.HealthCheck; h != nil && h.StartInterval != nil {
		k.ignore(h.StartPeriod == nil, "healthcheck.start_interval", "it is of use only with healthcheck.start_period")
	}
}

func (k *keyCheck) mounts(s types.ServiceConfig) {
	for i, v := range s.Volumes {
		key := fmt.Sprintf("volumes.%d", i)
		switch v.Type {
		case types.VolumeTypeBind, types.VolumeTypeVolume, types.VolumeTypeTmpfs:
		case types.VolumeTypeNamedPipe:
			k.refuse(k.os != "" && k.os != "windows", key+".type", fmt.Sprintf("%q: only Windows has named pipes, and this engine runs on %s", v.Type, k.os))
		case types.VolumeTypeImage:
			k.need(true, key+".type", "1.48")
		default:
			k.refuse(true, key+".type", fmt.Sprintf("%q: an engine without a swarm doesn't know it", v.Type))
		}
		k.ignore(v.Bind != nil && v.Type != types.VolumeTypeBind, key+".bind", "the mount is of type "+v.Type)
		k.ignore(v.Volume != nil && v.Type != types.VolumeTypeVolume, key+".volume", "the mount is of type "+v.Type)
		k.ignore(v.Tmpfs != nil && v.Type != types.VolumeTypeTmpfs, key+".tmpfs", "the mount is of type "+v.Type)
		k.ignore(v.Image != nil && v.Type != types.VolumeTypeImage, key+".image", "the mount is of type "+v.Type)
		k.need(v.Volume != nil && v.Volume.Subpath != "", key+".volume.subpath", "1.45")
		k.bind(key, v.Bind)
	}
}

func (k *keyCheck) bind(key string, b *types.ServiceVolumeBind) {
	if b == nil {
		return
	}
	switch b.Recursive {
	case "", "enabled":
	case "disabled":
		k.need(true, key+".bind.recursive", "1.40")
	case "readonly", "writable":
		k.need(true, key+".bind.recursive", "1.44")
	default:
		k.refuse(true, key+".bind.recursive", fmt.Sprintf("%q is none of enabled, disabled, readonly, writable", b.Recursive))
	}
	recursive := b.Recursive != "" && b.Recursive != "enabled"
	k.refuse(b.SELinux != "" && (recursive || !bool(b.CreateHostPath)), key+".bind.selinux",
		"the engine relabels only where create_host_path is true and recursive isn't set")
	k.refuse(recursive && bool(b.CreateHostPath) && versions.LessThan(k.api, "1.42"), key+".bind.create_host_path",
		"with recursive it needs engine API 1.42; set it to false")
}

func (k *keyCheck) networks(s types.ServiceConfig) {
	keys := make([]string, 0, len(s.Networks))
	for n := range s.Networks {
		keys = append(keys, n)
	}
	sort.Strings(keys)
	primary := primaryNetwork(s)
	k.refuse(s.NetworkMode != "" && len(s.Networks) > 0, "networks", "it can't be given with network_mode")
	for _, n := range keys {
		cfg := s.Networks[n]
		if cfg == nil {
			continue
		}
		k.need(cfg.InterfaceName != "", "networks."+n+".interface_name", "1.49")
		k.need(cfg.GatewayPriority != 0, "networks."+n+".gw_priority", "1.48")
		if cfg.MacAddress != "" && n != primary {
			k.need(true, "networks."+n+".mac_address", "1.44")
		}
		k.refuse(n == primary && cfg.MacAddress != "" && s.MacAddress != "" && cfg.MacAddress != s.MacAddress,
			"mac_address", "it contradicts networks."+n+".mac_address")
	}
}
