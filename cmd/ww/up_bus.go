package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/connect"
	"woodwork.dev/ww/runtime/bus/nats/embedded"
	"woodwork.dev/ww/runtime/registry"
	"woodwork.dev/ww/templates"
)

// busWay is how the components in this process get to the bus.
type busWay struct {
	options connect.Options
	// container is the address of a bus that runs in one; empty for any other.
	container string
	stop      func() // ends a server of our own
}

// opener connects to a bus.
type opener = func(context.Context) (bus.Bus, registry.Registry, error)

// open is an opener.
func (w *busWay) open(ctx context.Context) (bus.Bus, registry.Registry, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return connect.Open(ctx, w.options)
}

// findBus finds the way to the bus. joint is the project with what runs in
// containers; nil where nothing of the file does.
func (s *assembly) findBus(joint *compose.Loaded, log *slog.Logger) (*busWay, error) {
	w := &busWay{options: connect.Options{Project: s.Name, Log: log}, stop: func() {}}
	o := &w.options
	b := s.Model.Bus
	var err error
	switch {
	case joint != nil && s.busInside():
		return w, s.inContainer(w, joint)
	case b == nil:
		o.URL, err = connect.FromEnv(func(name string) string { v, _ := s.Lookup(name); return v })
		if v, set := s.Lookup("WOODWORK_MESSAGE_BUS"); err != nil && (!set || v == "" || v == "auto") {
			o.URL, err = connect.Memory, nil // nothing is named
		}
	case b.Kind == "memory":
		o.URL = connect.Memory
	case b.URL != nil:
		o.URL, err = s.text(b.URL)
		if err == nil && joint != nil {
			err = s.reachable(o.URL, joint)
		}
	case b.Kind == "nats":
		password := rand.Text()
		dir := filepath.Join(s.Dir, compose.Folder, "nats")
		if err := compose.EnsureFolder(s.Dir); err != nil {
			return nil, err
		}
		server, err := embedded.Start(embedded.Options{StoreDir: dir, Password: password, Log: log})
		if err != nil {
			return nil, err
		}
		w.stop = server.Shutdown
		o.URL, o.Password = "nats://"+server.Addr(), password
	default:
		err = errors.New("the file wants a Redis of its own, which runs in a container")
		return nil, &configError{err, "name one that runs, `redis { url = $REDIS_URL }`; or leave `message_bus` out, and the bus is in this process; or `--as docker`"}
	}
	if err == nil {
		err = connect.Check(o.URL)
	}
	if err != nil {
		var config *configError
		if !errors.As(err, &config) {
			err = &configError{fmt.Errorf("the message bus: %w", err), "write a URL such as redis://127.0.0.1:6379 or nats://127.0.0.1:4222"}
		}
		return nil, err
	}
	if s.only != "" && len(s.here) < len(s.Model.Components) && o.URL == connect.Memory {
		return nil, &configError{errors.New("--deployment runs a part of the system, and a bus in memory joins it with nothing"),
			"give the file a bus that all parts reach: `message_bus = redis { url = $REDIS_URL }`"}
	}
	return w, nil
}

// inContainer is the way to a bus that is a container of the project.
func (s *assembly) inContainer(w *busWay, joint *compose.Loaded) (err error) {
	if w.container, err = joint.BusAddress(); err != nil {
		return noBusPort(err)
	}
	scheme := "redis://"
	if s.Model.Bus != nil && s.Model.Bus.Kind == "nats" {
		scheme = "nats://"
	}
	w.options.URL = scheme + w.container
	w.options.Password, err = joint.BusPassword()
	return err
}

func noBusPort(err error) error {
	return &configError{err, "write `message_bus = redis { ports = { \"16379\": \"6379\" } }`, or leave `ports` out, and ww chooses one"}
}

// reachable says why the bus that a URL names can't be reached from both sides.
func (s *assembly) reachable(bus string, joint *compose.Loaded) error {
	u, err := url.Parse(bus)
	if err != nil {
		return nil // whoever connects says what is wrong with it
	}
	host := u.Hostname()
	if model.Loopback(host) {
		return &configError{fmt.Errorf("containers can't reach a message bus on %s: there that is the container itself", host),
			"name the host as both sides see it, or leave `message_bus` out, and ww runs a bus that both reach"}
	}
	if _, inside := joint.Project.Services[host]; inside {
		return &configError{fmt.Errorf("the message bus is at %q, which is a container of this project: those outside of containers can't reach it by that name", host),
			"leave `message_bus` out, and ww runs a bus that both reach"}
	}
	return nil
}

// joint is what of the file runs in containers, for those that don't; nil where
// nothing does. It needs no engine.
func (t *tool) joint(c *cli.Context, s *assembly) (*compose.Loaded, error) {
	if !containsAny(s.Model.Components, s.contained) {
		return nil, nil
	}
	req := t.request(c)
	req.Inside = s.contained
	// No image is made of this: any file does in place of the binary for them.
	req.Binary = templates.Binary{Path: s.Files[0]}
	return t.load(c.Context, req)
}

func containsAny(cs []*model.Component, is func(*model.Component) bool) bool {
	for _, c := range cs {
		if is(c) {
			return true
		}
	}
	return false
}
