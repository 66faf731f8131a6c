package compose

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"woodwork.dev/ww/model"
)

const inParts = `
in = core template { template: "{{ .payload }}", to: work }
work = core template { template: "{{ .payload }}!" }
agents = docker { components = [work] BUS }
edge = server { components = [in] }
`

func TestBusAddress(t *testing.T) {
	for bus, want := range map[string]string{
		`, message_bus = redis { ports = { "16379": "6379" } }`:          "127.0.0.1:16379",
		`, message_bus = redis { ports = { "0.0.0.0:16379": "6379" } }`:  "127.0.0.1:16379",
		`, message_bus = nats { ports = { "127.0.0.2:14222": "4222" } }`: "127.0.0.2:14222",
		`, message_bus = redis { ports = ["6379"] }`:                     "",
		`, message_bus = redis { ports = { "18222": "8222" } }`:          "",
	} {
		l := mustLoad(t, Request{Files: []string{file(t, strings.Replace(inParts, "BUS", bus, 1))}, Binary: fakeBinary(t)})
		got, err := l.BusAddress()
		if got != want || errors.Is(err, ErrNoBusPort) != (want == "") {
			t.Errorf("%s: %q, %v", bus, got, err)
		}
		if l.Generated.BusPort != "" {
			t.Errorf("%s: port %s is chosen", bus, l.Generated.BusPort)
		}
	}
}

// TestBusPort: a port that is chosen is free, is kept by Prepare alone, and stays
// as it is when something else has it.
func TestBusPort(t *testing.T) {
	clearEnvironment(t, nil)
	req := Request{Files: []string{file(t, strings.Replace(inParts, "BUS", "", 1))}, Binary: fakeBinary(t)}
	first := mustLoad(t, req)
	port := first.Generated.BusPort
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatalf("port %q: %v", port, err)
	}
	defer l.Close()
	if _, err := os.Stat(BusPortFile(first.Dir, first.Name)); err == nil {
		t.Error("looking at it keeps it")
	}
	second := mustLoad(t, req)
	if second.Generated.BusPort == port {
		t.Errorf("port %s isn't free, and chosen", port)
	}
	if err := first.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := second.Prepare(); err == nil || !strings.Contains(err.Error(), "another ww has just chosen "+port) {
		t.Errorf("two ports: %v", err)
	}
	if third := mustLoad(t, req); third.Generated.BusPort != port {
		t.Errorf("port %s, kept is %s", third.Generated.BusPort, port)
	}
	// All in containers: nobody needs it.
	req.Inside = func(*model.Component) bool { return true }
	if all := mustLoad(t, req); all.Generated.BusPort != "" || len(all.Outside()) > 0 {
		t.Errorf("port %q for nobody", all.Generated.BusPort)
	}
	// One deployment has the bus, and nothing of the others.
	req.Inside, req.Deployment = nil, "agents"
	part := mustLoad(t, req)
	if got := part.Project.ServiceNames(); strings.Join(got, " ") != model.BusService+" work" || part.Generated.BusPort != port {
		t.Errorf("services %v, port %s", got, part.Generated.BusPort)
	}
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "main.ww")
	write(t, name, content)
	return name
}
