package dockerx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"regexp"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
)

// fail turns an error of the engine, or of the way to it, into a
// *deploy.EngineError that says what was being done and what to try. What ends
// because ctx does stays a context error, and what is classified already stays
// as it is.
func (e *Engine) fail(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	var classified *deploy.EngineError
	if errors.As(err, &classified) {
		return err
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%s: %w", what, ctxErr)
	}
	kind, remedy := e.classify(err)
	if program, why := missingProgram(err.Error()); kind == deploy.NoProgram {
		return &deploy.EngineError{Kind: kind, What: what, Err: &shortError{fmt.Sprintf("%q %s", program, why), err}, Remedy: remedy}
	}
	return &deploy.EngineError{Kind: kind, What: what, Err: plain(err), Remedy: remedy}
}

func (e *Engine) classify(err error) (deploy.ErrorKind, string) {
	text := strings.ToLower(err.Error())
	var ends *endpointsError
	switch {
	case errors.As(err, &ends):
		return deploy.Conflict, ends.remedy()
	case isDiskFull(err, text):
		return deploy.DiskFull, "free some space: 'docker system df' shows what takes it, 'docker system prune' removes what nothing uses"
	case errors.As(err, new(*silentError)):
		return deploy.Unreachable, "it hangs, or has far too much to do: see whether 'docker info' answers, and restart it if that doesn't either ('sudo systemctl restart docker', or Docker Desktop)"
	case isUnreachable(err):
		return e.unreachable(err)
	case isNoProgram(err.Error()):
		return deploy.NoProgram, programRemedy(err.Error())
	case isPortTaken(text):
		return deploy.PortTaken, portRemedy(err.Error())
	case strings.Contains(text, "no such image"):
		return deploy.NoImage, "build or pull the image first"
	case isVersionMismatch(text):
		return deploy.Other, "unset DOCKER_API_VERSION, or use an engine that speaks a newer API"
	case errdefs.IsConflict(err), strings.Contains(text, activeEndpoints), strings.Contains(text, "already exists"):
		return deploy.Conflict, "see what has the name or uses it: 'docker ps -a', 'docker network ls', 'docker volume ls'"
	case errdefs.IsNotFound(err):
		return deploy.NotFound, "it may have been removed in the meantime; run the command again"
	case errdefs.IsInvalidArgument(err):
		return deploy.Invalid, "the engine doesn't take a value of the configuration: correct what it names"
	}
	return deploy.Other, "see the engine's log for more"
}

const activeEndpoints = "has active endpoints"

// plain takes the client's prefixes off: they say nothing that Kind and What
// don't.
func plain(err error) error {
	const prefix = "Error response from daemon: "
	if msg := err.Error(); strings.HasPrefix(msg, prefix) {
		return &shortError{strings.TrimPrefix(msg, prefix), err}
	}
	var dial *dialError
	if errors.As(err, &dial) {
		return dial.withCause()
	}
	return err
}

type shortError struct {
	msg string
	err error
}

func (e *shortError) Error() string { return e.msg }
func (e *shortError) Unwrap() error { return e.err }

// withCause adds the cause to the text, once no client reads it any more.
func (e *dialError) withCause() error {
	return fmt.Errorf("no engine answers at %s: %w", e.host, e.err)
}

func isDiskFull(err error, text string) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(text, "no space left on device") || strings.Contains(text, "not enough space on the disk")
}

func isUnreachable(err error) bool {
	var dial *dialError
	var netErr net.Error
	return errors.As(err, &dial) || client.IsErrConnectionFailed(err) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.As(err, &netErr)
}

func isVersionMismatch(text string) bool {
	return strings.Contains(text, "client version") &&
		(strings.Contains(text, "too new") || strings.Contains(text, "too old"))
}

func (e *Engine) unreachable(err error) (deploy.ErrorKind, string) {
	host := e.endpoint.host
	switch {
	case errors.Is(err, fs.ErrPermission):
		return deploy.Denied, fmt.Sprintf("join the group that owns %s ('sudo usermod -aG docker $USER', then log in again), or use a rootless engine", e.endpoint.address)
	case e.endpoint.network == "unix" || e.endpoint.network == "npipe":
		return deploy.Unreachable, fmt.Sprintf("start the engine behind %s ('sudo systemctl start docker', or Docker Desktop), or set DOCKER_HOST", host)
	case e.endpoint.network == "ssh":
		return deploy.Unreachable, fmt.Sprintf("check that 'ssh %s docker version' works", strings.TrimPrefix(host, "ssh://"))
	}
	return deploy.Unreachable, fmt.Sprintf("check that an engine listens at %s, that no firewall is in between, and that DOCKER_TLS_VERIFY and DOCKER_CERT_PATH suit it", host)
}

// unsupported says that keys can't be honoured.
func unsupported(what string, refusals Refusals) error {
	return &deploy.EngineError{
		Kind:   deploy.Unsupported,
		What:   what,
		Err:    refusals,
		Remedy: "remove what is named, or change it; where the engine is too old, update it",
	}
}

// invalid says that the value of a service's key makes no sense to an engine.
func invalid(service, key, format string, args ...any) error {
	return &deploy.EngineError{
		Kind:   deploy.Invalid,
		What:   "service " + service,
		Err:    &valueError{"services." + service + "." + key, fmt.Errorf(format, args...)},
		Remedy: "correct the service's configuration",
	}
}

// valueError is that of a key's value.
type valueError struct {
	key string
	err error
}

func (e *valueError) Error() string { return e.err.Error() }
func (e *valueError) Unwrap() error { return e.err }

// unstartable finds in the words of what creates a container's process which
// program that is, and what is wrong with it.
var unstartable = regexp.MustCompile(`exec: "([^"]+)": (.*)|executable file .([^'"` + "`]+)" + `. not found`)

func isNoProgram(msg string) bool { program, _ := missingProgram(msg); return program != "" }

func missingProgram(msg string) (program, why string) {
	m := unstartable.FindStringSubmatch(msg)
	switch {
	case m == nil:
		return "", ""
	case m[3] != "":
		return m[3], "isn't in its image"
	case strings.Contains(m[2], "permission denied"):
		return m[1], "may not be executed"
	case strings.Contains(m[2], "not found"), strings.Contains(m[2], "no such file"):
		return m[1], "isn't in its image"
	case strings.Contains(m[2], "is a directory"):
		return m[1], "is a directory"
	}
	return m[1], "can't be run: " + strings.TrimSuffix(m[2], ": unknown")
}

func programRemedy(msg string) string {
	program, why := missingProgram(msg)
	switch {
	case strings.Contains(program, " "):
		return "`command` and `entrypoint` have an item for each word in a list: write [\"sleep\", \"10\"] or sleep 10, not [\"sleep 10\"]"
	case why == "may not be executed":
		return "make it executable (chmod +x) before it is copied or mounted, or name its interpreter first: [\"sh\", \"" + program + "\"]"
	}
	return "correct the service's `command` or `entrypoint`, or use an image that has it; a mount over its folder hides it, too"
}
