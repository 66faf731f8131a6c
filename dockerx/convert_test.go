package dockerx

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"

	"woodwork.dev/ww/runtime/deploy"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// load reads a compose file as if it were in /project.
func load(t *testing.T, yaml []byte) *types.Project {
	t.Helper()
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  "/project",
		ConfigFiles: []types.ConfigFile{{Filename: "/project/compose.yaml", Content: yaml}},
		Environment: types.Mapping{"TOKEN": "value-of-token"},
	}, func(o *loader.Options) { o.SetProjectName("demo", true) })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func specOf(p *types.Project, service string) deploy.ContainerSpec {
	return deploy.ContainerSpec{
		Service: p.Services[service], Number: 1, Name: p.Name + "-" + service + "-1",
		Labels: map[string]string{labelProject: p.Name, labelService: service},
	}
}

// TestCreateRequest compares the whole request to create a container, for every
// key there is, with what is known to be right.
func TestCreateRequest(t *testing.T) {
	yaml, err := os.ReadFile("testdata/all.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := load(t, yaml)
	for _, tt := range []struct{ service, api string }{
		{"all", "1.41"}, {"all", "1.51"}, {"limited", "1.41"}, {"plain", "1.51"},
	} {
		t.Run(tt.service+" "+tt.api, func(t *testing.T) {
			spec := specOf(p, tt.service)
			if err := checkKeys(p, spec.Service, target{api: tt.api}); err != nil {
				t.Fatal(err)
			}
			in, err := convert(p, spec, nil, tt.api)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "create-"+tt.service+"-"+tt.api+".json", requestJSON(t, in))
		})
	}
}

// requestJSON is everything that a container is created from, as JSON without
// what is empty.
func requestJSON(t *testing.T, in createInput) []byte {
	t.Helper()
	type file struct {
		Path, Content string
		Mode          int64
		UID, GID      int
	}
	all := map[string]any{
		"create":   container.CreateRequest{Config: in.container, HostConfig: in.host, NetworkingConfig: in.networks},
		"platform": in.platform,
	}
	var later []any
	for _, n := range in.later {
		later = append(later, map[string]any{"network": n.name, "endpoint": n.endpoint})
	}
	var files []file
	for _, f := range in.files {
		files = append(files, file{f.path, string(f.content), f.mode, f.uid, f.gid})
	}
	all["connect"], all["copy"] = later, files
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(withoutEmpty(v), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			e = withoutEmpty(e)
			if (e == nil || e == "" || e == false || e == 0.0) && !strings.HasPrefix(k, "/") { // paths are no fields
				delete(v, k)
				continue
			}
			v[k] = e
		}
	case []any:
		for i := range v {
			v[i] = withoutEmpty(v[i])
		}
	}
	return v
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update rewrites it); got:\n%s", path, got)
	}
}

func TestUnsupportedKeys(t *testing.T) {
	for name, tt := range map[string]struct {
		yaml string // of the service
		api  string
		says string
	}{
		"socket":        {"use_api_socket: true", "1.51", "use_api_socket"},
		"provider":      {"provider: {type: x}", "1.51", "provider"},
		"annotations":   {"annotations: {a: b}", "1.41", "annotations needs engine API 1.43"},
		"image mount":   {"volumes: [{type: image, source: x, target: /x}]", "1.47", "1.48"},
		"subpath":       {"volumes: [{type: volume, source: v, target: /x, volume: {subpath: y}}]", "1.44", "volumes.0.volume.subpath needs engine API 1.45"},
		"cluster":       {"volumes: [{type: cluster, source: v, target: /x}]", "1.51", "cluster"},
		"recursive":     {"volumes: [{type: bind, source: /a, target: /x, bind: {recursive: readonly, create_host_path: false}}]", "1.43", "volumes.0.bind.recursive needs engine API 1.44"},
		"relabel":       {"volumes: [{type: bind, source: /a, target: /x, bind: {selinux: Z, create_host_path: false}}]", "1.51", "bind.selinux"},
		"interface":     {"networks: {default: {interface_name: eth9}}", "1.48", "networks.default.interface_name needs engine API 1.49"},
		"gateway":       {"networks: {default: {gw_priority: 1}}", "1.44", "gw_priority needs engine API 1.48"},
		"second mac":    {"networks: {default: {priority: 2}, other: {mac_address: '02:42:ac:11:00:02'}}", "1.43", "networks.other.mac_address needs engine API 1.44"},
		"restart count": {"deploy: {restart_policy: {max_attempts: 5}}", "1.51", "deploy.restart_policy.max_attempts"},
	} {
		t.Run(name, func(t *testing.T) {
			p := load(t, []byte("services:\n  s:\n    image: x\n    "+tt.yaml+"\nnetworks: {default: {}, other: {}}\nvolumes: {v: {}}\n"))
			err := checkKeys(p, p.Services["s"], target{tt.api, "linux"})
			e := wantKind(t, err, deploy.Unsupported)
			if !strings.Contains(e.Error(), tt.says) || !strings.Contains(e.Error(), "service s") {
				t.Errorf("%q doesn't say %q", e, tt.says)
			}
		})
	}
}

