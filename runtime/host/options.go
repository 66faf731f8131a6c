package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/process"
	"woodwork.dev/ww/runtime/registry"
)

// Where a component finds what its container gives it.
const (
	DefaultAddr       = ":8080"
	DefaultSecretsDir = "/run/secrets"
	defaultGrace      = 10 * time.Second
	busPassword       = "bus_password"
)

// State is how a component is.
type State struct {
	Phase  string // starting, connecting, …, ready, draining, stopped
	Ready  bool
	Reason string // why it isn't ready
	Bus    string // why the bus can't be used; empty if it can
}

// Options of a host. Name, Config, OpenBus and Builders are required.
type Options struct {
	Name   string // of the component; Config.Name if empty
	Config component.Config

	// OpenBus connects to the bus. It is called again, after a pause, until it
	// succeeds. The host closes the bus.
	OpenBus func(ctx context.Context) (bus.Bus, registry.Registry, error)

	Builders map[string]component.Builder // by "KIND TYPE"

	Addr     string       // of the HTTP server; ":8080" if empty, port 0 for any
	Listener net.Listener // in place of Addr; it is closed at the end
	Address  string       // under which others reach it, for the registry; NAME:PORT if empty

	Log    *slog.Logger // JSON to standard error if nil
	Stdout io.Writer    // os.Stdout if nil
	Stdin  io.Reader    // nothing to read if nil

	SecretsDir string                            // /run/secrets if empty
	Secret     func(name string) (string, error) // instead of SecretsDir

	Grace       time.Duration   // for the whole of stopping; 10 s if 0
	Hurry       <-chan struct{} // Grace is over when it is closed; nil: it isn't cut short
	BusCheck    time.Duration   // how often the bus is looked at; 1 s if 0
	Concurrency int             // messages handled at the same time; 8 if 0

	// The component's queue and its messages, as bus.Consumer says.
	Timeout    time.Duration
	MaxRetries int
	TTL        time.Duration
	QueueLimit int
	Overflow   bus.Overflow

	// Traces is the URL that takes traces by OTLP over HTTP; none if empty.
	Traces string

	// Shared says that the component isn't alone in its process: what speaks of
	// the process as a whole is left to whoever runs it.
	Shared bool

	// Metrics, where it isn't nil, are shown with those of the other components
	// of the process.
	Metrics *Metrics

	// Processes is where the component starts programs; nil for no limits.
	Processes *process.Group

	// Usage tells what the component takes of the machine, for the metrics. Nil:
	// this process and all that it has started, unless it is Shared.
	Usage func() (process.Usage, bool)

	// OnState, where it isn't nil, is told how the component is, at first and
	// whenever that changes; calls come one after the other, and none after Run
	// has returned.
	OnState func(State)

	// Listening, where it isn't nil, is told the address of the HTTP server.
	Listening func(addr string)

	secrets *component.Secrets // shared with OpenBus; of Secret if nil
}

// withDefaults checks the options and fills in what they leave open.
func (o Options) withDefaults() (Options, error) {
	if o.Name != "" {
		o.Config.Name = o.Name
	}
	switch {
	case o.Config.Name == "":
		return o, errors.New("the component has no name")
	case o.OpenBus == nil:
		return o, fmt.Errorf("component %s has no bus", o.Config.Name)
	}
	o.Name = o.Config.Name
	if o.Addr == "" {
		o.Addr = DefaultAddr
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.SecretsDir == "" {
		o.SecretsDir = DefaultSecretsDir
	}
	if o.secrets == nil || o.Secret != nil {
		if o.Secret == nil {
			o.Secret = component.SecretFiles(o.SecretsDir)
		}
		o.secrets = component.NewSecrets(o.Secret)
	}
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 8
	}
	if o.Usage == nil && !o.Shared {
		o.Usage = process.Own
	}
	if o.BusCheck <= 0 {
		o.BusCheck = time.Second
	}
	return o, nil
}
