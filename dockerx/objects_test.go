package dockerx

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
)

func TestNetworksAndVolumes(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		p := h.project
		p.Networks["back"] = types.NetworkConfig{Name: p.Name + "_back", Labels: types.Labels{"own": "label"}}
		p.Volumes["data"] = types.VolumeConfig{Name: p.Name + "_data"}
		for _, key := range []string{"default", "back"} {
			if err := h.CreateNetwork(h.ctx, p, key); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // the second time it exists already
			if err := h.CreateVolume(h.ctx, p, "data"); err != nil {
				t.Fatal(err)
			}
		}
		wantKind(t, h.CreateNetwork(h.ctx, p, "back"), deploy.Conflict)

		o := h.observe()
		if len(o.Networks) != 2 || o.Networks[0].Key != "back" || o.Networks[1].Key != "default" {
			t.Fatalf("networks: %+v", o.Networks)
		}
		n := o.Networks[0]
		hash, err := hashOf(p.Networks["back"])
		if err != nil || n.Hash != hash || !n.Owned || n.Labels["own"] != "label" || n.Labels[labelVersion] != "5.5.0" || n.ID == "" {
			t.Errorf("network: %+v, want hash %s", n, hash)
		}
		if len(o.Volumes) != 1 || o.Volumes[0].Key != "data" || !o.Volumes[0].Owned || o.Volumes[0].Hash == "" {
			t.Errorf("volumes: %+v", o.Volumes)
		}

		s := h.service("a", "run")
		s.NetworkMode = ""
		s.Networks = map[string]*types.ServiceNetworkConfig{"default": {Priority: 10}, "back": {Aliases: []string{"other"}}}
		s.Volumes = []types.ServiceVolumeConfig{{Type: "volume", Source: "data", Target: "/data"}}
		id := h.started(s)
		h.awaitLine(id, "ready")
		c := h.only()
		if len(c.IPs) != 2 || c.IPs[p.Name+"_back"] == "" || c.IPs[p.Name+"_default"] == "" {
			t.Errorf("addresses: %v", c.IPs)
		}
		wantKind(t, h.RemoveVolume(h.ctx, p.Name+"_data"), deploy.Conflict)
		if err := h.Remove(h.ctx, id, true); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time they are gone
			if err := h.RemoveNetwork(h.ctx, p.Name+"_back"); err != nil {
				t.Error(err)
			}
			if err := h.RemoveVolume(h.ctx, p.Name+"_data"); err != nil {
				t.Error(err)
			}
		}
		if o = h.observe(); len(o.Networks) != 1 || len(o.Volumes) != 0 {
			t.Errorf("left: %+v, %+v", o.Networks, o.Volumes)
		}
	})
}

func TestCreateErrors(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		s := h.service("a", "run")
		h.create(s)
		_, err := h.Create(h.ctx, h.project, h.spec(s, 1))
		wantKind(t, err, deploy.Conflict)
		s.Image = "wwtest-missing:1"
		_, err = h.Create(h.ctx, h.project, h.spec(s, 2))
		wantKind(t, err, deploy.NoImage)
		s.Image, s.UseAPISocket = testImage, true
		_, err = h.Create(h.ctx, h.project, h.spec(s, 3))
		if e := wantKind(t, err, deploy.Unsupported); !strings.Contains(e.Error(), "use_api_socket") {
			t.Errorf("it doesn't name the key: %v", e)
		}
		if o := h.observe(); len(o.Containers) != 1 {
			t.Errorf("%d containers are left behind", len(o.Containers)-1)
		}
	})
}

func TestPortTaken(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if err := h.CreateNetwork(h.ctx, h.project, "default"); err != nil {
			t.Fatal(err)
		}
		s := h.service("a", "run")
		s.NetworkMode = ""
		s.Ports = []types.ServicePortConfig{{Target: 8080, Published: port, HostIP: "127.0.0.1", Protocol: "tcp"}}
		if h.fake != nil {
			n, _ := strconv.Atoi(port)
			h.fake.SetBehaviour("a", enginetest.Behaviour{PortTaken: n})
		}
		err = h.Start(h.ctx, h.create(s))
		if e := wantKind(t, err, deploy.PortTaken); !strings.Contains(e.Remedy, port) {
			t.Errorf("the remedy %q doesn't name port %s: %v", e.Remedy, port, err)
		}
		// A container that has it is named.
		_ = l.Close()
		s.Name = "b"
		h.started(s)
		s.Name = "c"
		err = h.Start(h.ctx, h.create(s))
		says := "host port " + port + " is taken by container " + h.project.Name + "-b-1, service b of project " + h.project.Name
		if e := wantKind(t, err, deploy.PortTaken); e.Err.Error() != says || !strings.Contains(e.Remedy, "docker stop "+h.project.Name+"-b-1") {
			t.Errorf("%v, remedy %q", e, e.Remedy)
		}
	})
}

