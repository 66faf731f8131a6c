package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

const (
	// patience is for what has an end of its own.
	patience = time.Minute
	// endWithin is what the other side gets to end once it is told to.
	endWithin = 3 * time.Second
)

// remote is the bus of a running project, seen through one of its containers:
// the bus needs no open port for that.
type remote struct {
	name     string          // of the container
	known    []string        // components that have containers
	hard     context.Context // when it ends, nothing is waited for
	run      func(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) (code int, err error)
	note     func(string)
	ready    func()           // nothing is missed from now on; may be nil
	progress func(progressOf) // may be nil
	// trouble says why the project's bus doesn't run; "" if it does. May be nil.
	trouble func(context.Context) string
	// silent says why a component may not answer; "" if nothing tells. May be nil.
	silent func(ctx context.Context, target string) string
	// again turns to another container, once the one that is gone through has
	// ended; its error says why there is none. May be nil.
	again  func(context.Context) error
	handed atomic.Bool // an order was
	local  bool        // it is gone through a process of this machine, with no container
	// deployments has the deployment of each component, as far as it is known.
	deployments map[string]string
}

// onBus calls f with the bus of the project that the command line means.
func (t *tool) onBus(c *cli.Context, f func(context.Context, *remote) error) error {
	r, leave, err := t.reach(c.Context, c)
	if err != nil {
		return err
	}
	defer leave()
	return f(c.Context, r)
}

// reach finds the bus of the project that the command line means; leave ends
// what that needs.
func (t *tool) reach(ctx context.Context, c *cli.Context) (r *remote, leave func(), err error) {
	if n := t.nearby(ctx, c); n != nil {
		return t.throughProcess(n), func() {}, nil
	}
	project, err := t.find(ctx, c)
	if err != nil {
		return nil, nil, notHere(err)
	}
	door, known, err := project.door(nil)
	if err != nil {
		return nil, nil, errors.Join(err, project.engine.Close())
	}
	r = t.through(project, door, known)
	r.again = r.anotherWay(project, door)
	return r, func() { _ = project.engine.Close() }, nil // nothing is left to be said on it
}

// through is the bus as it is seen from inside a container.
func (t *tool) through(r *running, door plan.Container, known []string) *remote {
	deployments := map[string]string{}
	for _, c := range r.have.Containers {
		deployments[c.Labels[deploy.LabelComponent]] = c.Labels[deploy.LabelDeployment]
	}
	return &remote{
		name: door.Name, known: known, hard: t.cleanup(), trouble: r.trouble, deployments: deployments,
		note: func(s string) { fmt.Fprintln(t.err, "note:", harmless(s)) },
		run:  agentIn(r.engine, door.ID),
	}
}

// agentIn runs the inner half in a container.
func agentIn(e *dockerx.Engine, id string) func(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	return func(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
		return e.Exec(ctx, id, deploy.ExecSpec{Cmd: []string{"/ww", "bus-agent"}, Stdin: stdin, Stdout: stdout, Stderr: stderr})
	}
}

// door finds a running component to look at the bus through, a healthy one if
// there is one, and the names of all. Those that were tried in vain come last.
func (r *running) door(tried map[string]int) (plan.Container, []string, error) {
	better := func(c, than *plan.Container) bool {
		if than == nil || tried[c.ID] != tried[than.ID] {
			return than == nil || tried[c.ID] < tried[than.ID]
		}
		return than.Health != plan.Healthy && c.Health == plan.Healthy
	}
	var known []string
	var found *plan.Container
	if why := busTrouble(r.have.Containers); why != "" {
		return plan.Container{}, nil, busNotRunning(why)
	}
	for i := range r.have.Containers {
		c := &r.have.Containers[i]
		name := c.Labels[deploy.LabelComponent]
		if name == "" || c.OneOff || c.Labels[deploy.LabelKind] == "container" {
			continue
		}
		known = append(known, name)
		if c.State == plan.Running && better(c, found) {
			found = c
		}
	}
	switch {
	case len(known) == 0:
		return plan.Container{}, nil, busNotRunning(nothingRuns(r.name))
	case found == nil:
		return plan.Container{}, nil, &answerError{
			fmt.Sprintf("no component of %s is running, and the bus is reached through one of them", r.name),
			"`ww compose up -d` starts them; what waits on the bus is kept",
		}
	}
	return *found, known, nil
}

// do has an order done and calls each for every item. When ctx ends, or each
// fails, the other side is told by the end of its input, and is waited for.
// Where what it goes through ends first, and there is another way, an order that
// may be repeated is. What is asked then answers anew from its beginning.
func (r *remote) do(ctx context.Context, o order, each func(json.RawMessage) error) error {
	some := false
	noting := func(item json.RawMessage) error {
		some = true
		return each(item)
	}
	for {
		err := r.try(ctx, o, noting)
		var cut *cutError
		if !errors.As(err, &cut) || ctx.Err() != nil {
			return err
		}
		if r.again != nil && (o.Op == opAsk || !some && slices.Contains(repeatable, o.Op)) {
			other := r.again(ctx)
			if other == nil {
				continue
			}
			err = fmt.Errorf("%w; %w", err, other)
		}
		// It may be the whole system that went down.
		if gone := r.gone(ctx); gone != nil {
			return gone
		}
		return err
	}
}

