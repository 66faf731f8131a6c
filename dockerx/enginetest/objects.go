package enginetest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// netw is a network.
type netw struct {
	ID, Name, Driver string
	Labels           map[string]string
	ends             map[string]bool // the containers that run in it
	held             bool
}

// vol is a volume.
type vol struct {
	Name, Driver string
	Labels       map[string]string
}

// filters are those of a listing or of the events.
type filters map[string]map[string]bool

func parseFilters(r *http.Request) (filters, error) {
	f := filters{}
	if s := r.URL.Query().Get("filters"); s != "" {
		if err := json.Unmarshal([]byte(s), &f); err != nil {
			return nil, errorf(http.StatusBadRequest, "invalid filter: %v", err)
		}
	}
	return f, nil
}

// labels tells whether labels suit: all that are asked for have to be there.
func (f filters) labels(have map[string]string) bool {
	for want := range f["label"] {
		k, v, exact := strings.Cut(want, "=")
		got, ok := have[k]
		if !ok || exact && got != v {
			return false
		}
	}
	return true
}

func (f filters) event(ev event) bool {
	action, _, _ := strings.Cut(ev.action, ":")
	if len(f["event"]) > 0 && !f["event"][action] && !f["event"][ev.action] {
		return false
	}
	return (len(f["type"]) == 0 || f["type"]["container"]) && f.labels(ev.attr)
}

// network looks a network up by name or id. mu is held.
func (e *Engine) network(ref string) *netw {
	for _, n := range e.networks {
		if n.Name == ref || n.ID == ref {
			return n
		}
	}
	return nil
}

func (e *Engine) listNetworks(_ http.ResponseWriter, r *http.Request) (reply, error) {
	f, err := parseFilters(r)
	if err != nil {
		return reply{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := []any{}
	for _, n := range e.networks {
		if f.labels(n.Labels) {
			list = append(list, map[string]any{"Id": n.ID, "Name": n.Name, "Driver": n.Driver, "Labels": n.Labels, "Scope": "local"})
		}
	}
	return ok(list)
}

func (e *Engine) inspectNetwork(_ http.ResponseWriter, r *http.Request) (reply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.network(r.PathValue("id"))
	if n == nil {
		return reply{}, errorf(http.StatusNotFound, "network %s not found", r.PathValue("id"))
	}
	containers := map[string]any{}
	for id := range n.ends {
		if c := e.find(id); c != nil {
			containers[c.id] = map[string]any{"Name": c.name}
		}
	}
	return ok(map[string]any{"Id": n.ID, "Name": n.Name, "Driver": n.Driver, "Labels": n.Labels, "Scope": "local", "Containers": containers})
}

func (e *Engine) createNetwork(_ http.ResponseWriter, r *http.Request) (reply, error) {
	var req netw
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return reply{}, errorf(http.StatusBadRequest, "invalid JSON: %v", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.network(req.Name) != nil {
		return reply{}, errorf(http.StatusConflict, "network with name %s already exists", req.Name)
	}
	n := &netw{ID: e.newID(), Name: req.Name, Driver: req.Driver, Labels: req.Labels, ends: map[string]bool{}}
	if n.Driver == "" {
		n.Driver = "bridge"
	}
	e.networks = append(e.networks, n)
	return reply{http.StatusCreated, map[string]string{"Id": n.ID, "Warning": ""}}, nil
}

func (e *Engine) connectNetwork(_ http.ResponseWriter, r *http.Request) (reply, error) {
	return e.endpoint(r, func(n *netw, c *ctr) {
		c.networks = append(c.networks, n.Name)
		if c.running() {
			n.ends[c.id] = true
			c.joined[n.Name] = n.ID
		}
	})
}

func (e *Engine) disconnectNetwork(_ http.ResponseWriter, r *http.Request) (reply, error) {
	return e.endpoint(r, func(n *netw, c *ctr) {
		c.networks = slices.DeleteFunc(c.networks, func(o string) bool { return o == n.Name })
		delete(c.joined, n.Name)
		delete(n.ends, c.id)
	})
}

// endpoint does something about a container's place in a network. mu is held
// meanwhile.
func (e *Engine) endpoint(r *http.Request, do func(*netw, *ctr)) (reply, error) {
	var req struct{ Container string }
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return reply{}, errorf(http.StatusBadRequest, "invalid JSON: %v", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n, c := e.network(r.PathValue("id")), e.find(req.Container)
	if n == nil {
		return reply{}, errorf(http.StatusNotFound, "network %s not found", r.PathValue("id"))
	}
	if c == nil {
		return reply{}, errorf(http.StatusNotFound, "No such container: %s", req.Container)
	}
	do(n, c)
	return reply{http.StatusOK, nil}, nil
}

func (e *Engine) removeNetwork(_ http.ResponseWriter, r *http.Request) (reply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.network(r.PathValue("id"))
	if n == nil {
		return reply{}, errorf(http.StatusNotFound, "network %s not found", r.PathValue("id"))
	}
	if len(n.ends) > 0 || n.held {
		return reply{}, errorf(http.StatusForbidden, "error while removing network: network %s id %s has active endpoints", n.Name, n.ID)
	}
	e.networks = slices.DeleteFunc(e.networks, func(o *netw) bool { return o == n })
	return done()
}

// volume returns a volume, which is made if there is none. mu is held.
func (e *Engine) volume(name string) *vol {
	if e.volumes[name] == nil {
		e.volumes[name] = &vol{Name: name, Driver: "local"}
	}
	return e.volumes[name]
}

func (e *Engine) listVolumes(_ http.ResponseWriter, r *http.Request) (reply, error) {
	f, err := parseFilters(r)
	if err != nil {
		return reply{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := []any{}
	for _, v := range e.volumes {
		if f.labels(v.Labels) {
			list = append(list, v)
		}
	}
	return ok(map[string]any{"Volumes": list, "Warnings": nil})
}

func (e *Engine) createVolume(_ http.ResponseWriter, r *http.Request) (reply, error) {
	var req vol
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return reply{}, errorf(http.StatusBadRequest, "invalid JSON: %v", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.volumes[req.Name] == nil { // one that is there stays as it is
		e.volume(req.Name).Labels = req.Labels
	}
	return reply{http.StatusCreated, e.volumes[req.Name]}, nil
}

func (e *Engine) removeVolume(_ http.ResponseWriter, r *http.Request) (reply, error) {
	name := r.PathValue("id")
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.volumes[name] == nil {
		return reply{}, errorf(http.StatusNotFound, "get %s: no such volume", name)
	}
	for _, c := range e.containers {
		if c.volumes()[name] {
			return reply{}, errorf(http.StatusConflict, "remove %s: volume is in use - [%s]", name, c.id)
		}
	}
	delete(e.volumes, name)
	return done()
}
