package enginetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// config is what is read of a request to create a container.
type config struct {
	Image       string
	Cmd         []string
	Entrypoint  []string
	Env         []string
	Labels      map[string]string
	Tty         bool
	OpenStdin   bool
	StopTimeout *int
	Healthcheck *struct{ Test []string }
	HostConfig  struct {
		NetworkMode    string
		ReadonlyRootfs bool
		Binds          []string
		Mounts         []struct{ Type, Source, Target string }
		PortBindings   map[string][]struct{ HostIp, HostPort string } //nolint:revive // the API's name
		RestartPolicy  struct {
			Name              string
			MaximumRetryCount int
		}
	}
	NetworkingConfig struct {
		EndpointsConfig map[string]struct{ Aliases []string }
	}
}

// ctr is a container.
type ctr struct {
	id       string
	name     string
	imageID  string
	config   config
	raw      json.RawMessage // the request, for inspecting
	state    string
	health   string
	exitCode int
	restarts int
	created  time.Time
	networks []string
	joined   map[string]string // network → its id when this was started
	ports    []boundPort
	ip       string
	files    map[string]File
	log      []logLine
	stdin    *pipe
}

type boundPort struct {
	hostIP       string
	host, target int
	protocol     string
}

type logLine struct {
	at time.Time
	Line
	raw bool // no line break is added
}

func (c *ctr) service() string { return c.config.Labels["com.docker.compose.service"] }

func (c *ctr) running() bool { return c.state == "running" || c.state == "paused" }

func (c *ctr) write(l Line) { c.log = append(c.log, logLine{at: time.Now(), Line: l}) }

func (c *ctr) hasHealth() bool {
	h := c.config.Healthcheck
	return h != nil && len(h.Test) > 0 && h.Test[0] != "NONE"
}

// status is the engine's text in listings.
func (c *ctr) status() string {
	switch c.state {
	case "created":
		return "Created"
	case "exited":
		return fmt.Sprintf("Exited (%d) Less than a second ago", c.exitCode)
	case "restarting":
		return fmt.Sprintf("Restarting (%d) Less than a second ago", c.exitCode)
	case "paused":
		return "Up Less than a second (Paused)"
	}
	switch c.health {
	case "":
		return "Up Less than a second"
	case "starting":
		return "Up Less than a second (health: starting)"
	}
	return "Up Less than a second (" + c.health + ")"
}

// find looks a container up by id, its beginning, or name. mu is held.
func (e *Engine) find(ref string) *ctr {
	ref = strings.TrimPrefix(ref, "/")
	for _, c := range e.containers {
		if c.name == ref || c.id == ref || len(ref) >= 12 && strings.HasPrefix(c.id, ref) {
			return c
		}
	}
	return nil
}

// event is one entry of the stream of events.
type event struct {
	at     time.Time
	action string
	id     string
	attr   map[string]string
}

// emit records an event. mu is held.
func (e *Engine) emit(c *ctr, action string, extra ...string) {
	attr := map[string]string{"name": c.name, "image": c.config.Image}
	for k, v := range c.config.Labels {
		attr[k] = v
	}
	for i := 0; i+1 < len(extra); i += 2 {
		attr[extra[i]] = extra[i+1]
	}
	e.events = append(e.events, event{time.Now(), action, c.id, attr})
}

// launch starts a container, or says why it can't. mu is held.
func (e *Engine) launch(c *ctr) error {
	b := e.opts.Services[c.service()]
	if b.StartError != "" {
		return errorf(500, "%s", b.StartError)
	}
	for _, n := range c.networks {
		now, id := e.network(n), c.joined[n]
		if id == "" {
			id = n
		}
		if now == nil || c.joined[n] != "" && now.ID != id {
			return errorf(404, "network %s not found", id)
		}
	}
	if err := e.bind(c, b.PortTaken); err != nil {
		return err
	}
	c.state, c.exitCode, c.ip = "running", 0, fmt.Sprintf("172.18.0.%d", 2+slices.Index(e.containers, c)%250)
	for _, n := range c.networks {
		e.network(n).ends[c.id] = true
		c.joined[n] = e.network(n).ID
	}
	c.stdin = newPipe()
	e.emit(c, "start")
	for _, l := range b.Output {
		c.write(l)
	}
	if b.Exits {
		e.die(c, b.ExitCode, false)
		return nil
	}
	if b.Echo {
		e.echo(c, c.stdin)
	}
	if c.hasHealth() {
		c.health = "starting"
		switch b.Health {
		case HealthyAtOnce:
			e.setHealth(c, true)
		case NeverHealthy:
			e.setHealth(c, false)
		}
	}
	return nil
}

// bind takes the host ports of a container. mu is held.
func (e *Engine) bind(c *ctr, taken int) error {
	c.ports = nil
	specs := make([]string, 0, len(c.config.HostConfig.PortBindings))
	for spec := range c.config.HostConfig.PortBindings {
		specs = append(specs, spec)
	}
	sort.Strings(specs)
	for _, spec := range specs {
		for _, b := range c.config.HostConfig.PortBindings[spec] {
			p := boundPort{hostIP: b.HostIp}
			_, _ = fmt.Sscanf(spec, "%d/%s", &p.target, &p.protocol)
			_, _ = fmt.Sscanf(b.HostPort, "%d", &p.host)
			if p.hostIP == "" {
				p.hostIP = "0.0.0.0"
			}
			if p.host == 0 {
				e.sequence++
				p.host = 32768 + e.sequence
			}
			if p.host == taken || e.portInUse(p.host) {
				c.ports = nil
				return errorf(500, "driver failed programming external connectivity on endpoint %s (%s): Bind for %s:%d failed: port is already allocated", c.name, c.id, p.hostIP, p.host)
			}
			c.ports = append(c.ports, p)
		}
	}
	return nil
}

func (e *Engine) portInUse(port int) bool {
	return slices.ContainsFunc(e.containers, func(o *ctr) bool {
		return o.running() && slices.ContainsFunc(o.ports, func(p boundPort) bool { return p.host == port })
	})
}

func (e *Engine) setHealth(c *ctr, healthy bool) {
	health := "unhealthy"
	if healthy {
		health = "healthy"
	}
	if c.health == health || !c.hasHealth() {
		return
	}
	c.health = health
	e.emit(c, "health_status: "+health)
}

// die ends a container. By itself it is restarted as its policy says. mu is
// held.
func (e *Engine) die(c *ctr, code int, stopped bool) {
	if !c.running() {
		return
	}
	c.state, c.health, c.exitCode, c.ports, c.ip = "exited", "", code, nil, ""
	for _, n := range c.networks {
		if n := e.network(n); n != nil {
			delete(n.ends, c.id)
		}
	}
	c.stdin.close()
	e.emit(c, "die", "exitCode", fmt.Sprint(code))
	policy := c.config.HostConfig.RestartPolicy
	again := policy.Name == "always" || policy.Name == "unless-stopped" ||
		policy.Name == "on-failure" && code != 0 && (policy.MaximumRetryCount == 0 || c.restarts < policy.MaximumRetryCount)
	if stopped || !again {
		return
	}
	c.state = "restarting"
	wait := min(10*time.Millisecond<<min(c.restarts, 10), time.Second)
	if w := e.opts.Services[c.service()].RestartAfter; w > 0 {
		wait = w
	}
	c.restarts++
	e.after(wait, func() {
		if c.state == "restarting" && e.find(c.id) == c {
			c.state = "exited"
			_ = e.launch(c)
		}
	})
}