// try is do with what there is.
func (r *remote) try(ctx context.Context, o order, each func(json.RawMessage) error) error {
	o.Known = r.known
	line, err := jsonLine(o)
	if err != nil {
		return err
	}
	hear, tell := io.Pipe()
	out, stdout := io.Pipe()
	process, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	defer context.AfterFunc(r.hard, abort)()
	defer context.AfterFunc(ctx, func() {
		tell.Close()
		time.AfterFunc(endWithin, abort)
	})()
	var stderr lastBytes
	var code int
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		code, failed = r.run(process, io.MultiReader(&handing{bytes.NewReader(line), &r.handed}, hear), stdout, &stderr)
		stdout.Close()
	}()
	heard := r.read(ctx, out, each)
	tell.Close()
	out.Close()
	<-done
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		if gone := r.gone(ctx); gone != nil {
			return gone
		}
		remedy := "`ww compose ps` and `ww compose logs` tell how the bus and " + r.name + " are"
		if r.local {
			remedy = "what `ww up` writes tells how it is"
		}
		return &timeoutError{"the bus hasn't answered in time", remedy}
	case ctx.Err() != nil:
		return ctx.Err()
	case heard != nil:
		return heard
	case failed != nil:
		return r.cutBy(failed)
	case code == exitUsage:
		return &configError{fmt.Errorf("the ww in %s can't look into the bus", r.name), remedyOld}
	case code != 0:
		return &cutError{&answerError{fmt.Sprintf("looking into the bus through %s failed (exit code %d): %s", r.name, code, stderr.text()), remedyCut}}
	}
	return nil
}

// once is do for an order that has an end.
func (r *remote) once(ctx context.Context, o order, each func(json.RawMessage) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience+o.Wait)
	defer cancel()
	return r.do(ctx, o, each)
}

// watch is do for an order that goes on until ctx ends, which isn't an error
// then: Ctrl-C is the way to end it.
func (r *remote) watch(ctx context.Context, o order, each func(json.RawMessage) error) error {
	err := r.do(ctx, o, each)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func (r *remote) read(ctx context.Context, out io.Reader, each func(json.RawMessage) error) error {
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, 3*bus.MaxMessageBytes)
	for sc.Scan() {
		var res result
		if err := json.Unmarshal(sc.Bytes(), &res); err != nil {
			// It may be the engine that says why the command can't be run.
			return &cutError{fmt.Errorf("%s answers what isn't JSON: %s", r.name, harmless(string(sc.Bytes()[:min(len(sc.Bytes()), 500)])))}
		}
		switch {
		case res.Away && ctx.Err() == nil:
			return r.away(ctx, res.Error)
		case res.Error != "":
			return res.err()
		case res.Note != "":
			r.note(res.Note)
		case res.Progress != nil:
			if r.progress != nil {
				r.progress(*res.Progress)
			}
		case res.Ready:
			if r.ready != nil {
				r.ready()
			}
		default:
			if err := each(res.Item); err != nil {
				return err
			}
		}
	}
	if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%s answers more than a message holds: %w", r.name, err)
	}
	return nil // what ended the stream otherwise is told by the command's result
}

// err is the error as it was in the container.
func (res *result) err() error {
	msg := harmless(res.Error)
	switch res.Code {
	case exitUsage:
		return &usageError{errors.New(msg), res.Remedy}
	case exitConfig:
		return &configError{errors.New(msg), res.Remedy}
	case exitTimeout:
		return &timeoutError{msg, res.Remedy}
	}
	return &answerError{msg, res.Remedy}
}

// collect returns all items of an order that has an end.
func collect[T any](ctx context.Context, r *remote, o order) ([]T, error) {
	all := []T{}
	err := r.once(ctx, o, parsed(func(v T) error {
		all = append(all, v)
		return nil
	}))
	return all, err
}

// only returns the one item of an order.
func only[T any](ctx context.Context, r *remote, o order) (T, error) {
	all, err := collect[T](ctx, r, o)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("%s answers with %d results, want one", r.name, len(all))
	}
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}

func parsed[T any](each func(T) error) func(json.RawMessage) error {
	return func(item json.RawMessage) error {
		var v T
		if err := json.Unmarshal(item, &v); err != nil {
			return fmt.Errorf("the answer isn't what was asked for: %w", err)
		}
		return each(v)
	}
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct{ b []byte }

func (l *lastBytes) Write(p []byte) (int, error) {
	const most = 4 << 10
	l.b = append(l.b, p...)
	if len(l.b) > most {
		l.b = append(l.b[:0], l.b[len(l.b)-most:]...)
	}
	return len(p), nil
}

func (l *lastBytes) text() string {
	if s := strings.TrimSpace(string(l.b)); s != "" {
		return oneLine(s)
	}
	return "it wrote nothing"
}
