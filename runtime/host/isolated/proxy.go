// Package isolated runs a component's handler in a process of its own: whatever
// becomes of that, the other components go on, and the message that it handled is
// tried again. The bus stays where it is. The two processes call each other over
// the child's standard streams: messages go there, and results, pieces of answers,
// questions, logs and requests for secrets come back. Nothing of it is in the
// child's arguments or its environment, which has only what any program needs.
package isolated

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/host/tracing"
	"woodwork.dev/ww/runtime/process"
)

// again is how a process that has ended is started again.
var again = bus.Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second}

// Build makes a component whose handler is run by what command makes, which has to
// call Serve with its standard streams. It can have neither routes nor something to
// run.
func Build(command func() *exec.Cmd) component.Builder {
	return func(ctx context.Context, env component.Env) (*component.Instance, error) {
		p := &proxy{command: command, env: env, closing: make(chan struct{}), done: make(chan struct{})}
		first, about, err := p.start(ctx)
		if err != nil {
			return nil, err
		}
		p.current.Set(first)
		go func() {
			defer close(p.done)
			p.supervise(first)
		}()
		return &component.Instance{
			Handle: p.handle, Streams: about.Streams, Timed: about.Timed, Capabilities: about.Capabilities, Close: p.close,
		}, nil
	}
}

// proxy is the component on the bus's side.
type proxy struct {
	command func() *exec.Cmd
	env     component.Env
	closing chan struct{}
	done    chan struct{} // closed when no process runs any more
	current process.Current[running]
}

// running is one process of the component.
type running struct {
	peer    *peer
	process *process.Process
	stdin   io.Closer
	stdout  io.Reader
	stderr  *head
	env     component.Env
	ended   chan struct{}
	why     error // it ended; to be read after that

	mu      sync.Mutex
	last    uint64
	replies map[uint64]bus.Replies
}

// start starts a process and has it build the component.
func (p *proxy) start(ctx context.Context) (*running, buildResult, error) {
	var about buildResult
	cmd := p.command()
	cmd.Env, cmd.WaitDelay = environment(), linger
	r := &running{env: p.env, ended: make(chan struct{}), stderr: &head{}, replies: map[uint64]bus.Replies{}}
	cmd.Stderr = r.stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, about, err
	}
	r.stdin, r.stdout, r.peer = stdin, stdout, newPeer(stdin)
	r.peer.serve = r.serve
	r.peer.log = func(ctx context.Context, raw json.RawMessage) { relog(ctx, p.env.Log, raw) }
	var err error
	if r.process, err = p.env.Processes.Start(cmd); err != nil {
		return nil, about, fmt.Errorf("start its process: %w", err)
	}
	r.peer.stuck = func() {
		p.current.Leave(r)
		_ = r.process.Kill()
	}
	go func() {
		defer close(r.ended)
		defer p.current.Leave(r) // whoever learns of its end is given another one
		r.run()
	}()
	in := buildCall{Config: p.env.Config, Memory: p.env.Processes.Limits().Memory, Debug: p.env.Log.Enabled(ctx, slog.LevelDebug)}
	if err := r.peer.call(ctx, "build", in, &about, nil); err != nil {
		_ = r.process.Kill()
		<-r.ended
		if errors.Is(err, errOver) {
			err = r.why
		}
		return nil, about, err
	}
	return r, about, nil
}

// run reads what the process says until it ends.
func (r *running) run() {
	reading := r.peer.read(context.Background(), r.stdout)
	if reading != nil {
		_ = r.process.Kill()
	}
	for _, answers := range r.replies {
		_ = answers.Close() // nobody waits for them any more
	}
	err := r.process.Wait()
	if reading != nil {
		err = reading
	}
	var killed *process.KilledError
	switch {
	case errors.As(err, &killed):
		r.why = fmt.Errorf("the component's process was %w", killed)
	case err != nil && r.stderr.line() != "":
		r.why = fmt.Errorf("the component's process ended: %w: %s", err, r.stderr.line())
	case err != nil:
		r.why = fmt.Errorf("the component's process ended: %w", err)
	default:
		r.why = errors.New("the component's process ended by itself")
	}
}

// supervise starts the process again whenever it ends, with longer pauses as long
// as it ends soon.
func (p *proxy) supervise(r *running) {
	for attempt := 1; ; attempt++ {
		began := time.Now()
		var err error
		if r != nil {
			select {
			case <-r.ended:
			case <-p.closing:
				p.current.Set(nil)
				r.end()
				return
			}
			p.current.Set(nil)
			if err = r.why; time.Since(began) > again.Max {
				attempt = 1
			}
		}
		pause := again.Delay(attempt)
		p.env.Log.Warn("the component's process is started again", "error", err, "pause", pause.String())
		select {
		case <-time.After(pause):
		case <-p.closing:
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			select {
			case <-p.closing:
				cancel()
			case <-ctx.Done():
			}
		}()
		r, _, err = p.start(ctx)
		cancel()
		<-stop
		if err == nil {
			p.current.Set(r)
		}
	}
}

func (p *proxy) handle(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error) {
	r, err := p.current.Wait(ctx, p.done)
	if err != nil {
		return nil, err
	}
	var answer handleResult
	err = r.peer.call(ctx, "handle", handleCall{m, tracing.Context(ctx)}, &answer, out)
	if errors.Is(err, errOver) {
		<-r.ended
		err = r.why
	}
	return answer.Result, err
}

func (p *proxy) close() error {
	close(p.closing)
	<-p.done
	return nil
}

// end has the process end by itself, if it does so soon.
func (r *running) end() {
	_ = r.stdin.Close() // it may have ended
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
		_ = r.process.Kill()
		<-r.ended
	}
}

// environment is what a handler's process needs of that of ww, which may hold
// anything.
func environment() []string {
	var env []string
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "SystemRoot",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}
