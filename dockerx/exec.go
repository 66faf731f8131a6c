package dockerx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"woodwork.dev/ww/runtime/deploy"
)

// Exec implements deploy.Driver. It takes three calls. When ctx ends before the
// command does, Exec returns, and the command goes on: an engine has no way to
// end it.
//
// A Stdin that blocks is read by a goroutine that outlives Exec until that read
// returns; what it reads then is lost.
func (e *Engine) Exec(ctx context.Context, id string, spec deploy.ExecSpec) (int, error) {
	code := -1
	what := fmt.Sprintf("run %s in container %s", commandName(spec.Cmd), id)
	err := e.call(ctx, what, func(c *client.Client) error {
		created, err := c.ContainerExecCreate(ctx, id, container.ExecOptions{
			Cmd:          spec.Cmd,
			Env:          spec.Env,
			User:         spec.User,
			WorkingDir:   spec.Dir,
			Privileged:   spec.Privileged,
			Tty:          spec.TTY,
			AttachStdin:  spec.Stdin != nil && !spec.Detach,
			AttachStdout: !spec.Detach,
			AttachStderr: !spec.Detach,
		})
		if err != nil {
			return err
		}
		if spec.Detach {
			code = 0
			return c.ContainerExecStart(ctx, created.ID, container.ExecStartOptions{Detach: true, Tty: spec.TTY})
		}
		s, err := e.hijack(ctx, c, "/exec/"+created.ID+"/start", nil, container.ExecStartOptions{Tty: spec.TTY})
		if err != nil {
			return err
		}
		resized := followSize(ctx, spec.Sizes, func(ctx context.Context, o container.ResizeOptions) error {
			return c.ContainerExecResize(ctx, created.ID, o)
		})
		cut := s.pump(spec.TTY, spec.Stdin, spec.Stdout, spec.Stderr)
		resized()
		within := ctx
		if errors.Is(cut, syscall.ECONNRESET) {
			// A connection is also reset where a command ends before it has read all
			// of its input. Whether it has ended tells that from one that was lost.
			var cancel context.CancelFunc
			within, cancel = context.WithTimeout(ctx, endedWithin)
			defer cancel()
		} else if cut != nil {
			return cut
		}
		code, err = exitCode(within, c, created.ID)
		if err != nil && cut != nil && ctx.Err() == nil {
			return cut
		}
		return err
	})
	return code, err
}

// endedWithin is how long an engine may take to note the end of a command after
// it closed the command's connection.
const endedWithin = time.Second

// commandName leaves the arguments out, which may hold what isn't for a log.
func commandName(cmd []string) string {
	if len(cmd) == 0 {
		return "a command"
	}
	return cmd[0]
}

// exitCode asks for the exit code of a command whose output has ended. The
// engine may still be about to note that it ended as well.
func exitCode(ctx context.Context, c *client.Client, execID string) (int, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		r, err := c.ContainerExecInspect(ctx, execID)
		if err != nil {
			return -1, err
		}
		if !r.Running {
			return r.ExitCode, nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return -1, ctx.Err()
		}
	}
}

// Attach implements deploy.Driver. Stdin may be nil. What it says about a Stdin
// that blocks holds for Exec's as well.
func (e *Engine) Attach(ctx context.Context, id string, tty bool, stdin io.Reader, stdout, stderr io.Writer) error {
	return e.call(ctx, "attach to container "+id, func(c *client.Client) error {
		s, err := e.attach(ctx, c, id, stdin != nil)
		if err != nil {
			return err
		}
		return s.pump(tty, stdin, stdout, stderr)
	})
}

func (e *Engine) attach(ctx context.Context, c *client.Client, id string, stdin bool) (*stream, error) {
	query := url.Values{"stream": {"1"}, "stdout": {"1"}, "stderr": {"1"}}
	if stdin {
		query.Set("stdin", "1")
	}
	return e.hijack(ctx, c, "/containers/"+id+"/attach", query, nil)
}

// pump copies in both directions until the output ends, and closes the stream.
// The end of stdin is passed on.
func (s *stream) pump(tty bool, stdin io.Reader, stdout, stderr io.Writer) error {
	if stdin != nil {
		go func() {
			_, _ = io.Copy(s.Conn, stdin)
			_ = s.CloseWrite()
		}()
	}
	err := demultiplex(s, tty, stdout, stderr)
	_ = s.Close()
	if errors.Is(err, net.ErrClosed) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// demultiplex copies a container's output to its two writers. With a terminal
// there is one stream only.
func demultiplex(r io.Reader, tty bool, stdout, stderr io.Writer) error {
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	if tty {
		_, err := io.Copy(stdout, r)
		return err
	}
	_, err := stdcopy.StdCopy(stdout, stderr, r)
	return err
}
