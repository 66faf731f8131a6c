package deploy

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/plan"
)

// Driver is what the executor needs of a container engine. All methods may be
// called at the same time, and end when their context does. Errors that the
// user can do something about are *EngineError.
type Driver interface {
	// Observe lists what there is of a project, in as few calls as possible:
	// containers (also one-offs), networks and volumes by label and by the
	// names that the project wants, and which of the images are present. want
	// is nil when only what runs is of interest.
	Observe(ctx context.Context, project string, want *types.Project) (plan.Observed, error)

	CreateNetwork(ctx context.Context, p *types.Project, key string) error
	RemoveNetwork(ctx context.Context, nameOrID string) error
	CreateVolume(ctx context.Context, p *types.Project, key string) error
	RemoveVolume(ctx context.Context, name string) error

	// Build builds the image of a service and tags it; it returns its id. out
	// gets the builder's output, line by line.
	Build(ctx context.Context, spec BuildSpec, out func(line string)) (string, error)
	// Pull pulls an image; progress gets the share that is done, 0 to 1.
	Pull(ctx context.Context, ref, platform string, progress func(done float64, what string)) error
	// Push pushes an image; progress likewise.
	Push(ctx context.Context, ref string, progress func(done float64, what string)) error
	RemoveImage(ctx context.Context, ref string) error
	// Tag gives an image that is there a tag, which may have been another one's.
	Tag(ctx context.Context, id, ref string) error

	// Create creates a container with all of its networks, and copies into it
	// the secrets and configs that aren't bind mounts. It is not started. If a
	// step fails, what was created is removed.
	Create(ctx context.Context, p *types.Project, spec ContainerSpec) (id string, err error)
	// Rename gives a container another name.
	Rename(ctx context.Context, id, name string) error
	// Differences says in words how a container isn't as the service would have
	// it made: "environment: A added". No value is in them.
	Differences(ctx context.Context, id string, p *types.Project, spec ContainerSpec) ([]string, error)
	Start(ctx context.Context, id string) error
	// Pause freezes the processes of a container, and Unpause lets them go on.
	Pause(ctx context.Context, id string) error
	Unpause(ctx context.Context, id string) error
	// Stop sends the stop signal, waits for the grace (the container's own if
	// nil), then kills. A container that isn't running is no error.
	Stop(ctx context.Context, id string, grace *time.Duration) error
	Kill(ctx context.Context, id, signal string) error
	// Remove removes a container, running or not; also its anonymous volumes
	// if asked. One that is gone already is no error.
	Remove(ctx context.Context, id string, anonymousVolumes bool) error

	// Near reports whether containers may be reached from here under their
	// addresses, which they can't with an engine on another machine.
	Near() bool
	// Addresses gives one IP address of each of a project's running containers
	// that has one, by its id, in one call but for those that have just begun.
	Addresses(ctx context.Context, project string, ids ...string) (map[string]string, error)

	// Inspect tells how one container is now.
	Inspect(ctx context.Context, id string) (plan.Container, error)
	// Exec runs a command in a running container and returns its exit code.
	Exec(ctx context.Context, id string, spec ExecSpec) (int, error)
	// Logs writes a container's output to the two writers; with Follow until
	// ctx is done or the container is gone.
	Logs(ctx context.Context, id string, opts LogOptions, stdout, stderr io.Writer) error
	// Attach connects to a running container's terminal or streams until it
	// ends, ctx is done, or stdin is at its end and the output is closed.
	Attach(ctx context.Context, id string, tty bool, stdin io.Reader, stdout, stderr io.Writer) error
	// Events sends what happens to the project's containers from since on, until ctx is
	// done or the stream is cut; then the channel is closed. The error
	// function tells why. Events returns when the subscription stands.
	Events(ctx context.Context, project string, since time.Time) (<-chan Event, func() error, error)

	// Info tells what engine this is.
	Info(ctx context.Context) (EngineInfo, error)
	Close() error
}

