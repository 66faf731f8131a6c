package inproc

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"woodwork.dev/ww/runtime/registry"
)

// componentState is one component in /health and /components.
type componentState struct {
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`
	Type       string         `json:"type"`
	State      registry.State `json:"state"`
	Reason     string         `json:"reason,omitempty"`
	Deployment string         `json:"deployment,omitempty"`
	Routes     []string       `json:"routes,omitempty"`
	Endpoints  []string       `json:"endpoints,omitempty"`
	Load       float64        `json:"load"`
	Instances  int            `json:"instances"`

	// What its processes take, where it has any of its own: processor seconds since
	// it began, resident bytes.
	CPU    *float64 `json:"cpu,omitempty"`
	Memory *int64   `json:"memory_bytes,omitempty"`
}

func (s *server) health(w http.ResponseWriter, r *http.Request) {
	type busHealth struct {
		Reachable bool    `json:"reachable"`
		Latency   float64 `json:"latency_ms"`
		Error     string  `json:"error,omitempty"`
	}
	body := struct {
		Status     string            `json:"status"`
		Bus        busHealth         `json:"message_bus"`
		Components map[string]string `json:"components"`
	}{Status: "healthy", Components: map[string]string{}}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	begin := time.Now()
	err := errors.New("it isn't connected yet")
	if b := s.system.bus.now(); b != nil {
		err = b.Healthy(ctx)
	}
	body.Bus = busHealth{Reachable: err == nil, Latency: float64(time.Since(begin).Microseconds()) / 1000}
	if err != nil {
		body.Bus.Error = "the message bus can't be reached"
		s.log.Debug("health", "error", err)
	}
	ready := err == nil && !s.refusing.Load()
	for _, name := range s.Components {
		p := s.system.byName[name]
		if p == nil {
			continue
		}
		now := p.now()
		body.Components[name] = now.Phase
		ready = ready && now.Ready
	}
	status := http.StatusOK
	if !ready {
		body.Status, status = "unavailable", http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, status, body)
}

// components lists who is there: the system's own, and what the registry knows.
func (s *server) components(w http.ResponseWriter, r *http.Request) {
	list := []componentState{}
	at := map[string]int{}
	for _, p := range s.system.parts {
		now := p.now()
		at[p.Config.Name] = len(list)
		c := componentState{
			Name: p.Config.Name, Kind: p.Config.Kind, Type: p.Config.Type, State: registry.Initializing, Reason: now.Reason,
			Deployment: p.Deployment, Routes: append(slices.Clone(p.Config.To), p.Config.Topics...),
		}
		if u, ok := p.usage(); ok {
			cpu := u.CPU.Seconds()
			c.CPU, c.Memory = &cpu, &u.Memory
		}
		list = append(list, c)
	}
	entries, err := s.system.bus.entries(r.Context())
	if err != nil {
		s.log.Error("the registry can't be read", "error", err)
	}
	for _, e := range entries {
		i, ok := at[e.Name]
		if !ok {
			i = len(list)
			at[e.Name] = i
			list = append(list, componentState{Name: e.Name, Kind: e.Kind, Type: e.Type})
		}
		list[i].State, list[i].Load = e.State, max(list[i].Load, e.Load)
		list[i].Instances++
	}
	for i := range list {
		list[i].Endpoints = []string{"/" + list[i].Name + "/input", "/" + list[i].Name + "/messages"}
	}
	slices.SortFunc(list, func(a, b componentState) int { return strings.Compare(a.Name, b.Name) })
	writeJSON(w, http.StatusOK, list)
}
