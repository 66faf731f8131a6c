package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy"
)

// nearby finds the process of this folder that runs the project which the command
// line means; nil where there is none, or where an engine is named.
func (t *tool) nearby(ctx context.Context, c *cli.Context) *notice {
	if all := t.allNearby(ctx, c); len(all) > 0 {
		return all[0]
	}
	return nil
}

// allNearby are the processes of this folder that run the project, or parts of it.
func (t *tool) allNearby(ctx context.Context, c *cli.Context) []*notice {
	if inherited(c, "host") != "" || inherited(c, "context") != "" {
		return nil // and no file needs to be read
	}
	name, err := compose.Name(ctx, t.request(c))
	if err != nil {
		return nil // whoever looks for containers says so
	}
	return t.noticesOf(c, name)
}

// noticesOf are the notices of a project in this folder; none where an engine is
// named.
func (t *tool) noticesOf(c *cli.Context, name string) []*notice {
	if inherited(c, "host") != "" || inherited(c, "context") != "" {
		return nil
	}
	found, _ := filepath.Glob(filepath.Join(compose.ProjectDir(t.request(c)), compose.Folder, runFolder, name+".*.json"))
	var all []*notice
	for _, file := range found {
		if n := readNotice(file); n != nil && n.Project == name {
			all = append(all, n)
		}
	}
	return all
}

// readNotice reads what a process says of itself. Where that has died, its files
// are removed, and it is nil.
func readNotice(file string) *notice {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var n notice
	if err := json.Unmarshal(text, &n); err != nil {
		return nil
	}
	conn, err := net.DialTimeout("unix", n.Socket, time.Second)
	if err == nil {
		_ = conn.Close()
		return &n
	}
	if stale(err) {
		_ = os.Remove(n.Socket)
		_ = os.Remove(file)
	}
	return nil
}

// runsAlready tells of a process of this folder in which some of those of a project
// that are to be started run; nil where there is none.
func (t *tool) runsAlready(c *cli.Context, project string, starts func(name string) bool) *runningError {
	for _, n := range t.noticesOf(c, project) {
		if twice := n.here(starts); len(twice) > 0 {
			return &runningError{
				fmt.Sprintf("`ww up` (process %d) is running %s, and %s in it: they would run twice", n.PID, n.Project, strings.Join(twice, ", ")),
				"Ctrl-C ends it there; another --project-name makes this a system of its own",
			}
		}
	}
	return nil
}

// here lists those of some components that run in the process.
func (n *notice) here(which func(name string) bool) (names []string) {
	for _, child := range n.Components {
		if child.Here && which(child.Name) {
			names = append(names, child.Name)
		}
	}
	return names
}

// livesOnBus tells of a process of this folder with components whose bus is a
// container of a project; nil where there is none.
func (t *tool) livesOnBus(c *cli.Context, project string) *runningError {
	for _, n := range t.noticesOf(c, project) {
		if here := n.here(func(string) bool { return n.Bus }); len(here) > 0 {
			return &runningError{
				fmt.Sprintf("`ww up` (process %d) is running %s, and %s in it would lose the bus", n.PID, n.Project, strings.Join(here, ", ")),
				"Ctrl-C there takes all of it down, in order",
			}
		}
	}
	return nil
}

// throughProcess is the bus of a system that runs in a process.
func (t *tool) throughProcess(n *notice) *remote {
	r := &remote{
		name: fmt.Sprintf("`ww up` (process %d)", n.PID), hard: t.cleanup(), local: true, deployments: map[string]string{},
		note: func(s string) { fmt.Fprintln(t.err, "note:", harmless(s)) },
		run:  n.order,
	}
	for _, c := range n.Components {
		r.deployments[c.Name] = c.Deployment
	}
	t.local.Store(true)
	return r
}

// order has the process do what stdin says.
func (n *notice) order(ctx context.Context, stdin io.Reader, stdout, _ io.Writer) (int, error) {
	gone := &cutError{&answerError{fmt.Sprintf("process %d, which runs %s, has ended", n.PID, n.Project), remedyLocal}}
	conn, err := net.Dial("unix", n.Socket)
	if err != nil {
		return 0, gone
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go func() { // ends with stdin, or with the connection
		_, _ = io.Copy(conn, stdin)
		_ = conn.(*net.UnixConn).CloseWrite()
	}()
	sc := bufio.NewScanner(conn)
	sc.Buffer(nil, 3*bus.MaxMessageBytes)
	for sc.Scan() {
		if sc.Text() == orderDone {
			return 0, nil
		}
		if _, err := stdout.Write(append(sc.Bytes(), '\n')); err != nil {
			return 0, nil // whoever reads has heard enough
		}
	}
	if ctx.Err() != nil {
		return 0, nil
	}
	return 0, gone
}

const remedyLocal = "`ww up` starts it again; what it wrote last says why it ended"

// takes says why a component can't be sent to.
func (n *notice) takes(target string) error {
	var names []string
	for _, c := range n.Components {
		if c.Kind == "container" {
			continue
		}
		names = append(names, c.Name)
		if c.Name != target {
			continue
		}
		if c.Kind != "input" {
			return nil
		}
		remedy := "it hands nothing on"
		if len(c.Routes) > 0 {
			remedy = "send to what it hands on to: " + strings.Join(c.Routes, ", ")
		}
		if c.Address != "" {
			remedy += fmt.Sprintf("; or `curl -d '{\"value\": \"…\"}' %s`", c.Address)
		}
		return &usageError{fmt.Errorf("%s is an input: it takes work from outside, and no messages", target), remedy}
	}
	slices.Sort(names)
	return &usageError{fmt.Errorf("there is no component %q in %s", target, n.Project), suggestion(target, names, "there are: "+strings.Join(names, ", "))}
}

// inputs lists what gets input.
func (n *notice) inputs() []string {
	var targets []string
	for _, c := range n.Components {
		if c.Kind == "input" {
			targets = append(targets, c.Routes...)
		}
	}
	return targets
}

// notHere adds to the error of an engine that isn't there that no process of this
// folder runs the system either.
func notHere(err error) error {
	var engine *deploy.EngineError
	if errors.As(err, &engine) && engine.Kind == deploy.Unreachable {
		return fmt.Errorf("no `ww up` runs in this folder, and for containers: %w", err)
	}
	return err
}
