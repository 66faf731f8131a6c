package compose

import (
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// hashed is the service whose hash docker compose v2.40.3 and v5.5.0 agree on.
func hashed() types.ServiceConfig {
	timeout, interval, retries := types.Duration(2*time.Second), types.Duration(time.Second), uint64(30)
	return types.ServiceConfig{
		Name:        "web",
		Image:       "tinybench:1",
		HealthCheck: &types.HealthCheckConfig{Test: []string{"CMD", "/app", "probe"}, Timeout: &timeout, Interval: &interval, Retries: &retries},
		Networks:    map[string]*types.ServiceNetworkConfig{"default": nil},
	}
}

func hashOf(t *testing.T, s types.ServiceConfig) string {
	t.Helper()
	h, err := Hash(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHashIsDockerComposes(t *testing.T) {
	if h := hashOf(t, hashed()); !strings.HasPrefix(h, "2a52aba9") || len(h) != 64 {
		t.Errorf("hash %s", h)
	}
}

func TestHashChanges(t *testing.T) {
	value, three := "v", 3
	for name, tt := range map[string]struct {
		change  func(*types.ServiceConfig)
		matters bool
	}{
		"name":        {func(s *types.ServiceConfig) { s.Name = "other" }, false},
		"build":       {func(s *types.ServiceConfig) { s.Build = &types.BuildConfig{Context: "."} }, false},
		"pull policy": {func(s *types.ServiceConfig) { s.PullPolicy = "always" }, false},
		"scale":       {func(s *types.ServiceConfig) { s.Scale = &three }, false},
		"profiles":    {func(s *types.ServiceConfig) { s.Profiles = []string{"debug"} }, false},
		"dependencies": {func(s *types.ServiceConfig) {
			s.DependsOn = types.DependsOnConfig{"db": {Condition: "service_healthy"}}
		}, false},
		"extensions":     {func(s *types.ServiceConfig) { s.Extensions = types.Extensions{"x-y": 1} }, false},
		"Compose labels": {func(s *types.ServiceConfig) { s.CustomLabels = types.Labels{"a": "b"} }, false},
		"image":          {func(s *types.ServiceConfig) { s.Image = "tinybench:2" }, true},
		"command":        {func(s *types.ServiceConfig) { s.Command = types.ShellCommand{"x"} }, true},
		"no command":     {func(s *types.ServiceConfig) { s.Command = types.ShellCommand{} }, true},
		"entrypoint":     {func(s *types.ServiceConfig) { s.Entrypoint = types.ShellCommand{"x"} }, true},
		"environment":    {func(s *types.ServiceConfig) { s.Environment = types.MappingWithEquals{"A": &value} }, true},
		"labels":         {func(s *types.ServiceConfig) { s.Labels = types.Labels{"a": "b"} }, true},
		"ports":          {func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 1}} }, true},
		"volumes":        {func(s *types.ServiceConfig) { s.Volumes = []types.ServiceVolumeConfig{{Target: "/x"}} }, true},
		"secrets":        {func(s *types.ServiceConfig) { s.Secrets = []types.ServiceSecretConfig{{Source: "x"}} }, true},
		"configs":        {func(s *types.ServiceConfig) { s.Configs = []types.ServiceConfigObjConfig{{Source: "x"}} }, true},
		"network":        {func(s *types.ServiceConfig) { s.NetworkMode = "host" }, true},
		"user":           {func(s *types.ServiceConfig) { s.User = "1:1" }, true},
		"read-only":      {func(s *types.ServiceConfig) { s.ReadOnly = true }, true},
		"restart":        {func(s *types.ServiceConfig) { s.Restart = "always" }, true},
		"health check":   {func(s *types.ServiceConfig) { s.HealthCheck = &types.HealthCheckConfig{Disable: true} }, true},
	} {
		s := hashed()
		tt.change(&s)
		if changed := hashOf(t, s) != hashOf(t, hashed()); changed != tt.matters {
			t.Errorf("%s: changed is %v, want %v", name, changed, tt.matters)
		}
	}
}

func TestHashOfDeploy(t *testing.T) {
	one, two := 1, 2
	with := func(d types.DeployConfig) string { s := hashed(); s.Deploy = &d; return hashOf(t, s) }
	if with(types.DeployConfig{Replicas: &one}) != with(types.DeployConfig{Replicas: &two}) {
		t.Error("the number of replicas matters")
	}
	limits := types.DeployConfig{Replicas: &one, Resources: types.Resources{Limits: &types.Resource{Pids: 5}}}
	if with(limits) == with(types.DeployConfig{Replicas: &one}) {
		t.Error("limits don't matter")
	}
	if limits.Replicas == nil {
		t.Error("the caller's service was changed")
	}
}

func TestHashesOfNetworksAndVolumes(t *testing.T) {
	h, err := NetworkHash(types.NetworkConfig{Name: "t3_default"})
	if want := contentDigest([]byte(`{"name":"t3_default","ipam":{}}`)); err != nil || h != want {
		t.Errorf("network: %s, %v, want %s", h, err, want)
	}
	a, errA := VolumeHash(types.VolumeConfig{Name: "v"})
	b, errB := VolumeHash(types.VolumeConfig{Name: "v", Driver: "local"})
	c, errC := VolumeHash(types.VolumeConfig{Name: "v", Driver: "nfs"})
	if a != b || a == c || errA != nil || errB != nil || errC != nil {
		t.Errorf("volumes: %s, %s, %s", a, b, c)
	}
}

// TestHashOfEnvFile: docker compose puts what env_file says into the
// environment before it computes the hash, and forgets where it comes from.
func TestHashOfEnvFile(t *testing.T) {
	clearEnvironment(t, nil)
	dir := folder(t, map[string]string{
		"a.yml": "name: x\nservices: {s: {image: i, env_file: vars}}\n",
		"b.yml": "name: x\nservices: {s: {image: i, environment: {A: one}}}\n", "vars": "A=one\n",
	})
	a := hashes(t, mustLoad(t, Request{Files: []string{dir + "/a.yml"}}))
	b := hashes(t, mustLoad(t, Request{Files: []string{dir + "/b.yml"}}))
	if a["s"] != b["s"] {
		t.Errorf("%s and %s", a["s"], b["s"])
	}
	write(t, dir+"/vars", "A=two\n")
	if c := hashes(t, mustLoad(t, Request{Files: []string{dir + "/a.yml"}})); c["s"] == a["s"] {
		t.Error("a change of the file isn't seen")
	}
}
