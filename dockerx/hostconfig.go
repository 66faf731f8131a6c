package dockerx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"

	"woodwork.dev/ww/runtime/deploy"
)

func hostConfig(p *types.Project, spec deploy.ContainerSpec, links []string, api string) (*container.HostConfig, error) {
	s := spec.Service
	bindings, err := portBindings(s)
	if err != nil {
		return nil, err
	}
	binds, mounts, err := mountsOf(p, s, api)
	if err != nil {
		return nil, err
	}
	security, unconfined, err := securityOptions(p, s)
	if err != nil {
		return nil, err
	}
	for i, d := range s.DNS {
		if _, err := netip.ParseAddr(d); err != nil {
			return nil, invalid(s.Name, fmt.Sprintf("dns.%d", i), "dns: %q is no IP address", d)
		}
	}
	restart, err := restartPolicy(s)
	if err != nil {
		return nil, err
	}
	h := &container.HostConfig{
		Annotations:    s.Annotations,
		AutoRemove:     spec.AutoRemove,
		Binds:          binds,
		Mounts:         mounts,
		Tmpfs:          tmpfs(s.Tmpfs),
		CapAdd:         s.CapAdd,
		CapDrop:        s.CapDrop,
		CgroupnsMode:   container.CgroupnsMode(s.Cgroup),
		DNS:            s.DNS,
		DNSOptions:     s.DNSOpts,
		DNSSearch:      s.DNSSearch,
		ExtraHosts:     extraHosts(s.ExtraHosts),
		GroupAdd:       s.GroupAdd,
		Init:           s.Init,
		IpcMode:        container.IpcMode(s.Ipc),
		Isolation:      container.Isolation(s.Isolation),
		Links:          links,
		LogConfig:      logConfig(s.Logging),
		NetworkMode:    networkMode(p, s),
		OomScoreAdj:    int(s.OomScoreAdj),
		PidMode:        container.PidMode(s.Pid),
		PortBindings:   bindings,
		Privileged:     s.Privileged,
		ReadonlyRootfs: s.ReadOnly,
		Resources:      resources(s),
		RestartPolicy:  restart,
		Runtime:        s.Runtime,
		SecurityOpt:    security,
		ShmSize:        int64(s.ShmSize),
		StorageOpt:     s.StorageOpt,
		Sysctls:        s.Sysctls,
		UsernsMode:     container.UsernsMode(s.UserNSMode),
		UTSMode:        container.UTSMode(s.Uts),
		VolumeDriver:   s.VolumeDriver,
		VolumesFrom:    s.VolumesFrom,
	}
	if unconfined {
		// Empty lists, unlike none, take the engine's own away.
		h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
	}
	return h, nil
}

func tmpfs(list types.StringList) map[string]string {
	m := map[string]string{}
	for _, t := range list {
		path, opts, _ := strings.Cut(t, ":")
		m[path] = opts
	}
	return m
}

func extraHosts(hosts types.HostsList) []string {
	list := hosts.AsList(":")
	sort.Strings(list)
	return list
}

func logConfig(l *types.LoggingConfig) container.LogConfig {
	if l == nil {
		return container.LogConfig{}
	}
	return container.LogConfig{Type: l.Driver, Config: l.Options}
}

// restartPolicy is restart, or deploy.restart_policy where there is one, as in
// compose. A policy without a condition means any, as the specification says.
func restartPolicy(s types.ServiceConfig) (container.RestartPolicy, error) {
	key, name, attempts := "restart", s.Restart, 0
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil {
		key, name = "deploy.restart_policy.condition", s.Deploy.RestartPolicy.Condition
		if name == "" {
			name = "any"
		}
		if n := s.Deploy.RestartPolicy.MaxAttempts; n != nil {
			attempts = int(*n)
		}
	} else if policy, count, ok := strings.Cut(s.Restart, ":"); ok {
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 || policy != "on-failure" {
			return container.RestartPolicy{}, invalid(s.Name, key, "restart %q: write on-failure:NUMBER", s.Restart)
		}
		name, attempts = policy, n
	}
	mode, ok := map[string]container.RestartPolicyMode{
		"":               "",
		"no":             container.RestartPolicyDisabled,
		"none":           container.RestartPolicyDisabled,
		"on-failure":     container.RestartPolicyOnFailure,
		"unless-stopped": container.RestartPolicyUnlessStopped,
		"any":            container.RestartPolicyAlways,
		"always":         container.RestartPolicyAlways,
	}[name]
	if !ok {
		return container.RestartPolicy{}, invalid(s.Name, key, "restart policy %q is none of no, always, on-failure, unless-stopped", name)
	}
	return container.RestartPolicy{Name: mode, MaximumRetryCount: attempts}, nil
}

// securityOptions reads seccomp profiles, which the engine wants by value, and
// tells whether the engine's masked paths are to be left out.
func securityOptions(p *types.Project, s types.ServiceConfig) (opts []string, unconfined bool, err error) {
	for _, opt := range s.SecurityOpt {
		name, value, ok := strings.Cut(opt, "=")
		if !ok {
			name, value, ok = strings.Cut(opt, ":")
		}
		switch {
		case opt == "systempaths=unconfined":
			unconfined = true
			continue
		case !ok && opt != "no-new-privileges":
			return nil, false, invalid(s.Name, "security_opt", "security_opt %q: write it as name=value", opt)
		case name == "seccomp" && value != "unconfined" && value != "builtin":
			if opt, err = seccompProfile(p, value); err != nil {
				return nil, false, invalid(s.Name, "security_opt", "security_opt: seccomp profile: %w", err)
			}
		}
		opts = append(opts, opt)
	}
	if c := s.CredentialSpec; c != nil && c.File != "" {
		opts = append(opts, "credentialspec=file://"+c.File)
	} else if c != nil && c.Registry != "" {
		opts = append(opts, "credentialspec=registry://"+c.Registry)
	}
	return opts, unconfined, nil
}

func seccompProfile(p *types.Project, path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.WorkingDir, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return "seccomp=" + b.String(), nil
}