// ContainerSpec says which container of a service to create.
type ContainerSpec struct {
	Service types.ServiceConfig
	Number  int
	Name    string
	Labels  map[string]string // all labels but those in the service
	// Peers has the containers that references to other services mean, by
	// service; the engine is asked for those that aren't in it.
	Peers map[string]string

	AutoRemove bool // the engine removes it when it ends, with its anonymous volumes
	StdinOnce  bool // its input ends when that of whoever attaches first does
	UseAliases bool // a one-off container answers to its service's names as well
}

// BuildSpec is the build of one image.
type BuildSpec struct {
	Service  string
	Image    string // tag to give
	Build    *types.BuildConfig
	Platform string
	NoCache  bool
	Pull     bool
	Memory   int64 // bytes that a step may take; no limit if 0
	Labels   map[string]string
}

// ExecSpec is a command to run in a container.
type ExecSpec struct {
	Cmd        []string
	Env        []string
	User       string
	Dir        string // where it runs; the container's own if empty
	Privileged bool
	Detach     bool // it is begun, and not waited for; there are no streams
	TTY        bool
	Sizes      <-chan TerminalSize // of this side's terminal, as it changes; may be nil
	Stdin      io.Reader
	Stdout     io.Writer
	Stderr     io.Writer
}

// TerminalSize is the size of a terminal, in characters.
type TerminalSize struct{ Width, Height uint }

// LogOptions says which part of a log to read.
type LogOptions struct {
	Follow     bool
	Tail       string // a number, or "all" (also when empty)
	Since      string // RFC 3339 or a duration such as 10m
	Until      string
	Timestamps bool
	TTY        *bool // whether the container has a terminal; asked from the engine if nil
}

// Event is something that happened to a container.
type Event struct {
	Time      time.Time
	Action    Action
	Container string // id
	Name      string
	Service   string
	Number    int
	ExitCode  int // of ActionDie
}

// Action is what happened.
type Action string

const (
	ActionCreate    Action = "create"
	ActionStart     Action = "start"
	ActionDie       Action = "die"
	ActionOOM       Action = "oom"
	ActionHealthy   Action = "healthy"
	ActionUnhealthy Action = "unhealthy"
	ActionDestroy   Action = "destroy"
)

// EngineInfo describes an engine.
type EngineInfo struct {
	Version    string
	APIVersion string // negotiated
	OS         string
	Arch       string // as Go names it
	Host       string // address that it was reached under
	BuildKit   bool   // the engine has a BuildKit builder that works without a frontend of its own
}

// ErrorKind groups the engine's failures by what a user can do about them.
type ErrorKind string

const (
	Unreachable ErrorKind = "unreachable"  // no engine answers
	Denied      ErrorKind = "denied"       // no permission on the socket
	NoImage     ErrorKind = "no-image"     // an image isn't there and can't be pulled
	NoProgram   ErrorKind = "no-program"   // what a container is to run can't be
	PortTaken   ErrorKind = "port-taken"   // a host port is in use
	DiskFull    ErrorKind = "disk-full"    // no space left on the engine's or this disk
	BuildFailed ErrorKind = "build-failed" // a step of a Dockerfile failed
	NotFound    ErrorKind = "not-found"    // the thing is gone
	Conflict    ErrorKind = "conflict"     // a name is taken, or something is in use
	Unsupported ErrorKind = "unsupported"  // a key of the compose file that can't be honoured
	Invalid     ErrorKind = "invalid"      // a value of the compose file that makes no sense, or a variable that isn't set
	Other       ErrorKind = "other"
)

// EngineError is a failure of the engine, in a user's terms.
type EngineError struct {
	Kind   ErrorKind
	What   string // what was being done: "start container demo-in-1"
	Err    error
	Remedy string   // what to try
	Output []string // the last lines of a builder's output
}

func (e *EngineError) Error() string {
	return fmt.Sprintf("%s: %v", e.What, e.Err)
}

func (e *EngineError) Unwrap() error { return e.Err }