func TestSharedNamespaces(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		first := h.started(h.service("a", "run"))
		s := h.service("b", "run")
		s.NetworkMode, s.Pid = "service:a", "service:a"
		s.VolumesFrom = []string{"a:ro"}
		if err := h.Start(h.ctx, h.create(s)); err != nil {
			t.Fatal(err)
		}
		if h.fake != nil {
			body := string(h.fake.Calls("container.create")[1].Body)
			for _, want := range []string{`"NetworkMode":"container:` + first, `"PidMode":"container:` + first, `"VolumesFrom":["` + first + `:ro"]`} {
				if !strings.Contains(body, want) {
					t.Errorf("the request lacks %s", want)
				}
			}
		}
		s = h.service("c", "run")
		s.NetworkMode = "service:none"
		_, err := h.Create(h.ctx, h.project, h.spec(s, 1))
		wantKind(t, err, deploy.NotFound)
	})
}

func TestRemoveNetworkWaitsForEndpoints(t *testing.T) {
	h := newFake(t, enginetest.Options{})
	h.fake.AddNetwork("wwtest-held", nil)
	h.fake.HoldNetwork("wwtest-held", true)
	done := make(chan error, 1)
	go func() { done <- h.RemoveNetwork(h.ctx, "wwtest-held") }()
	if !h.fake.AwaitCalls(h.ctx, 2, "network.remove") {
		t.Fatal("it isn't tried again")
	}
	h.fake.HoldNetwork("wwtest-held", false)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// What never goes away is told with what there is to do about it.
func TestNetworkThatStays(t *testing.T) {
	t.Parallel() // it waits as long as people do
	h := newFake(t, enginetest.Options{})
	h.fake.AddNetwork("wwtest-held", nil)
	h.fake.HoldNetwork("wwtest-held", true)
	err := h.RemoveNetwork(h.ctx, "wwtest-held")
	e := wantKind(t, err, deploy.Conflict)
	if !strings.Contains(err.Error(), "no container has any more") || !strings.Contains(e.Remedy, "restart the engine") {
		t.Errorf("%v: %s", err, e.Remedy)
	}
}

func TestObserveOwnership(t *testing.T) {
	h := newFake(t, enginetest.Options{Images: []string{"redis:7", "registry.example/own/app"}})
	h.project.Name = "p"
	h.fake.AddNetwork("p_default", nil) // the name is wanted, the label missing
	h.fake.AddNetwork("p_old", map[string]string{labelProject: "p", labelNetwork: "old"})
	h.fake.AddNetwork("p_other", map[string]string{labelProject: "q"})
	h.project.Networks = types.Networks{"default": {Name: "p_default"}}
	h.project.Services = types.Services{
		"a": {Name: "a", Image: "redis:7"}, "b": {Name: "b", Image: "docker.io/library/redis:7"},
		"c": {Name: "c"}, "d": {Name: "d", Image: "registry.example/own/app"},
	}
	o := h.observe()
	if len(o.Networks) != 2 || o.Networks[0].Name != "p_default" || o.Networks[0].Owned || o.Networks[1].Name != "p_old" || !o.Networks[1].Owned {
		t.Errorf("networks: %+v", o.Networks)
	}
	if len(o.Images) != 3 || o.Images["redis:7"] == "" || o.Images["docker.io/library/redis:7"] != o.Images["redis:7"] || o.Images["registry.example/own/app"] == "" {
		t.Errorf("images: %v", o.Images)
	}
	if n := len(h.fake.Calls()); n != 4 {
		t.Errorf("%d calls, want 4: %v", n, h.fake.Calls())
	}
	if o, err := h.Observe(h.ctx, "p", nil); err != nil || len(o.Networks) != 1 || o.Networks[0].Name != "p_old" {
		t.Errorf("without a wanted project: %+v, %v", o.Networks, err)
	}
}
