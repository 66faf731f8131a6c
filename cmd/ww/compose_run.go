package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run one command in a new container of a service, with its exit code",
		ArgsUsage: "SERVICE [COMMAND [ARG…]]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "build", Usage: "build the image that is there already"},
			listFlag("cap-add", "a Linux `CAPABILITY` more"),
			listFlag("cap-drop", "a Linux `CAPABILITY` less"),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "don't wait for it; prints the container's name"},
			&cli.StringFlag{Name: "entrypoint", Usage: "another entrypoint"},
			listFlag("env", "a variable: `NAME=VALUE`, or NAME for the value that it has here", "e"),
			listFlag("env-from-file", "variables from a `FILE`"),
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Value: true, Usage: "with this process's input"},
			listFlag("label", "a label: `NAME=VALUE`", "l"),
			&cli.StringFlag{Name: "name", Usage: "the container's `NAME`"},
			&cli.BoolFlag{Name: "no-deps", Usage: "don't start what the service depends on"},
			&cli.BoolFlag{Name: "no-tty", Aliases: []string{"T", "no-TTY"}, Usage: "without a terminal (default: as this process has one)"},
			listFlag("publish", "publish a `PORT`: [HOST:]CONTAINER", "p"),
			pullFlag(),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
			&cli.BoolFlag{Name: "quiet-build", Usage: "no progress of builds"},
			&cli.BoolFlag{Name: "quiet-pull", Usage: "no progress of pulls"},
			&cli.BoolFlag{Name: "remove-orphans", Usage: "remove containers of services that the file has no more"},
			&cli.BoolFlag{Name: "rm", Usage: "remove the container when it ends"},
			&cli.BoolFlag{Name: "service-ports", Aliases: []string{"P"}, Usage: "publish the service's own ports"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Value: true, Hidden: true},
			&cli.BoolFlag{Name: "use-aliases", Usage: "let it answer to the service's names on its networks"},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "as this `USER`"},
			listFlag("volume", "mount a `VOLUME`: SOURCE:TARGET", "v"),
			&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "in this `FOLDER`"},
		},
		Action: t.run,
	}
}

func (t *tool) run(c *cli.Context) error {
	if !c.Args().Present() {
		return &usageError{errors.New("name a service"), "ww compose run SERVICE [COMMAND [ARG…]]"}
	}
	e, err := t.engine(c)
	if err != nil {
		return err
	}
	defer e.Close()
	req, err := t.oneOffRequest(c, e)
	if err != nil {
		return err
	}
	if dryRun(c) {
		p, err := deploy.PreviewOneOff(c.Context, e, req)
		if err == nil {
			_, err = fmt.Fprint(t.out, p)
		}
		return err
	}
	id, err := t.createOneOff(c, e, req)
	if err != nil {
		return err
	}
	if c.Bool("detach") {
		if err := e.Start(c.Context, id); err != nil {
			return errors.Join(err, e.Remove(t.cleanup(), id, true))
		}
		_, err := fmt.Fprintln(t.out, req.Name)
		return err
	}
	code, err := t.runHere(c, e, id, req)
	var unable *commandError
	if errors.As(err, &unable) {
		fmt.Fprintf(t.err, "%s %v\n", t.paint(red, "error:"), unable)
		return errReported{unable.code}
	}
	if err != nil {
		return err
	}
	if code != 0 {
		return errReported{code}
	}
	return nil
}

// createOneOff brings what the container needs, and creates it. What was started
// for it stays, unless that fails.
func (t *tool) createOneOff(c *cli.Context, e *dockerx.Engine, req deploy.OneOffRequest) (string, error) {
	unlock, err := t.lock(c.Context, e, req.Project.Name)
	if err != nil {
		return "", err
	}
	defer unlock()
	id, res, err := deploy.OneOff(c.Context, e, req)
	if err == nil {
		return id, nil
	}
	ctx, cancel := context.WithTimeout(t.cleanup(), time.Minute)
	defer cancel()
	if undo := res.Undo(ctx); undo != nil {
		fmt.Fprintf(t.err, "warning: %v\n", undo)
	}
	return "", err
}

