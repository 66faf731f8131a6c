package enginetest

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (e *Engine) createContainer(_ http.ResponseWriter, r *http.Request) (reply, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return reply{}, err
	}
	var cfg config
	if err := json.Unmarshal(data, &cfg); err != nil {
		return reply{}, errorf(http.StatusBadRequest, "invalid JSON: %v", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	image, ok := e.images[tagged(cfg.Image)]
	if !ok {
		return reply{}, errorf(http.StatusNotFound, "No such image: %s", tagged(cfg.Image))
	}
	ends := cfg.NetworkingConfig.EndpointsConfig
	if len(ends) > 1 && !e.speaks("1.44") {
		return reply{}, errorf(http.StatusBadRequest, "Container cannot be connected to network endpoints: %d of them", len(ends))
	}
	c := &ctr{
		id: e.newID(), name: r.URL.Query().Get("name"), imageID: image, config: cfg, raw: data,
		state: "created", created: time.Now(), files: map[string]File{}, joined: map[string]string{},
	}
	if other := e.find(c.name); other != nil {
		return reply{}, errorf(http.StatusConflict, "Conflict. The container name \"/%s\" is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", c.name, other.id)
	}
	for n := range ends {
		c.networks = append(c.networks, n)
	}
	slices.Sort(c.networks)
	for name := range c.volumes() {
		e.volume(name)
	}
	e.containers = append(e.containers, c)
	e.emit(c, "create")
	e.wake()
	return reply{http.StatusCreated, map[string]any{"Id": c.id, "Warnings": []string{}}}, nil
}

// mounts are what a listing says of them.
func (c *ctr) mounts() []map[string]any {
	list := []map[string]any{}
	for _, b := range c.config.HostConfig.Binds {
		source, rest, _ := strings.Cut(b, ":")
		target, mode, _ := strings.Cut(rest, ":")
		m := map[string]any{"Type": "volume", "Name": source, "Destination": target, "RW": mode != "ro"}
		if strings.HasPrefix(source, "/") {
			m = map[string]any{"Type": "bind", "Source": source, "Destination": target, "RW": mode != "ro"}
		}
		list = append(list, m)
	}
	for _, m := range c.config.HostConfig.Mounts {
		list = append(list, map[string]any{"Type": m.Type, "Name": m.Source, "Destination": m.Target, "RW": true})
	}
	return list
}

// volumes are the names of the volumes that a container has.
func (c *ctr) volumes() map[string]bool {
	names := map[string]bool{}
	for _, b := range c.config.HostConfig.Binds {
		if source, _, _ := strings.Cut(b, ":"); !strings.HasPrefix(source, "/") {
			names[source] = true
		}
	}
	for _, m := range c.config.HostConfig.Mounts {
		if m.Type == "volume" && m.Source != "" {
			names[m.Source] = true
		}
	}
	return names
}

// with calls f with the container of a request, and mu held.
func (e *Engine) with(r *http.Request, f func(*ctr) (reply, error)) (reply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.find(r.PathValue("id"))
	if c == nil {
		return reply{}, errorf(http.StatusNotFound, "No such container: %s", r.PathValue("id"))
	}
	defer e.wake()
	return f(c)
}

func (e *Engine) startContainer(_ http.ResponseWriter, r *http.Request) (reply, error) {
	return e.with(r, func(c *ctr) (reply, error) {
		if c.running() {
			return reply{http.StatusNotModified, nil}, nil
		}
		c.restarts = 0
		if err := e.launch(c); err != nil {
			return reply{}, err
		}
		return done()
	})
}

func (e *Engine) stopContainer(_ http.ResponseWriter, r *http.Request) (reply, error) {
	var c *ctr
	var wait time.Duration
	rep, err := e.with(r, func(found *ctr) (reply, error) {
		c = found
		if c.state == "restarting" {
			c.state = "exited"
			return done()
		}
		if !c.running() {
			return reply{http.StatusNotModified, nil}, nil
		}
		e.emit(c, "kill", "signal", "15")
		b := e.opts.Services[c.service()]
		if !b.IgnoresStop {
			e.die(c, b.ExitCode, true)
			e.emit(c, "stop")
			return done()
		}
		wait = grace(r, c)
		return streamed, nil
	})
	if err != nil || rep.status != 0 {
		return rep, err
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C: // also when who asked for it is gone
	case <-e.ctx.Done():
		return streamed, nil
	}
	return e.with(r, func(c *ctr) (reply, error) {
		e.die(c, 137, true)
		e.emit(c, "stop")
		return done()
	})
}

func grace(r *http.Request, c *ctr) time.Duration {
	if t := r.URL.Query().Get("t"); t != "" {
		n, _ := strconv.Atoi(t)
		return time.Duration(n) * time.Second
	}
	if c.config.StopTimeout != nil {
		return time.Duration(*c.config.StopTimeout) * time.Second
	}
	return 10 * time.Second
}

func (e *Engine) killContainer(_ http.ResponseWriter, r *http.Request) (reply, error) {
	return e.with(r, func(c *ctr) (reply, error) {
		if !c.running() {
			return reply{}, errorf(http.StatusConflict, "Cannot kill container: %s: Container %s is not running", r.PathValue("id"), c.id)
		}
		signal := r.URL.Query().Get("signal")
		e.emit(c, "kill", "signal", signal)
		switch signal {
		case "", "KILL", "SIGKILL", "9":
			e.die(c, 137, true)
		case "TERM", "SIGTERM", "15", "INT", "SIGINT":
			if b := e.opts.Services[c.service()]; !b.IgnoresStop {
				e.die(c, b.ExitCode, true)
			}
		}
		return done()
	})
}

func (e *Engine) renameContainer(_ http.ResponseWriter, r *http.Request) (reply, error) {
	return e.with(r, func(c *ctr) (reply, error) {
		name := r.URL.Query().Get("name")
		if o := e.find(name); o != nil && o != c {
			return reply{}, errorf(http.StatusConflict, "Conflict. The container name %q is already in use by container %q.", "/"+name, o.id)
		}
		c.name = name
		e.emit(c, "rename")
		return done()
	})
}

func (e *Engine) pauseContainer(_ http.ResponseWriter, r *http.Request) (reply, error) {
	return e.with(r, func(c *ctr) (reply, error) {
		switch c.state {
		case "running":
			c.state = "paused"
			e.emit(c, "pause")
			return done()
		case "paused":
			return reply{}, errorf(http.StatusConflict, "Container %s is already paused", c.id)
		}
		return reply{}, errorf(http.StatusConflict, "Container %s is not running", c.id)
	})
}

func (e *Engine) unpauseContainer(_ http.ResponseWriter, r *http.Request) (reply, error) {
	return e.with(r, func(c *ctr) (reply, error) {
		if c.state != "paused" {
			return reply{}, errorf(http.StatusInternalServerError, "Container %s is not paused", c.id)
		}
		c.state = "running"
		e.emit(c, "unpause")
		return done()
	})
}

func (e *Engine) removeContainer(_ http.ResponseWriter, r *http.Request) (reply, error) {
	return e.with(r, func(c *ctr) (reply, error) {
		if c.running() {
			if r.URL.Query().Get("force") != "1" {
				return reply{}, errorf(http.StatusConflict, "You cannot remove a running container %s. Stop the container before attempting removal or force remove", c.id)
			}
			e.die(c, 137, true)
		}
		e.containers = slices.DeleteFunc(e.containers, func(o *ctr) bool { return o == c })
		e.emit(c, "destroy")
		return done()
	})
}

func (e *Engine) waitContainer(w http.ResponseWriter, r *http.Request) (reply, error) {
	id, cut := r.PathValue("id"), openStream(r)
	e.mu.Lock()
	c := e.find(id)
	e.mu.Unlock()
	if c == nil {
		return reply{}, errorf(http.StatusNotFound, "No such container: %s", id)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush(w)
	removed := r.URL.Query().Get("condition") == "removed"
	if !e.until(r.Context(), cut, func() bool {
		return !removed && !c.running() && c.state != "restarting" || e.find(c.id) == nil
	}) {
		panic(http.ErrAbortHandler)
	}
	return streamed, json.NewEncoder(w).Encode(map[string]any{"StatusCode": c.exitCode})
}

func (e *Engine) resizeContainer(_ http.ResponseWriter, r *http.Request) (reply, error) {
	return e.with(r, func(c *ctr) (reply, error) { return reply{http.StatusOK, nil}, nil })
}

func (e *Engine) copyToContainer(_ http.ResponseWriter, r *http.Request) (reply, error) {
	files := map[string]File{}
	tr := tar.NewReader(r.Body)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return reply{}, errorf(http.StatusBadRequest, "archive: %v", err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			return reply{}, errorf(http.StatusBadRequest, "archive: %v", err)
		}
		files[path.Join(r.URL.Query().Get("path"), h.Name)] = File{string(data), h.Mode, h.Uid, h.Gid}
	}
	return e.with(r, func(c *ctr) (reply, error) {
		if c.config.HostConfig.ReadonlyRootfs {
			return reply{}, errorf(http.StatusForbidden, "container rootfs is marked read-only")
		}
		for p, f := range files {
			c.files[p] = f
		}
		return reply{http.StatusOK, nil}, nil
	})
}

func (e *Engine) listContainers(_ http.ResponseWriter, r *http.Request) (reply, error) {
	f, err := parseFilters(r)
	if err != nil {
		return reply{}, err
	}
	all := r.URL.Query().Get("all") == "1"
	e.mu.Lock()
	defer e.mu.Unlock()
	list := []any{}
	for _, c := range slices.Backward(e.containers) { // the newest first
		if (all || c.running()) && f.labels(c.config.Labels) {
			list = append(list, e.summary(c))
		}
	}
	return ok(list)
}

func (e *Engine) summary(c *ctr) map[string]any {
	ports := []any{}
	for _, p := range c.ports {
		ports = append(ports, map[string]any{"IP": p.hostIP, "PublicPort": p.host, "PrivatePort": p.target, "Type": p.protocol})
	}
	return map[string]any{
		"Id": c.id, "Names": []string{"/" + c.name}, "Image": c.config.Image, "ImageID": c.imageID,
		"Command": strings.Join(slices.Concat(c.config.Entrypoint, c.config.Cmd), " "),
		"Created": c.created.Unix(), "Labels": c.config.Labels, "State": c.state, "Status": c.status(),
		"Ports": ports, "NetworkSettings": map[string]any{"Networks": c.endpoints()}, "Mounts": c.mounts(),
		"HostConfig": map[string]any{"NetworkMode": c.config.HostConfig.NetworkMode},
	}
}

func (c *ctr) endpoints() map[string]any {
	m := map[string]any{}
	for _, n := range c.networks {
		m[n] = map[string]any{"IPAddress": c.ip, "NetworkID": c.joined[n]}
	}
	return m
}

func (e *Engine) inspectContainer(_ http.ResponseWriter, r *http.Request) (reply, error) {
	return e.with(r, func(c *ctr) (reply, error) {
		var asked map[string]any
		if err := json.Unmarshal(c.raw, &asked); err != nil {
			return reply{}, err
		}
		state := map[string]any{
			"Status": c.state, "Running": c.running(), "Restarting": c.state == "restarting", "ExitCode": c.exitCode,
		}
		if c.hasHealth() {
			health := c.health
			if health == "" {
				health = "starting"
			}
			check := map[string]any{"Status": health}
			if health == "unhealthy" {
				check["Log"] = []map[string]any{{"ExitCode": 1, "Output": e.opts.Services[c.service()].CheckOutput}}
			}
			state["Health"] = check
		}
		ports := map[string][]map[string]string{}
		for _, p := range c.ports {
			key := strconv.Itoa(p.target) + "/" + p.protocol
			ports[key] = append(ports[key], map[string]string{"HostIp": p.hostIP, "HostPort": strconv.Itoa(p.host)})
		}
		host := asked["HostConfig"]
		delete(asked, "HostConfig")
		delete(asked, "NetworkingConfig")
		return ok(map[string]any{
			"Id": c.id, "Name": "/" + c.name, "Image": c.imageID, "RestartCount": c.restarts,
			"Created": c.created.UTC().Format(time.RFC3339Nano), "Path": first(c.config.Cmd), "Args": rest(c.config.Cmd),
			"State": state, "Config": asked, "HostConfig": host,
			"NetworkSettings": map[string]any{"Networks": c.endpoints(), "Ports": ports},
		})
	})
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func rest(list []string) []string {
	if len(list) == 0 {
		return []string{}
	}
	return list[1:]
}
