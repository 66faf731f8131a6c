package compose

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"woodwork.dev/ww/model"
)

// A system of which some components run in containers and others don't has one
// bus. Where that is a container, those outside reach it through a port of this
// machine, which stays the same from one start to the next: in the exported
// file as well.

// InContainers says which components of a project run in containers where
// nobody says otherwise: those of docker deployments and those of none. Where
// there is no docker deployment at all, it is everything: whoever asks for
// containers gets them.
func InContainers(p *model.Project) func(*model.Component) bool {
	docker := slices.ContainsFunc(p.Deployments, func(d *model.Deployment) bool { return d.Kind == "docker" })
	return func(c *model.Component) bool {
		return !docker || c.Deployment == nil || c.Deployment.Kind == "docker"
	}
}

// Outside lists the components of a .ww file that run without a container, while
// others have one.
func (l *Loaded) Outside() []*model.Component {
	if l.Generated == nil {
		return nil
	}
	return l.Generated.outside
}

// ErrNoBusPort is returned where the bus has no port of this machine that is
// known before it starts.
var ErrNoBusPort = errors.New("the bus's own `ports` don't open it on a fixed port of this machine, and components outside of containers need one")

// BusAddress is where a project's own bus is reached from this machine.
func (l *Loaded) BusAddress() (string, error) {
	s, ok := l.Project.Services[model.BusService]
	if !ok {
		return "", fmt.Errorf("the project has no service %s", model.BusService)
	}
	for _, p := range s.Ports {
		if fmt.Sprint(p.Target) != s.Labels["dev.woodwork.port"] {
			continue
		}
		if n, err := strconv.ParseUint(p.Published, 10, 16); err != nil || n == 0 {
			continue
		}
		host := p.HostIP
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = loopback
		}
		return net.JoinHostPort(host, p.Published), nil
	}
	return "", ErrNoBusPort
}

// BusPassword is the password of a project's own bus, which is made where there
// is none yet.
func (l *Loaded) BusPassword() (string, error) {
	if err := EnsureBusPassword(l.Dir); err != nil {
		return "", err
	}
	b, err := os.ReadFile(filepath.Join(l.Dir, filepath.FromSlash(BusPasswordFile)))
	if err != nil {
		return "", fmt.Errorf("bus password: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// KeepBusPort keeps the port that was chosen for the bus, if one was.
func (l *Loaded) KeepBusPort() error {
	if l.Generated == nil || l.Generated.BusPort == "" {
		return nil
	}
	if err := EnsureFolder(l.Dir); err != nil {
		return err
	}
	name := BusPortFile(l.Dir, l.Name)
	if err := writeOnce(name, l.Generated.BusPort+"\n", 0o644); err != nil {
		return fmt.Errorf("the bus's port: %w", err)
	}
	if kept, err := readPort(name); err != nil {
		return err
	} else if kept != l.Generated.BusPort {
		return fmt.Errorf("the bus's port: another ww has just chosen %s in %s: run the command again", kept, name)
	}
	return nil
}

// BusPortFile is where the port of a project's bus is kept.
func BusPortFile(dir, project string) string {
	return filepath.Join(dir, Folder, "bus_port."+project)
}

func readPort(name string) (string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	port := strings.TrimSpace(string(b))
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("the bus's port: %s holds %.20q: write a port into it, or remove it, and a new one is chosen", name, port)
	}
	return port, nil
}

// The ports that one is chosen from are below those that systems give to
// connections, so that none is taken in passing.
const firstBusPort, busPorts = 20000, 12000

// busPort is the port that is kept, or else a free one. Where the search begins
// follows from the project's name: another checkout of it most likely gets the
// same.
func busPort(dir, project string) (string, error) {
	port, err := readPort(BusPortFile(dir, project))
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return port, err
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(project))
	for i := range uint32(100) {
		port := fmt.Sprint(firstBusPort + (h.Sum32()%busPorts+i)%busPorts)
		l, err := net.Listen("tcp", net.JoinHostPort(loopback, port))
		if err == nil {
			return port, l.Close()
		}
	}
	return "", errors.New("the bus's port: none of 100 is free: give it one, `message_bus = redis { ports = { \"16379\": \"6379\" } }`")
}