// TestIgnoredKeys: what docker compose does nothing with is told, and is no
// mistake.
func TestIgnoredKeys(t *testing.T) {
	for name, tt := range map[string]struct {
		yaml string // of the service
		keys string
	}{
		"start interval":  {"healthcheck: {test: [CMD, x], start_interval: 1s}", "healthcheck.start_interval"},
		"global":          {"deploy: {mode: global}", ""},
		"global and many": {"deploy: {mode: global, replicas: 2}", "deploy.mode"},
		"job":             {"deploy: {mode: replicated-job}", "deploy.mode"},
		"placement":       {"deploy: {placement: {constraints: [node.role==manager], max_replicas_per_node: 1}}", "deploy.placement.constraints deploy.placement.max_replicas_per_node"},
		"cpu reserved":    {"deploy: {resources: {reservations: {cpus: '1', memory: 1m}}}", "deploy.resources.reservations.cpus"},
		"restart":         {"deploy: {restart_policy: {condition: on-failure, max_attempts: 3, delay: 5s, window: 1m}}", "deploy.restart_policy.delay deploy.restart_policy.window"},
		"update":          {"deploy: {update_config: {parallelism: 2, failure_action: rollback}, rollback_config: {order: stop-first}}", "deploy.update_config.failure_action deploy.rollback_config"},
		"labels":          {"deploy: {labels: {a: b}, endpoint_mode: vip}", "deploy.labels deploy.endpoint_mode"},
		"DNS":             {"deploy: {endpoint_mode: dnsrr}", ""},
		"another's mount": {"volumes: [{type: volume, source: v, target: /x, bind: {selinux: z}, tmpfs: {size: 1}}]", "volumes.0.bind volumes.0.tmpfs"},
	} {
		t.Run(name, func(t *testing.T) {
			p := load(t, []byte("services:\n  s:\n    image: x\n    "+tt.yaml+"\nvolumes: {v: {}}\n"))
			if err := Check(p); err != nil {
				t.Error(err)
			}
			var keys []string
			for _, r := range Ignored(p) {
				keys = append(keys, strings.TrimPrefix(r.Key, "services.s."))
			}
			if want := strings.Fields(tt.keys); !slices.Equal(slices.Sorted(slices.Values(keys)), slices.Sorted(slices.Values(want))) {
				t.Errorf("%q, want %q", keys, want)
			}
		})
	}
}

func TestInvalidValues(t *testing.T) {
	for name, change := range map[string]func(*types.ServiceConfig){
		"ports.1": func(s *types.ServiceConfig) {
			s.Ports = []types.ServicePortConfig{{Target: 80}, {Target: 99999}}
		},
		"ports.0":  func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 80, Published: "70000"}} },
		"expose":   func(s *types.ServiceConfig) { s.Expose = []string{"http"} },
		"host ip":  func(s *types.ServiceConfig) { s.Ports = []types.ServicePortConfig{{Target: 1, HostIP: "localhost"}} },
		"dns":      func(s *types.ServiceConfig) { s.DNS = []string{"dns.example"} },
		"restart":  func(s *types.ServiceConfig) { s.Restart = "sometimes" },
		"count":    func(s *types.ServiceConfig) { s.Restart = "on-failure:x" },
		"platform": func(s *types.ServiceConfig) { s.Platform = "linux" },
		"security": func(s *types.ServiceConfig) { s.SecurityOpt = []string{"nonsense"} },
		"profile":  func(s *types.ServiceConfig) { s.SecurityOpt = []string{"seccomp=missing.json"} },
		"address": func(s *types.ServiceConfig) {
			s.Networks = map[string]*types.ServiceNetworkConfig{"default": {Ipv4Address: "10.0.0"}}
		},
		"mac": func(s *types.ServiceConfig) {
			s.Networks = map[string]*types.ServiceNetworkConfig{"default": {MacAddress: "x"}}
		},
		"network": func(s *types.ServiceConfig) {
			s.Networks = map[string]*types.ServiceNetworkConfig{"undeclared": nil}
		},
		"bind": func(s *types.ServiceConfig) { s.Volumes = []types.ServiceVolumeConfig{{Type: "bind", Target: "/x"}} },
	} {
		t.Run(name, func(t *testing.T) {
			p := load(t, []byte("services: {s: {image: x}}\n"))
			s := p.Services["s"]
			change(&s)
			p.Services["s"] = s
			_, err := convert(p, specOf(p, "s"), nil, "1.51")
			e := wantKind(t, err, deploy.Invalid)
			if !strings.Contains(e.Error(), "service s: ") {
				t.Errorf("%q doesn't name the service", e)
			}
		})
	}
}

func TestHashes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config any
		want   string
	}{
		{"network", types.NetworkConfig{Name: "t3_default"}, `{"name":"t3_default","ipam":{}}`},
		{"volume", types.VolumeConfig{Name: "v", Driver: "local"}, `{"name":"v","driver":"local"}`},
	} {
		got, err := hashOf(tt.config)
		want, _ := hashOf(json.RawMessage(tt.want))
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want the hash of %s", tt.name, got, err, tt.want)
		}
	}
	a, _ := volumeHash(types.VolumeConfig{Name: "v"})
	b, _ := volumeHash(types.VolumeConfig{Name: "v", Driver: "local"})
	if a != b {
		t.Error("a volume's driver doesn't default to local")
	}
}