// oneOffRequest loads the project and works out what the container is to be.
func (t *tool) oneOffRequest(c *cli.Context, e *dockerx.Engine) (deploy.OneOffRequest, error) {
	var req deploy.OneOffRequest
	name := c.Args().First()
	opts, err := t.planOptions(c)
	if err != nil {
		return req, err
	}
	l, err := t.loadProject(c, []string{name}, e)
	if err != nil {
		return req, err
	}
	if err := t.ready(l); err != nil {
		return req, err
	}
	svc := l.Project.Services[name]
	own, err := l.Project.WithServicesTransform(func(_ string, s types.ServiceConfig) (types.ServiceConfig, error) { return s, nil })
	if err != nil {
		return req, err
	}
	tty := !c.Bool("no-tty") && c.Bool("tty") && !c.Bool("detach") && t.interactive()
	changed, err := oneOffService(own.Services[name], l.Project.Environment, changes{
		Command: c.Args().Tail(), Entrypoint: c.String("entrypoint"), OwnEntrypoint: c.IsSet("entrypoint"),
		Env: listOf(c, "env"), EnvFiles: listOf(c, "env-from-file"), Labels: listOf(c, "label"),
		CapAdd: listOf(c, "cap-add"), CapDrop: listOf(c, "cap-drop"), Publish: listOf(c, "publish"), Volumes: listOf(c, "volume"),
		User: c.String("user"), Dir: c.String("workdir"), ServicePorts: c.Bool("service-ports"),
		TTY: tty, Stdin: c.Bool("interactive"),
	})
	if err != nil {
		return req, err
	}
	if err := t.checkKeys(c.Context, l, e); err != nil {
		return req, err
	}
	if !dryRun(c) {
		if err := l.Prepare(); err != nil {
			return req, prepareError(err)
		}
	}
	slug := newSlug()
	req = deploy.OneOffRequest{
		UpRequest: deploy.UpRequest{
			Project: l.Project, Digests: digests(), EnvFiles: inheritedList(c, "env-file"), Options: opts,
			Parallel: parallel(c), Report: t.newProgress(l.Project, c.Bool("quiet")).reportFor(c),
		},
		Service: changed, Name: c.String("name"), Slug: slug, Remove: c.Bool("rm"), Aliases: c.Bool("use-aliases"),
		Stdin: c.Bool("interactive") && !c.Bool("detach"),
	}
	if req.Name == "" {
		req.Name = fmt.Sprintf("%s-%s-run-%s", l.Project.Name, svc.Name, slug[:12])
	}
	return req, nil
}

func newSlug() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// runHere runs a container that was created in the foreground. Whatever ends
// that, a container that is to be removed is.
func (t *tool) runHere(c *cli.Context, e *dockerx.Engine, id string, req deploy.OneOffRequest) (code int, err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Context))
	defer cancel()
	defer func() {
		last, done := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer done()
		if req.Remove || err != nil && neverStarted(last, e, id) {
			err = errors.Join(err, e.Remove(last, id, true)) // it may be gone already
		}
	}()
	spec := dockerx.AttachSpec{
		TTY: req.Service.Tty, Removed: req.Remove,
		Streams: deploy.ExecSpec{Stdout: t.out, Stderr: t.err},
	}
	if req.Stdin {
		spec.Streams.Stdin = t.in
	}
	if spec.TTY {
		sizes, restore, err := t.rawTerminal()
		if err != nil {
			return 0, err
		}
		defer restore()
		spec.Sizes = sizes
	}
	stop := t.forwardSignals(ctx, e, id, req.Name, cancel)
	defer stop()
	if err := c.Context.Err(); err != nil {
		return 0, err // a signal came before anyone listened
	}
	code, err = e.RunAttached(ctx, id, spec)
	switch {
	case errors.Is(err, syscall.EPIPE):
		return exitFailed, nil // nobody reads any more, and nobody is left to tell
	case err != nil:
		return 0, cannotRun(named(err, plan.Container{ID: id, Name: req.Name}))
	}
	return code, err
}

// cannotRun gives the failure to find a command the exit code that shells have for
// it.
func cannotRun(err error) error {
	var ee *deploy.EngineError
	switch {
	case !errors.As(err, &ee) || ee.Kind != deploy.NoProgram:
		return err
	case strings.HasSuffix(ee.Err.Error(), "isn't in its image"):
		return &commandError{ee, 127}
	}
	return &commandError{ee, 126}
}

// commandError is a command that can't be run, with the code that says so.
type commandError struct {
	error
	code int
}

func neverStarted(ctx context.Context, e *dockerx.Engine, id string) bool {
	c, err := e.Inspect(ctx, id)
	return err == nil && c.State == plan.Created
}

// forwardSignals hands signals on to a container: an interrupt as it is, a request
// to end as a stop, which kills after the container's grace. The second one kills.
// A closed standard output is a failure to write, not the end of this process.
func (t *tool) forwardSignals(ctx context.Context, e *dockerx.Engine, id, name string, giveUp func()) (stop func()) {
	caught := make(chan os.Signal, 4)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	done, gone := make(chan struct{}), make(chan struct{})
	var stopping chan struct{}
	go func() {
		defer close(gone)
		for n := 0; ; {
			var s os.Signal
			select {
			case s = <-caught:
			case <-done:
				return
			}
			if s == syscall.SIGPIPE {
				continue
			}
			n++
			switch {
			case n > 1:
				if err := e.Kill(ctx, id, "SIGKILL"); err != nil {
					giveUp()
				}
			case s == os.Interrupt:
				fmt.Fprintf(t.err, "interrupting %s; Ctrl-C again kills\n", name)
				_ = e.Kill(ctx, id, "SIGINT") // the next one kills
			default:
				stopping = make(chan struct{})
				go func() {
					defer close(stopping)
					_ = e.Stop(ctx, id, nil) // the next one kills
				}()
			}
		}
	}()
	return func() {
		signal.Stop(caught)
		close(done)
		<-gone
		if stopping != nil {
			<-stopping
		}
	}
}
