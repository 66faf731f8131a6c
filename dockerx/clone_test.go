package dockerx

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"woodwork.dev/ww/runtime/deploy"
)

// TestClone: another container is like the first, but for what is its own, and has
// the files that were copied into it.
func TestClone(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		s := h.service("a", "run")
		if h.fake == nil { // the fakes give nothing out
			s = withSecrets(h)
		}
		first := h.started(s)
		h.awaitLine(first, "ready")
		name := h.project.Name + "-a-2"
		id, err := h.Clone(h.ctx, first, deploy.ContainerSpec{Service: s, Number: 2, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Start(h.ctx, id); err != nil {
			t.Fatal(err)
		}
		h.awaitLine(id, "ready")
		cs := h.observe().Containers
		if len(cs) != 2 || cs[1].ID != id || cs[1].Name != name || cs[1].Number != 2 {
			t.Fatalf("%+v", cs)
		}
		a, b := cs[0], cs[1]
		if a.ConfigHash != b.ConfigHash || a.ImageID != b.ImageID || a.Image != b.Image || a.Command != b.Command || !slices.Equal(a.Networks, b.Networks) {
			t.Errorf("they differ:\n%+v\n%+v", a, b)
		}
		delete(a.Labels, labelNumber)
		delete(b.Labels, labelNumber)
		if !maps.Equal(a.Labels, b.Labels) {
			t.Errorf("labels: %v, %v", a.Labels, b.Labels)
		}
		if h.fake == nil {
			var out bytes.Buffer
			code, err := h.Exec(h.ctx, id, deploy.ExecSpec{
				Cmd: []string{"/app", "show", "/run/secrets/token", "/run/secrets/second", "/etc/app/conf"}, Stdout: &out,
			})
			want := "/run/secrets/token 0:0 444 not-for-an-error\n" +
				"/run/secrets/second 1234:4321 440 not-for-an-error\n" +
				"/etc/app/conf 0:0 444 inline\n"
			if err != nil || code != 0 || out.String() != want {
				t.Errorf("exit code %d, %v:\n%swant\n%s", code, err, out.String(), want)
			}
		}
		if _, err := h.Clone(h.ctx, "nothing", deploy.ContainerSpec{Service: s, Number: 3, Name: h.project.Name + "-a-3"}); err == nil {
			t.Error("what isn't there is cloned")
		}
	})
}

// TestLikeness: what is one container's own isn't another's.
func TestLikeness(t *testing.T) {
	of := container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: "0123456789abcdef", Name: "/p-a-1", HostConfig: &container.HostConfig{NetworkMode: "p_front", ContainerIDFile: "file"},
		},
		Config: &container.Config{Hostname: "0123456789ab", Image: "a:1", Labels: map[string]string{labelNumber: "1", labelReplace: "a-1", "own": "label"}},
		NetworkSettings: &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{
			"p_front": {Aliases: []string{"p-a-1", "a", "0123456789ab"}, MacAddress: "02:42:ac:11:00:02", IPAddress: "172.17.0.2", EndpointID: "e"},
			"p_back":  {Aliases: []string{"p-a-1", "a", "db"}, IPAMConfig: &network.EndpointIPAMConfig{LinkLocalIPs: []string{"169.254.8.8"}}},
		}},
	}
	for api, later := range map[string]int{"1.41": 1, "1.44": 0} {
		in := likeness(of, deploy.ContainerSpec{Number: 2, Name: "p-a-2"}, api)
		if in.container.Hostname != "" || in.host.ContainerIDFile != "" ||
			!maps.Equal(in.container.Labels, map[string]string{labelNumber: "2", "own": "label"}) {
			t.Errorf("%s: %+v, %+v", api, in.container, in.host)
		}
		front := in.networks.EndpointsConfig["p_front"]
		if front == nil || !slices.Equal(front.Aliases, []string{"p-a-2", "a"}) || front.MacAddress != "" || front.IPAddress != "" || front.EndpointID != "" {
			t.Errorf("%s: %+v", api, front)
		}
		if len(in.later) != later || len(in.networks.EndpointsConfig) != 2-later {
			t.Errorf("%s: %d networks come later, %d at once", api, len(in.later), len(in.networks.EndpointsConfig))
		}
		back := in.networks.EndpointsConfig["p_back"]
		if later == 1 {
			back = in.later[0].endpoint
		}
		if !slices.Equal(back.Aliases, []string{"p-a-2", "a", "db"}) || back.IPAMConfig == nil || len(back.IPAMConfig.LinkLocalIPs) != 1 {
			t.Errorf("%s: %+v", api, back)
		}
	}
	if of.Config.Labels[labelNumber] != "1" || of.Config.Hostname == "" {
		t.Error("what it was made from has changed")
	}
}
