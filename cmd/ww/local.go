package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/runtime/deploy/inproc"
)

// A system that `ww up` runs in its own process has its bus looked into through
// that process: it does orders that come in on a socket, as the inner half of
// `ww bus` does in a container. A file beside the socket says what system it is.

// orderDone ends what a socket answers. No line of JSON is like it: where it
// doesn't come, the process has ended before the order was done.
const orderDone = "done"

// runFolder holds sockets and what is said of them, in the folder of what is
// generated. Nobody but its owner gets in.
const runFolder = "run"

// longestSocket is the longest path that every system takes as a socket's.
const longestSocket = 100

// notice says that a system runs in a process.
type notice struct {
	Project    string         `json:"project"`
	PID        int            `json:"pid"`
	Socket     string         `json:"socket"`
	Bus        bool           `json:"bus,omitempty"` // that is a container of the project
	Components []noticedChild `json:"components"`    // of the whole file
}

// noticedChild is one component of a system.
type noticedChild struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Deployment string   `json:"deployment,omitempty"`
	Runs       string   `json:"runs"`           // docker, local or server
	Here       bool     `json:"here,omitempty"` // in the process
	Routes     []string `json:"routes,omitempty"`
	Address    string   `json:"address,omitempty"` // where it takes work from outside
}

// announce opens the door to a system's bus for other commands in the same
// folder, until leave is called. Where it can't, the system runs without.
func (t *tool) announce(s *assembly, running *inproc.System) (leave func(), err error) {
	d, err := openDoor(s, running)
	if err != nil {
		fmt.Fprintf(t.err, "note: other commands can't look into this system: %v\n", err)
		return func() {}, nil
	}
	return d.close, nil
}

// localDoor does the orders that come in on a socket.
type localDoor struct {
	listener net.Listener
	files    []string // to be removed in the end, folders last
	known    []string // components, besides those that an order names as such
	open     opener
	parts    func() []inproc.PartState // nil in a container
	end      context.CancelFunc
	wg       sync.WaitGroup
}

func openDoor(s *assembly, running *inproc.System) (*localDoor, error) {
	if err := compose.EnsureFolder(s.Dir); err != nil {
		return nil, err
	}
	folder := filepath.Join(s.Dir, compose.Folder, runFolder)
	if err := errors.Join(os.MkdirAll(folder, 0o700), os.Chmod(folder, 0o700)); err != nil {
		return nil, err
	}
	n := notice{Project: s.Name, PID: os.Getpid(), Bus: s.busInside()}
	addresses := addressesOf(running)
	d := &localDoor{open: running.Bus, parts: running.Parts}
	for _, c := range s.Model.Components {
		child := noticedChild{Name: c.Name, Kind: c.Kind, Runs: s.kinds[c.Name], Here: slices.Contains(s.here, c), Routes: append(append([]string{}, c.To...), c.Topics...), Address: addresses[c.Name]}
		if c.Deployment != nil {
			child.Deployment = c.Deployment.Name
		}
		n.Components = append(n.Components, child)
		if c.Kind != "container" {
			d.known = append(d.known, c.Name)
		}
	}
	base := filepath.Join(folder, fmt.Sprintf("%s.%d", s.Name, n.PID))
	n.Socket = base + ".sock"
	d.files = []string{base + ".json", n.Socket, folder}
	if len(n.Socket) > longestSocket {
		short, err := os.MkdirTemp("", "ww-")
		if err != nil {
			return nil, err
		}
		n.Socket = filepath.Join(short, "sock")
		d.files = []string{base + ".json", n.Socket, folder, short}
	}
	_ = os.Remove(n.Socket) // of a process that had this one's number
	var err error
	if d.listener, err = net.Listen("unix", n.Socket); err != nil {
		d.clear()
		return nil, err
	}
	text, err := json.Marshal(n)
	if err == nil {
		err = errors.Join(os.Chmod(n.Socket, 0o600), os.WriteFile(base+".json", text, 0o600))
	}
	if err != nil {
		_ = d.listener.Close()
		d.clear()
		return nil, err
	}
	ctx, end := context.WithCancel(context.Background())
	d.end = end
	d.wg.Go(func() { d.serve(ctx) })
	return d, nil
}

func (d *localDoor) serve(ctx context.Context) {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return // it was closed
		}
		d.wg.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			// Its error is in what it has written.
			_ = doOrder(ctx, conn, conn, d)
			if ctx.Err() == nil {
				_, _ = io.WriteString(conn, orderDone+"\n")
			}
		})
	}
}

// close ends all orders, and waits for that.
func (d *localDoor) close() {
	d.end()
	_ = d.listener.Close() // removes the socket
	d.wg.Wait()
	d.clear()
}

// clear removes what was made; a folder only once it is empty.
func (d *localDoor) clear() {
	for _, f := range d.files {
		_ = os.Remove(f)
	}
}
